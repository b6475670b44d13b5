"""The fetch unit: reads the program and hands each instruction to its command queue, in order."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import LOAD_QUEUES, SET_QUEUE_SHIFT, Load, Opcode, Queue, Set, instruction_bits, instruction_bytes
from ..latencies import FETCH_BUFFER_BYTES, fetch_burst
from ..registers import WINDOW_ROWS, Cause
from .layouts import instruction_layout
from .reader import BufferedReader
from .signatures import fault_port, read_port, window_port
from .windows import outside

COUNT_BITS = 32


class Fetch(wiring.Component):
    """Fetches ``count`` instructions from ``address`` and dispatches them.

    It requests no more than its own buffer holds, so a full command queue stalls the program and nothing else.
    Opcode, memory id and register are read to choose the queue only; what is illegal goes to compute, which says so.

    Attributes
    ----------
    start : In(1)
        Pulse; ``address`` (a multiple of the instruction's size) and ``count`` are taken with it.
    address : In(axi_addr_bits)
    count : In(32)
    read : Out(read_port)
    window : Out(window_port)
        The whole program lies in the instructions' window, or nothing of it is read.
    load, compute, store : Out streams of instructions
    left : Out(32)
        Instructions that have not arrived whole.
    done : Out(1)
        Everything asked for was dispatched.
    waiting : Out(1)
        An instruction waits for space in its queue.
    fault : Out(fault_port)
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        queue = stream.Signature(unsigned(instruction_bits(config)))
        super().__init__(
            {
                "start": In(1),
                "address": In(config.axi_addr_bits),
                "count": In(COUNT_BITS),
                "read": Out(read_port(config)),
                "window": Out(window_port(config)),
                "load": Out(queue),
                "compute": Out(queue),
                "store": Out(queue),
                "left": Out(COUNT_BITS),
                "done": Out(1),
                "waiting": Out(1),
                "fault": Out(fault_port()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, nbytes = self._config, instruction_bytes(self._config)
        size_bits = nbytes.bit_length() - 1
        m.submodules.reader = reader = BufferedReader(
            config,
            buffer_beats=FETCH_BUFFER_BYTES // config.axi_bytes,
            longest=fetch_burst(config),
            nbytes_bits=COUNT_BITS + size_bits,
        )
        wiring.connect(m, wiring.flipped(self.read), reader.read)

        # Instructions not yet in ``word``; the one range is requested before the first of them.
        left = self.left
        address = Signal(config.axi_addr_bits)
        first_byte = Cat(Const(0, size_bits), self.address[size_bits:])
        last_byte = Signal(max(config.axi_addr_bits, COUNT_BITS + size_bits) + 1)
        requested, none_left = Signal(init=1), Signal(init=1)
        leaves, leaving = outside(self.window, address, last_byte)
        m.d.comb += [
            self.window.read.eq(self.start),
            self.window.row.eq(WINDOW_ROWS["INSN"]),
            reader.ranges.payload.address.eq(address),
            reader.ranges.payload.nbytes.eq(left << size_bits),
            reader.ranges.valid.eq(~requested & ~none_left & ~leaves),
        ]
        with m.If(reader.ranges.ready):
            m.d.sync += requested.eq(1)
        with m.If(~requested & ~none_left & leaves):
            self._raise(m, Cause.WINDOW, leaving)

        self._to_load, self._to_store, self._to_compute = Signal(), Signal(), Signal()
        word, word_valid, word_taken = Signal(instruction_bits(config)), Signal(), Signal()
        room = ~word_valid | word_taken
        collected = self._collect(m, reader.beats, left, word, word_valid, room)
        with m.If(collected):
            m.d.sync += [left.eq(left - 1), none_left.eq(left == 1)]
        with m.If(self.start):
            m.d.sync += [
                left.eq(self.count),
                none_left.eq(self.count == 0),
                address.eq(first_byte),
                last_byte.eq(first_byte + Cat(Const(-1, size_bits), (self.count - 1)[:COUNT_BITS])),
                requested.eq(0),
            ]
        m.d.comb += [self.done.eq(none_left & ~word_valid), self.waiting.eq(word_valid & ~word_taken)]
        self._dispatch(m, word, word_valid, word_taken)
        return m

    def _raise(self, m: Module, cause: Cause, value: Value | int) -> None:
        with m.If(~self.fault.raised):
            m.d.sync += [self.fault.raised.eq(1), self.fault.cause.eq(cause), self.fault.value.eq(value)]

    def _collect(
        self, m: Module, beats: stream.Interface, left: Signal, word: Signal, word_valid: Signal, room: Value
    ) -> Signal:
        """Cut beats into instructions, or join several to one; ``word`` is refilled when there is ``room``.

        Returns the pulse with which an instruction is complete.
        """
        bits, beat_bits = len(word), self._config.axi_data_bits
        parts, slots = max(1, bits // beat_bits), max(1, beat_bits // bits)
        part, slot = Signal(range(max(2, parts))), Signal(range(max(2, slots)))
        first_slot = (self.address >> ((bits // 8).bit_length() - 1)) & (slots - 1)
        taken, collected, last_part, last_slot = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            taken.eq(beats.valid & room & ~self.fault.raised),
            last_part.eq(part == parts - 1),
            collected.eq(taken & last_part & ~beats.payload.error),
            # The last instruction need not be the last of its beat.
            last_slot.eq((slot == slots - 1) | (left == 1)),
            beats.ready.eq(taken & last_slot),
        ]
        data = beats.payload.data
        with m.If(room):
            m.d.sync += word_valid.eq(collected)
        with m.If(taken):
            m.d.sync += [part.eq(Mux(last_part, 0, part + 1)), slot.eq(Mux(last_slot, 0, slot + 1))]
            if parts > 1:
                m.d.sync += word.word_select(part, beat_bits).eq(data)
                self._route(m, Cat(word[:-beat_bits], data))
            else:
                whole = data.word_select(slot, bits)
                m.d.sync += word.eq(whole)
                self._route(m, whole)
            with m.If(beats.payload.error):
                self._raise(m, Cause.BUS_ERROR, 0)
        with m.If(self.start):
            m.d.sync += [part.eq(0), slot.eq(first_slot)]
        return collected

    def _route(self, m: Module, word: Value) -> None:
        """Find out which queue an instruction goes to as it comes."""
        load, set_ = (instruction_layout(cls, self._config)(word) for cls in (Load, Set))
        is_load, is_set = load.opcode == Opcode.LOAD, load.opcode == Opcode.SET

        def goes_to(queue: Queue) -> Value:
            memories = [memory for memory, of in LOAD_QUEUES.items() if of is queue]
            loads = is_load & Cat(load.memory == memory for memory in memories).any()
            return loads | (is_set & (set_.register >> SET_QUEUE_SHIFT == queue))

        to_load = goes_to(Queue.LOAD)
        to_store = (load.opcode == Opcode.STORE) | goes_to(Queue.STORE)
        m.d.sync += [self._to_load.eq(to_load), self._to_store.eq(to_store), self._to_compute.eq(~to_load & ~to_store)]

    def _dispatch(self, m: Module, word: Signal, word_valid: Signal, word_taken: Signal) -> None:
        routes = ((self.load, self._to_load), (self.store, self._to_store), (self.compute, self._to_compute))
        for queue, chosen in routes:
            m.d.comb += [queue.payload.eq(word), queue.valid.eq(word_valid & chosen)]
            with m.If(queue.valid & queue.ready):
                m.d.comb += word_taken.eq(1)
