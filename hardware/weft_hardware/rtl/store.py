"""The store module: STORE of OUT (narrowed by truncation), of ACC (raw) and of ACC_8BIT (requantised), with its tokens.

Where there is an epilogue, the queue also executes SET of its registers and LOAD of its parameters and table
(`requantising`). STOREs overlap: rows are announced and accumulators read ahead, as `issue` lets instructions begin,
while those before are still to be acknowledged (`completion`). Rows that follow each other in DRAM are one range.
"""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import LOAD_QUEUES, Memory, Opcode, Queue, Store, instruction_bits, loadable, storable, store_modes
from ..registers import Cause
from .completion import Completion
from .issue import Issue
from .layouts import instruction_layout
from .requantising import RequantisingUnit
from .rows import STORES_IN_FLIGHT, RowRequester, load_target
from .signatures import (
    acc_read_port,
    effort_port,
    fault_port,
    read_port,
    status_port,
    token_port,
    window_port,
    write_port,
)
from .slices import RegisterSlice
from .unload import AccumulatorReader, TileSender


def store_loads(config: AcceleratorConfig) -> tuple[Memory, ...]:
    """The memories whose LOAD runs in the store queue."""
    return tuple(sorted(memory for memory in loadable(config) if LOAD_QUEUES.get(memory) is Queue.STORE))


class StoreModule(wiring.Component):
    """Executes the store queue, one instruction after another as far as anybody can see.

    A STORE's first row is announced, and its first accumulator's read requested, 2 and 3 cycles after it was accepted;
    it is over in the cycle after its last acknowledgement. Up to `rows.STORES_IN_FLIGHT` STOREs are under way, and one
    of a single row is accepted every second cycle. What does not overlap:

    - LOAD, and SET of any register but `requantising.MOVING`, wait until all before are over;
    - a requantising STORE is accepted when those before are announced, and its tiles wait for LOADs;
    - a residual operand is fetched when all before are over, and no STORE is accepted before it is asked for.

    Attributes
    ----------
    clear : In(1)
        A launch: the queue's registers take their initial values.
    instruction : In stream, the queue's head
    retire : Out(1)
    compute_tokens : Out(token_port)
    acc_read : Out(acc_read_port)
    write : Out(write_port)
    window : Out(window_port)
    read : Out(read_port)
        There with an epilogue only.
    base_<name> : In(axi_addr_bits)
        Byte address of tile 0, a multiple of 64, of each memory of `storable` and `store_loads`.
    fault : Out(fault_port)
        ILLEGAL_INSTRUCTION; SCRATCHPAD_RANGE with the first index outside, accumulators before parameters, before
        anything is written; WINDOW with the first address outside the memory's; BUS_ERROR with 0 when the memory
        answered an error. Those before the instruction have retired; some after it may have written.
    status : Out(status_port)
    effort : Out(effort_port)
        It waits for the memory with a beat that is not taken; when all that the oldest STORE lacks is to be
        acknowledged; or when it has nothing to do before a residual operand or a LOAD arrives.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        self._layout = instruction_layout(Store, config)
        self._memories = sorted({*storable(config), *store_loads(config)})
        members: dict[str, In | Out] = {
            "clear": In(1),
            "instruction": In(stream.Signature(unsigned(instruction_bits(config)))),
            "retire": Out(1),
            "compute_tokens": Out(token_port()),
            "acc_read": Out(acc_read_port(config)),
            "write": Out(write_port(config)),
            "window": Out(window_port(config)),
            "fault": Out(fault_port()),
            "status": Out(status_port()),
            "effort": Out(effort_port()),
        }
        members |= {f"base_{memory.name.lower()}": In(config.axi_addr_bits) for memory in self._memories}
        if config.epilogue_lanes:
            members["read"] = Out(read_port(config))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        in_flight = STORES_IN_FLIGHT
        m.submodules.issue = self._issue = issue = Issue(config, has_prev=True, has_next=False, in_flight=in_flight)
        wiring.connect(m, wiring.flipped(self.instruction), issue.instruction)
        wiring.connect(m, wiring.flipped(self.compute_tokens), issue.prev)
        wiring.connect(m, wiring.flipped(self.status), issue.status)
        m.d.comb += [self.retire.eq(issue.retire), issue.clear.eq(self.clear)]

        targets = [load_target(memory, config) for memory in sorted(storable(config))]
        m.submodules.rows = self._rows = rows = RowRequester(config, targets, ahead=True)
        m.submodules.reader = self._reader = reader = AccumulatorReader(config)
        m.submodules.sender = self._sender = sender = TileSender(config, targets)
        m.submodules.completion = self._completion = completion = Completion(in_flight)
        wiring.connect(m, reader.acc_read, wiring.flipped(self.acc_read))
        wiring.connect(m, sender.beats, wiring.flipped(self.write.beats))
        wiring.connect(m, rows.ranges, wiring.flipped(self.write.request))
        for target in targets:
            base = f"base_{target.memory.name.lower()}"
            m.d.comb += getattr(rows, base).eq(getattr(self, base))
        m.d.comb += [
            completion.acknowledged.eq(self.write.acknowledged),
            completion.error.eq(self.write.error),
            issue.completed.eq(completion.completed),
            rows.oldest.eq(completion.storing),
            rows.ended.eq(completion.completed & completion.storing),
        ]

        # A fault of the module's own.
        self._raised, self._cause, self._value = Signal(), Signal.like(self.fault.cause), Signal.like(self.fault.value)
        self._unit = unit = RequantisingUnit(config, store_loads(config)) if config.epilogue_lanes else None
        insn = self._accept(m)
        with m.If(completion.failed):
            self._raise(m, Cause.BUS_ERROR, 0)
        if unit is None:
            wiring.connect(m, rows.window, wiring.flipped(self.window))
            wiring.connect(m, reader.tiles, sender.tiles)
            self._pass_blocks(m, [])
        else:
            m.submodules.requantising = unit
            self._requantise(m, unit, insn)
        self._collect_faults(m, [rows.fault] + ([unit.fault] if unit else []))
        self._tell_effort(m)
        return m

    def _legal(self, m: Module) -> tuple[Value, Value, Value]:
        """Whether the instruction on offer is a legal STORE, LOAD or SET."""
        config, insn = self._config, self._layout(self._issue.execute.payload)

        def named(memories: list[Memory]) -> Value:
            return Cat(Const(0, 1), *(insn.memory == memory for memory in memories)).any()

        pads = Cat(insn.x_pad0, insn.x_pad1, insn.y_pad0, insn.y_pad1)
        lacking = (insn.memory == Memory.ACC_8BIT) & (insn.mode & (~store_modes(config) & 0x3F)).any()
        store = (insn.opcode == Opcode.STORE) & named(sorted(storable(config))) & (pads == 0) & ~lacking
        load = (insn.opcode == Opcode.LOAD) & named(list(store_loads(config)))
        if self._unit is None:
            return store, Const(0, 1), Const(0, 1)
        return store, load, (insn.opcode == Opcode.SET) & self._unit.set_legal

    def _accept(self, m: Module) -> Signal:
        """Accept instructions when they may begin; returns the LOAD or STORE accepted last."""
        issue, execute, rows, unit = self._issue, self._issue.execute, self._rows, self._unit
        store, load, set_ = self._legal(m)
        completion = self._completion
        offered, insn = self._layout(execute.payload), Signal(self._layout)
        legal, empty, writes, may_store, accepted = Signal(), Signal(), Signal(), Signal(), Signal()
        work = completion.work
        one_range = offered.x_stride == offered.x_size
        m.d.comb += [
            legal.eq(store | load | set_),
            empty.eq((offered.x_size == 0) | (offered.y_size == 0)),
            writes.eq(store & ~empty),
            rows.start.payload.eq(execute.payload),
            rows.start.valid.eq(execute.valid & writes & may_store),
            may_store.eq(~self.fault.raised),
            rows.stop.eq(self._raised | (unit.fault.raised if unit else 0)),
            accepted.eq(execute.valid & execute.ready),
            completion.accepted.eq(accepted),
            work.ranges.eq(Mux(writes, Mux(one_range, 1, offered.y_size), 0)),
            work.load.eq(load),
        ]
        # Whatever waits until nothing else runs has the accelerator's whole state before it.
        alone = ~issue.running
        begins = Mux(writes, may_store & rows.start.ready, (store & empty) | (load & alone))
        with m.If(execute.valid & ~legal & alone):
            self._raise(m, Cause.ILLEGAL_INSTRUCTION, 0)
        if unit is not None:
            begins = begins | (set_ & (unit.set_moving | alone))
            requantised = (offered.memory == Memory.ACC_8BIT) | (insn.memory == Memory.ACC_8BIT)
            m.d.comb += [
                may_store.eq(~self.fault.raised & ~unit.busy & (rows.idle | ~requantised)),
                unit.offered.eq(execute.payload),
                unit.set.eq(accepted & set_),
                unit.load.eq(accepted & load),
                unit.accepted.eq(accepted & writes),
                unit.insn.eq(insn),
                # Of `insn`, that is: a LOAD is accepted when nothing else runs, a STORE also while a LOAD does.
                unit.oldest.eq(Mux(insn.opcode == Opcode.LOAD, completion.loading, completion.storing & rows.single)),
            ]
            with m.If(accepted & (writes | load)):
                m.d.sync += insn.eq(execute.payload)
        m.d.comb += [
            execute.ready.eq(begins & ~self.fault.raised),
            completion.loaded.eq(unit.loaded if unit else 0),
        ]
        return insn

    def _pass_blocks(self, m: Module, others: list[stream.Interface]) -> None:
        """Checked blocks go to the reader, the sender and the others, in one cycle."""
        blocks, reader, sender = self._rows.blocks, self._reader, self._sender
        ports = [reader.start, sender.blocks, *others]
        m.d.comb += [
            blocks.ready.eq(Cat(port.ready for port in ports).all()),
            reader.start.payload.index.eq(blocks.payload.index),
            reader.start.payload.count.eq(blocks.payload.tiles),
            sender.blocks.payload.eq(blocks.payload),
        ]
        m.d.comb += [port.valid.eq(blocks.valid & blocks.ready) for port in ports]

    def _requantise(self, m: Module, unit: RequantisingUnit, insn: data.View) -> None:
        """Send the tiles of ACC_8BIT through the epilogue."""
        rows, sender = self._rows, self._sender
        wiring.connect(m, unit.read, wiring.flipped(self.read))
        wiring.connect(m, self._reader.tiles, unit.tiles)
        wiring.connect(m, unit.passed, sender.tiles)
        # The epilogue puts the next tile together while this one's beats are packed.
        m.submodules.results = results = RegisterSlice(len(unit.results.payload))
        wiring.connect(m, unit.results, results.sink)
        wiring.connect(m, results.source, sender.results)
        self._pass_blocks(m, [unit.blocks])
        block = rows.blocks.payload
        m.d.comb += [
            unit.clear.eq(self.clear),
            unit.blocks.payload.tiles.eq(block.tiles),
            unit.blocks.payload.width.eq(block.width),
            unit.blocks.payload.requantised.eq(block.memory == Memory.ACC_8BIT),
            unit.sent.eq(sender.sent & (sender.sent_memory == Memory.ACC_8BIT)),
            # Of all that is looked at, `insn` is a STORE of ACC_8BIT only while nothing follows it.
            rows.refused.eq((insn.memory == Memory.ACC_8BIT) & unit.outside),
            rows.first_refused.eq(unit.first_outside),
            # The two never need the window port at the same time.
            self.window.read.eq(rows.window.read | unit.window.read),
            self.window.row.eq(Mux(unit.window.read, unit.window.row, rows.window.row)),
        ]
        for port in (rows.window, unit.window):
            m.d.comb += [port.first.eq(self.window.first), port.last.eq(self.window.last)]
        for name in unit.bases:
            m.d.comb += getattr(unit, name).eq(getattr(self, name))

    def _tell_effort(self, m: Module) -> None:
        beats, tiles, effort = self.write.beats, self.acc_read.request, self.effort
        sent = self._completion.storing & self._rows.idle & ~self._sender.busy
        starved = self._unit.starved if self._unit else 0
        m.d.comb += [
            effort.waits_memory.eq(Mux(beats.valid, ~beats.ready, ~tiles.valid & (sent | starved))),
            effort.waits_bank.eq(~beats.valid & tiles.valid & ~tiles.ready),
            effort.moves.eq(tiles.valid & tiles.ready),
        ]

    def _raise(self, m: Module, cause: Cause, value: Value | int) -> None:
        with m.If(~self._raised):
            m.d.sync += [self._raised.eq(1), self._cause.eq(cause), self._value.eq(value)]

    def _collect_faults(self, m: Module, others: list[wiring.PureInterface]) -> None:
        """The module's own fault, else the first of the others."""
        m.d.comb += [
            self.fault.raised.eq(self._raised | Cat(other.raised for other in others).any()),
            self.fault.cause.eq(self._cause),
            self.fault.value.eq(self._value),
        ]
        for other in reversed(others):
            with m.If(~self._raised & other.raised):
                m.d.comb += [self.fault.cause.eq(other.cause), self.fault.value.eq(other.value)]
