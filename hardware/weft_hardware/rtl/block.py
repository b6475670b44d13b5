"""One LOAD: a 2-D, strided, padded block from DRAM into a scratchpad.

Rows are requested ahead, one a cycle; a block without padding whose rows follow each other is one request. The
scratchpad is written in order, one tile a cycle: padding tiles while beats are still under way, data tiles as their
beats arrive. A beat is never asked for twice, and padding may use the cycles in which a tile's other beats arrive.
A tile as wide as the bus, or wider, takes a beat every cycle; a narrower one takes a cycle a tile, and its beats are
requested only as far as the buffer reaches.

The first request leaves 4 cycles after ``start``.

Source
------
Apache TVM VTA, the LOAD instruction; differs in the range check, which covers the whole padded block.
"""

from __future__ import annotations

from dataclasses import dataclass

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import Load, Memory, scratchpad_depth, tile_bytes, uop_bits
from ..registers import Cause
from .layouts import instruction_layout
from .reader import BufferedReader
from .signatures import RANGE_BYTES_BITS, fault_port, read_port, scratchpad_write

CHUNK_BYTES = 128
BUFFER_BYTES = 1024
MIN_BUFFER_BEATS = 32


@dataclass(frozen=True)
class _Target:
    """One memory that the loader serves, with its geometry."""

    memory: Memory
    depth: int
    index_bits: int
    tile_bits: int
    tile_bytes: int
    beats_per_tile: int
    tiles_per_beat: int


def index_bits(memory: Memory, config: AcceleratorConfig) -> int:
    """Bits of a tile index into the scratchpad behind a memory id."""
    return {
        Memory.UOP: config.uop_index_bits,
        Memory.WGT: config.wgt_index_bits,
        Memory.INP: config.inp_index_bits,
        Memory.ACC: config.acc_index_bits,
        Memory.OUT: config.acc_index_bits,
    }[memory]


def _target(memory: Memory, config: AcceleratorConfig) -> _Target:
    nbytes = tile_bytes(memory, config)
    return _Target(
        memory=memory,
        depth=scratchpad_depth(memory, config),
        index_bits=index_bits(memory, config),
        tile_bits=uop_bits(config) if memory is Memory.UOP else 8 * nbytes,
        tile_bytes=nbytes,
        beats_per_tile=max(1, nbytes // config.axi_bytes),
        tiles_per_beat=max(1, config.axi_bytes // nbytes),
    )


class BlockLoader(wiring.Component):
    """Executes one LOAD at a time for one of the given memories.

    Parameters
    ----------
    config : AcceleratorConfig
    memories : tuple of Memory
        The scratchpads it writes; ``start`` names one of them.

    Attributes
    ----------
    start : In stream of the LOAD
    base_<name> : In(axi_addr_bits)
        Byte address of the memory's tile 0, a multiple of 64.
    read : Out(read_port)
    write_<name> : Out(scratchpad_write)
    done : Out(1)
        Pulses once an instruction, in the cycle after its last tile was written; also for a block of no tiles.
    fault : Out(fault_port)
        SCRATCHPAD_RANGE with the first index outside, before anything is written; BUS_ERROR with the low 32 bits
        of the row's address when it lies outside the address space, with 0 when the memory answered an error.
    """

    def __init__(self, config: AcceleratorConfig, memories: tuple[Memory, ...]) -> None:
        self._config = config
        self._targets = [_target(memory, config) for memory in memories]
        self._layout = instruction_layout(Load, config)
        members: dict[str, In | Out] = {
            "start": In(stream.Signature(self._layout)),
            "read": Out(read_port(config)),
            "done": Out(1),
            "fault": Out(fault_port()),
        }
        for t in self._targets:
            name = t.memory.name.lower()
            members[f"base_{name}"] = In(config.axi_addr_bits)
            members[f"write_{name}"] = Out(scratchpad_write(t.index_bits, t.tile_bits))
        super().__init__(members)

    def _select(self, values: list[Value | int]) -> Value:
        """The value of the memory that the current instruction names, one value a target."""
        chosen = Value.cast(values[-1])
        for target, value in zip(reversed(self._targets[:-1]), reversed(values[:-1]), strict=True):
            chosen = Mux(self._insn.memory == target.memory, value, chosen)
        return chosen

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._insn = insn = Signal(self._layout)
        axi_bytes = self._config.axi_bytes
        m.submodules.reader = self._reader = reader = BufferedReader(
            self._config,
            chunk_beats=max(1, CHUNK_BYTES // axi_bytes),
            buffer_beats=max(MIN_BUFFER_BEATS, BUFFER_BYTES // axi_bytes),
        )
        wiring.connect(m, wiring.flipped(self.read), reader.read)

        width, rows, tiles = Signal(17), Signal(17), Signal(34)
        merged = Signal()
        pads = Cat(insn.x_pad0, insn.x_pad1, insn.y_pad0, insn.y_pad1)
        m.d.comb += [
            width.eq(insn.x_pad0 + insn.x_size + insn.x_pad1),
            rows.eq(insn.y_pad0 + insn.y_size + insn.y_pad1),
            # Rows that follow each other in DRAM and in the scratchpad are one range.
            merged.eq((insn.x_stride == insn.x_size) & (pads == 0)),
        ]
        self._run, self._checked = Signal(), Signal()
        finished = Signal()

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.start.ready.eq(~self.fault.raised)
                with m.If(self.start.valid & ~self.fault.raised):
                    m.d.sync += insn.eq(self.start.payload)
                    m.next = "SIZE"
            with m.State("SIZE"):
                m.d.sync += tiles.eq(Mux(insn.x_size == 0, 0, width * rows))
                m.next = "CHECK"
            with m.State("CHECK"):
                depth = self._select([t.depth for t in self._targets])
                with m.If(tiles == 0):
                    m.next = "DONE"
                with m.Elif(insn.sram + tiles > depth):
                    self._raise(m, Cause.SCRATCHPAD_RANGE, Mux(insn.sram > depth, insn.sram, depth))
                    m.next = "IDLE"
                with m.Else():
                    m.d.comb += self._checked.eq(1)
                    m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += self._run.eq(1)
                with m.If(finished):
                    m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"

        self._request_rows(m, merged, tiles)
        self._write_tiles(m, merged, tiles, width, finished)
        return m

    def _raise(self, m: Module, cause: Cause, value: Value | int) -> None:
        with m.If(~self.fault.raised):
            m.d.sync += [self.fault.raised.eq(1), self.fault.cause.eq(cause), self.fault.value.eq(value)]

    def _request_rows(self, m: Module, merged: Value, tiles: Value) -> None:
        """Ask for the block's DRAM rows, in order."""
        insn, reader, bits = self._insn, self._reader, self._config.axi_addr_bits
        # Wide enough for the highest address that an instruction can name, so that nothing wraps.
        address = Signal(max(bits, 34 + 13) + 2)
        rows_left = Signal(16)
        nbytes = Signal(RANGE_BYTES_BITS)
        outside = Signal()
        m.d.comb += [
            nbytes.eq(
                self._select([Mux(merged, tiles[:17], insn.x_size) * t.tile_bytes for t in self._targets]),
            ),
            outside.eq((address + nbytes - 1) >> bits != 0),
            reader.ranges.payload.address.eq(address),
            reader.ranges.payload.nbytes.eq(nbytes),
            reader.ranges.payload.paced.eq(self._select([int(t.tiles_per_beat > 1) for t in self._targets])),
            reader.ranges.valid.eq((rows_left != 0) & ~outside & ~self.fault.raised),
        ]
        with m.If(self._checked):
            start = [self._base(t) + insn.dram * t.tile_bytes for t in self._targets]
            m.d.sync += [address.eq(self._select(start)), rows_left.eq(Mux(merged, 1, insn.y_size))]
        with m.Elif(rows_left != 0):
            with m.If(outside):
                self._raise(m, Cause.BUS_ERROR, address[:32])
            with m.Elif(reader.ranges.ready):
                step = self._select([insn.x_stride * t.tile_bytes for t in self._targets])
                m.d.sync += [address.eq(address + step), rows_left.eq(rows_left - 1)]

    def _base(self, target: _Target) -> Value:
        return getattr(self, f"base_{target.memory.name.lower()}")

    def _write_tiles(self, m: Module, merged: Value, tiles: Value, width: Value, finished: Value) -> None:
        """Walk the padded block in scratchpad order, one tile a cycle at most."""
        insn, beats = self._insn, self._reader.beats
        index, x, y = Signal(17), Signal(17), Signal(17)
        left = Signal(17)
        padding, last_data = Signal(), Signal()
        x_end, y_end = insn.x_pad0 + insn.x_size, insn.y_pad0 + insn.y_size
        in_block = (y >= insn.y_pad0) & (y < y_end) & (x >= insn.x_pad0) & (x < x_end)
        m.d.comb += [
            padding.eq(~merged & ~in_block),
            last_data.eq(Mux(merged, left == 1, x == x_end - 1)),
        ]

        # Which beat of a wide tile comes next; which tile of the current beat of narrow ones.
        part = Signal(range(max(2, *(t.beats_per_tile for t in self._targets))))
        slot = Signal(range(max(2, *(t.tiles_per_beat for t in self._targets))))
        last_slot = Signal.like(slot)
        tile_ends, beat_ends, taken, written = Signal(), Signal(), Signal(), Signal()
        running = self._run & (left != 0)
        m.d.comb += [
            last_slot.eq(self._select([t.tiles_per_beat - 1 for t in self._targets])),
            tile_ends.eq(part == self._select([t.beats_per_tile - 1 for t in self._targets])),
            beat_ends.eq(last_data | (slot == last_slot)),
            taken.eq(running & ~padding & beats.valid & ~self.fault.raised),
            beats.ready.eq(taken & beat_ends),
            written.eq(running & (padding | (taken & tile_ends))),
            # An error in the last beat is raised with the last tile: that block never ends.
            finished.eq(self._run & (left == 0) & ~self.fault.raised),
        ]
        with m.If(taken & beats.payload.error):
            self._raise(m, Cause.BUS_ERROR, 0)

        # Bases are aligned to a beat, so the slot of a row's first tile follows from its tile number in DRAM.
        row_tile = Signal(16)
        next_row_tile = (row_tile + insn.x_stride)[: len(row_tile)]
        with m.If(taken):
            m.d.sync += [part.eq(Mux(tile_ends, 0, part + 1)), slot.eq(Mux(beat_ends, 0, slot + 1))]
        with m.If(written):
            m.d.sync += [left.eq(left - 1), index.eq(index + 1), x.eq(x + 1)]
            with m.If(~padding & last_data):
                m.d.sync += [row_tile.eq(next_row_tile), slot.eq(next_row_tile & last_slot)]
            with m.If(x == width - 1):
                m.d.sync += [x.eq(0), y.eq(y + 1)]
        with m.If(self._checked):
            m.d.sync += [left.eq(tiles), index.eq(insn.sram), x.eq(0), y.eq(0), part.eq(0)]
            m.d.sync += [row_tile.eq(insn.dram), slot.eq(insn.dram & last_slot)]
        self._drive_writes(m, index, written, self._assemble(m, running & padding, taken, slot))

    def _assemble(self, m: Module, padding: Value, taken: Value, slot: Value) -> Value:
        """The registers through which beats shift, from the top down; a tile that is complete ends at the top.

        One for each beat: a verilated model copies a wide register that is read by its own assignment every cycle.
        """
        word = self._reader.beats.payload.data
        count = max(t.beats_per_tile for t in self._targets)
        registers = [Signal(len(word), name=f"tile_beat{k}", reset_less=True) for k in range(count)]
        first = self._select(
            [word.word_select(slot, t.tile_bits) if t.tiles_per_beat > 1 else word for t in self._targets]
        )
        above = [*registers[1:], Cat(first, Const(0, len(word)))[: len(word)]]
        for register, successor in zip(registers, above, strict=True):
            with m.If(padding):
                m.d.sync += register.eq(0)
            with m.Elif(taken):
                m.d.sync += register.eq(successor)
        return Cat(registers)

    def _drive_writes(self, m: Module, index: Value, written: Value, tile: Value) -> None:
        written_index = Signal(17)
        with m.If(written):
            m.d.sync += written_index.eq(index)
        for t in self._targets:
            port = getattr(self, f"write_{t.memory.name.lower()}")
            m.d.sync += port.enable.eq(written & (self._insn.memory == t.memory))
            part = tile[-t.beats_per_tile * self._config.axi_data_bits :]
            m.d.comb += [port.index.eq(written_index), port.tile.eq(part)]
