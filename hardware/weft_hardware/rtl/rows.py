"""The front half of a LOAD: check the block, then ask for its rows in DRAM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, Signature

from ..config import AcceleratorConfig
from ..isa import Load, Memory, scratchpad_depth, tile_bytes, uop_bits
from ..latencies import BLOCKS_AHEAD, STORES_IN_FLIGHT, WRITTEN_BY_BEAT
from ..registers import Cause
from .layouts import instruction_layout
from .signatures import RANGE_BYTES_BITS, fault_port, range_layout, scratchpad_write, window_port


@dataclass(frozen=True)
class Target:
    """One memory that a loader serves, with its geometry."""

    memory: Memory
    depth: int
    index_bits: int
    tile_bits: int
    tile_bytes: int
    beats_per_tile: int
    tiles_per_beat: int

    @property
    def size_bits(self) -> int:
        """Bits of a byte's number in a tile: tiles are powers of two of bytes."""
        return self.tile_bytes.bit_length() - 1

    @property
    def writes_per_tile(self) -> int:
        """Writes that bring a tile; their indices are those of its parts, in order."""
        return self.beats_per_tile if self.memory in WRITTEN_BY_BEAT else 1

    @property
    def write_port(self) -> Signature:
        index_bits = self.index_bits + (self.writes_per_tile - 1).bit_length()
        return scratchpad_write(index_bits, self.tile_bits // self.writes_per_tile)


def index_bits(memory: Memory, config: AcceleratorConfig) -> int:
    """Bits of a tile index into the scratchpad behind a memory id."""
    return {
        Memory.UOP: config.uop_index_bits,
        Memory.WGT: config.wgt_index_bits,
        Memory.INP: config.inp_index_bits,
        Memory.ACC: config.acc_index_bits,
        Memory.OUT: config.acc_index_bits,
        Memory.ACC_8BIT: config.acc_index_bits,
        Memory.PARAM: max(1, (config.param_depth - 1).bit_length()),
        Memory.TABLE: 1,
    }[memory]


def address_bits(config: AcceleratorConfig) -> int:
    """Wide enough for every address that an instruction can name, and its sign, so that nothing wraps."""
    longest_tile = max(tile_bytes(memory, config) for memory in Memory)
    return max(config.axi_addr_bits, 34 + longest_tile.bit_length() - 1) + 2


def load_target(memory: Memory, config: AcceleratorConfig) -> Target:
    nbytes = tile_bytes(memory, config)
    return Target(
        memory=memory,
        depth=scratchpad_depth(memory, config),
        index_bits=index_bits(memory, config),
        tile_bits=uop_bits(config) if memory is Memory.UOP else 8 * nbytes,
        tile_bytes=nbytes,
        beats_per_tile=max(1, nbytes // config.axi_bytes),
        tiles_per_beat=max(1, config.axi_bytes // nbytes),
    )


def select(targets: Sequence[Target], memory: Value, values: Sequence[Value | int]) -> Value:
    """The value of the memory that an instruction names, one value a target."""
    chosen = Value.cast(values[-1])
    for target, value in zip(reversed(targets[:-1]), reversed(values[:-1]), strict=True):
        chosen = Mux(memory == target.memory, value, chosen)
    return chosen


def block_layout(targets: Sequence[Target]) -> data.StructLayout:
    """A checked block, as its tiles are written.

    ``tiles`` are to be written from ``index`` on, ``width`` a row; data are those of columns ``x_begin``..``x_end`` of
    rows ``y_begin``..``y_end``, ends exclusive. ``merged``: all of them are data, and one range of DRAM. ``row_slot``
    is the number in DRAM of a row's first tile, ``row_step`` the rows' distance, both modulo the tiles in a beat.
    """
    slot_bits = max(t.tiles_per_beat for t in targets).bit_length() - 1
    return data.StructLayout(
        {
            "memory": 3,
            "index": 17,
            "tiles": 17,
            "width": 17,
            "x_begin": 4,
            "x_end": 17,
            "y_begin": 4,
            "y_end": 17,
            "row_slot": slot_bits,
            "row_step": slot_bits,
            "merged": 1,
        }
    )


def _width(insn: data.View) -> Value:
    return (insn.x_pad0 + insn.x_size + insn.x_pad1)[:17]


def _rows(insn: data.View) -> Value:
    return (insn.y_pad0 + insn.y_size + insn.y_pad1)[:17]


def _is_one_range(insn: data.View) -> Value:
    """Whether the rows follow each other in DRAM and in the scratchpad."""
    pads = Cat(insn.x_pad0, insn.x_pad1, insn.y_pad0, insn.y_pad1)
    return (insn.x_stride == insn.x_size) & (pads == 0)


class RowRequester(wiring.Component):
    """Checks LOADs or STOREs, requests their rows, and passes their blocks on.

    The first row is requested 2 cycles after ``start``, then one a cycle; ``start`` is ready again when all rows are
    requested and the block is taken. With ``ahead`` it takes the next instruction meanwhile, one every 2 cycles if they
    have one row each. A fault waits until the blocks before have ended, so that nobody takes it for one of theirs; then
    it stops everything.

    Parameters
    ----------
    config : AcceleratorConfig
    targets : sequence of Target
    ahead : bool

    Attributes
    ----------
    start : In stream of the LOAD or STORE
    ended : In(1)
        The oldest block that was taken is written.
    oldest, stop : In(1)
        Nothing but blocks is left of what came before; a fault elsewhere.
    refused, first_refused : In(1), In(16)
        The block needs something else that is outside its scratchpad, from this index on; looked at after the block
        itself and before its window.
    idle : Out(1)
        Nothing was started that is not all requested and taken.
    single : Out(1)
        One block was taken and has not ended.
    base_<name> : In(address_bits)
        Two's complement: what lies below address 0 is outside the address space like what lies beyond its end.
    window : Out(window_port)
        A block is requested only if all of it, from its first byte in DRAM to its last, lies in its memory's window.
    ranges : Out stream of range_layout
        None for a block without data.
    blocks : Out stream of block_layout
        One a LOAD, at the earliest with the first row's range.
    fault : Out(fault_port)
    """

    def __init__(self, config: AcceleratorConfig, targets: Sequence[Target], *, ahead: bool = False) -> None:
        self._config = config
        self._targets = targets
        self._ahead = ahead
        self._layout = instruction_layout(Load, config)
        members: dict[str, In | Out] = {
            "start": In(stream.Signature(self._layout)),
            "ended": In(1),
            "oldest": In(1),
            "stop": In(1),
            "refused": In(1),
            "first_refused": In(16),
            "idle": Out(1),
            "single": Out(1),
            "ranges": Out(stream.Signature(range_layout(config))),
            "blocks": Out(stream.Signature(block_layout(targets))),
            "window": Out(window_port(config)),
            "fault": Out(fault_port()),
        }
        members |= {f"base_{t.memory.name.lower()}": In(address_bits(config)) for t in targets}
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # What was started last, from the next cycle on; and what is checked and requested, from the one after.
        following, waiting, advance = Signal(self._layout), Signal(), Signal()
        self._insn = insn = Signal(self._layout) if self._ahead else following
        tiles = Signal(34)
        outside, passed, alone = Signal(), Signal(), Signal()
        # What follows from the fields alone, found out as they come: the shape of the padded block, and how many tiles
        # lie between its first and the scratchpad's end, less than none where it begins beyond that.
        offered = self.start.payload
        shape = data.StructLayout(
            {"width": 17, "rows": 17, "room": signed(18), "some": 1, "data": 1, "merged": 1, "last_x": 16, "last_y": 16}
        )
        shape_following = Signal(shape)
        self._shape = Signal(shape) if self._ahead else shape_following
        merged = self._shape.merged
        unended = Signal(range((STORES_IN_FLIGHT if self._ahead else BLOCKS_AHEAD + 1) + 1))
        # Rows are requested and the block is offered while this is high.
        checked = Signal()
        depth = self._select([t.depth for t in self._targets])
        m.d.comb += [
            self.window.read.eq(self.start.valid & self.start.ready),
            self.window.row.eq(self.start.payload.memory),
            self.blocks.valid.eq(checked & ~passed),
            alone.eq(unended == passed),
            self.single.eq(unended == 1),
            # Not in the product's cycle, which is as long as they get.
            outside.eq(self._shape.some & (tiles > self._shape.room)),
        ]
        requested = self._request_rows(m, checked, merged, tiles)
        self._look_at(m, advance, following, shape_following)
        leaves, address = self._check_window(m, advance)
        free = Signal()
        m.d.comb += self.start.ready.eq((free | self._ahead) & ~waiting & ~self.fault.raised & ~self.stop)
        with m.If(self.start.valid & self.start.ready):
            m.d.sync += [
                following.eq(offered),
                waiting.eq(1),
                shape_following.width.eq(_width(offered)),
                shape_following.rows.eq(_rows(offered)),
                shape_following.room.eq(self._select([t.depth for t in self._targets], offered) - offered.sram),
                shape_following.some.eq(
                    (offered.x_size != 0) & Cat(offered.y_pad0, offered.y_size, offered.y_pad1).any()
                ),
                shape_following.data.eq((offered.x_size != 0) & (offered.y_size != 0)),
                shape_following.merged.eq(_is_one_range(offered)),
                shape_following.last_x.eq(offered.x_size - 1),
                shape_following.last_y.eq(offered.y_size - 1),
            ]
        with m.Elif(advance):
            m.d.sync += waiting.eq(0)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [free.eq(1), advance.eq(waiting & ~self.fault.raised), self.idle.eq(~waiting)]
                with m.If(advance):
                    m.next = "CHECK"
            with m.State("CHECK"):
                with m.If(~outside & ~leaves & ~self.refused):
                    m.d.comb += checked.eq(1)
                    m.next = "REQUEST"
                with m.Elif(alone & self.oldest):
                    with m.If(outside):
                        self._raise(m, Cause.SCRATCHPAD_RANGE, Mux(insn.sram > depth, insn.sram, depth))
                    with m.Elif(self.refused):
                        self._raise(m, Cause.SCRATCHPAD_RANGE, self.first_refused)
                    with m.Else():
                        self._raise(m, Cause.WINDOW, address)
                    m.next = "IDLE"
            with m.State("REQUEST"):
                m.d.comb += checked.eq(1)
                with m.If(requested & (passed | self.blocks.ready)):
                    m.d.comb += advance.eq(waiting & ~self.fault.raised)
                    m.next = "IDLE"
                    with m.If(advance):
                        m.next = "CHECK"
        passes = self.blocks.valid & self.blocks.ready
        with m.If(passes):
            m.d.sync += passed.eq(1)
        with m.If(advance):
            count = shape_following.width * shape_following.rows
            m.d.sync += [
                passed.eq(0),
                tiles.eq(Mux(shape_following.some, count, 0)),
            ]
        with m.If(passes != self.ended):
            m.d.sync += unended.eq(Mux(passes, unended + 1, unended - 1))

        block = self.blocks.payload
        m.d.comb += [
            block.memory.eq(insn.memory),
            block.index.eq(insn.sram),
            block.tiles.eq(tiles),
            block.width.eq(self._shape.width),
            block.x_begin.eq(insn.x_pad0),
            block.x_end.eq(insn.x_pad0 + insn.x_size),
            block.y_begin.eq(insn.y_pad0),
            block.y_end.eq(insn.y_pad0 + insn.y_size),
            block.row_slot.eq(insn.dram),
            block.row_step.eq(insn.x_stride),
            block.merged.eq(merged),
        ]
        return m

    def _select(self, values: Sequence[Value | int], insn: data.View | None = None) -> Value:
        return select(self._targets, (self._insn if insn is None else insn).memory, values)

    def _raise(self, m: Module, cause: Cause, value: Value) -> None:
        with m.If(~self.fault.raised):
            m.d.sync += [self.fault.raised.eq(1), self.fault.cause.eq(cause), self.fault.value.eq(value)]

    def _request_rows(self, m: Module, checked: Value, merged: Value, tiles: Value) -> Value:
        """Ask for the block's DRAM rows, in order; returns whether all are requested."""
        insn = self._insn
        self._address = address = Signal(address_bits(self._config))
        self._rows_left = rows_left = Signal(16)
        # For `_check_window`: how far the block's last byte, and the window's, are from its first one.
        self._to_last = Signal(32 + max(t.size_bits for t in self._targets))
        all_requested = Signal()
        self._behind = Signal(signed(len(address) + 1))
        nbytes = Signal(RANGE_BYTES_BITS)
        m.d.comb += [
            nbytes.eq(self._select([Mux(merged, tiles[:17], insn.x_size) * t.tile_bytes for t in self._targets])),
            self.ranges.payload.address.eq(address),
            self.ranges.payload.nbytes.eq(nbytes),
            self.ranges.valid.eq(checked & ~all_requested & ~self.fault.raised & ~self.stop),
        ]
        with m.If(self.ranges.valid & self.ranges.ready):
            step = self._select([insn.x_stride * t.tile_bytes for t in self._targets])
            m.d.sync += [address.eq(address + step), rows_left.eq(rows_left - 1)]
            m.d.sync += all_requested.eq(rows_left == 1)
        self._all_requested = all_requested
        return all_requested

    def _look_at(self, m: Module, advance: Value, insn: data.View, shape: data.View) -> None:
        """Prepare the check and the first row of what is checked next."""
        base = self._select([getattr(self, f"base_{t.memory.name.lower()}") for t in self._targets], insn)
        tiles_before = self._select([insn.dram * t.tile_bytes for t in self._targets], insn)
        # Cut to the address's width, at which a base below 0 counts.
        start = (base + tiles_before)[: len(self._address)]
        last_tile = (shape.last_y * insn.x_stride + shape.last_x)[:32]
        rows = Mux(shape.data, Mux(shape.merged, 1, insn.y_size), 0)
        with m.If(advance):
            m.d.sync += [
                self._address.eq(start),
                self._rows_left.eq(rows),
                self._all_requested.eq(~shape.data),
                self._to_last.eq(self._select([Cat(Const(-1, t.size_bits), last_tile) for t in self._targets], insn)),
                self._behind.eq(self.window.last - start),
            ]
            if self._ahead:
                m.d.sync += [self._insn.eq(insn), self._shape.eq(shape)]

    def _check_window(self, m: Module, advance: Value) -> tuple[Value, Value]:
        """Whether the block is not all in the window, and the address of its first byte, if that is not, or its last.

        One comparison deep, since it holds back the first request.
        """
        window_first = self.window.first
        if self._ahead:
            # The port may show what the next instruction needs.
            window_first = Signal.like(self.window.first)
            with m.If(advance):
                m.d.sync += window_first.eq(self.window.first)
        to_last = self._to_last
        first_outside = (self._address < window_first) | (self._behind < 0)
        leaves = self._shape.data & (first_outside | (to_last > self._behind))
        below_zero = self._address[-1]
        first = Mux(below_zero, self._address[: self._config.axi_addr_bits], self._address)
        return leaves, Mux(first_outside, first, self._address + to_last)
