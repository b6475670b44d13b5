"""The way of a STORE's tiles past the epilogue, or through it with each tile's parameters and residual operand."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import StoreMode
from ..latencies import BLOCKS_WAITING, RESIDUALS_AHEAD, RESIDUALS_PAUSE, STATIC_MODE
from .epilogue import Epilogue, epilogue_tile_layout
from .rows import STORES_IN_FLIGHT
from .signatures import scratchpad_write

OPERANDS = ("zero_point", "clamp_lo", "clamp_hi")
RESIDUAL_OPERANDS = ("scale", "residual_scale", "offset", "sum_lo", "sum_hi")

STREAM_LAYOUT = data.StructLayout({"tiles": 17, "width": 17, "requantised": 1})
"""A block: its tiles, those of a row, and whether they go through the epilogue."""


def has_mode(mode: Value, bit: StoreMode) -> Value:
    return mode[bit.bit_length() - 1]


class RequantisingPath(wiring.Component):
    """Takes the tiles of block after block, and requantises those of some.

    A tile enters the epilogue in the cycle in which its parameter tile's number and its residual operand are there, and
    takes ``batch · block_out / epilogue_lanes`` cycles. Blocks follow each other without a gap; one of another
    `STATIC_MODE` waits until the epilogue is empty.

    Attributes
    ----------
    blocks : In stream of STREAM_LAYOUT
        In the order of their tiles.
    first_param : In(16)
        Parameter tile of the first tile of the block on offer, ``mode`` (6 bits, `isa.StoreMode`) likewise.
    hold : In(1)
        No block may begin: it needs what a LOAD brings, or would overwrite in DRAM what that still reads.
    tiles : In stream of acc_tile_bits
    passed : Out stream of acc_tile_bits
        Those that are not requantised.
    results : Out stream of 8-bit tiles
        Those that are, in the same order.
    sent : In(1)
        The last result of a block was taken.
    starved : Out(1)
        A tile waits for its residual operand.
    write_param, write_residual, write_table : In(scratchpad_write)
        What LOAD brings. Residual tiles come in the order of the blocks' tiles, whatever their index.
    pause : Out(1)
        No residual tile may be written from the cycle after the next on.
    <register> : In
        The epilogue's, see there; static while a tile is inside.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        self._epilogue = epilogue = Epilogue(config)
        self._result_bits = config.batch * config.block_out * 8
        members: dict[str, In | Out] = {
            "blocks": In(stream.Signature(STREAM_LAYOUT)),
            "first_param": In(16),
            "mode": In(6),
            "hold": In(1),
            "tiles": In(stream.Signature(config.acc_tile_bits)),
            "passed": Out(stream.Signature(config.acc_tile_bits)),
            "results": Out(stream.Signature(self._result_bits)),
            "sent": In(1),
            "starved": Out(1),
        }
        self._forwarded = ["write_param", *OPERANDS]
        if config.residual:
            self._forwarded += RESIDUAL_OPERANDS
            members |= {
                "write_residual": In(scratchpad_write(config.acc_index_bits, self._result_bits)),
                "pause": Out(1),
            }
        self._forwarded += ["write_table"] if config.table else []
        members |= {name: epilogue.signature.members[name] for name in self._forwarded}
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.epilogue = epilogue = self._epilogue
        for name in self._forwarded:
            if name.startswith("write_"):
                wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(epilogue, name))
            else:
                m.d.comb += getattr(epilogue, name).eq(getattr(self, name))
        wiring.connect(m, epilogue.results, wiring.flipped(self.results))

        present, requantised, taken = Signal(), Signal(), Signal()
        tile = Signal(epilogue_tile_layout(self._config))
        self._mode = Signal(6)
        operand_there = self._residual(m, tile.residual, taken) if self._config.residual else 1
        enters = present & requantised & operand_there
        m.d.comb += [
            tile.tile.eq(self.tiles.payload),
            epilogue.mode.eq(self._mode),
            epilogue.tiles.payload.eq(tile),
            epilogue.tiles.valid.eq(self.tiles.valid & enters),
            taken.eq(epilogue.tiles.valid & epilogue.tiles.ready),
            self.passed.payload.eq(self.tiles.payload),
            self.passed.valid.eq(self.tiles.valid & present & ~requantised),
            self.tiles.ready.eq(Mux(requantised, epilogue.tiles.ready & enters, present & self.passed.ready)),
            self.starved.eq(self.tiles.valid & present & requantised & ~enters),
        ]
        m.d.comb += tile.param.eq(self._follow_blocks(m, present, requantised))
        return m

    def _follow_blocks(self, m: Module, present: Signal, requantised: Signal) -> Value:
        """Know which block the next tile belongs to; returns its parameter tile."""
        layout = data.StructLayout({"param": 16, "mode": 6, **STREAM_LAYOUT.members})
        m.submodules.waiting = waiting = fifo.SyncFIFO(width=layout.size, depth=BLOCKS_WAITING)
        following = layout(waiting.r_data)
        left, x, width, param, row_param = Signal(17), Signal(17), Signal(17), Signal(16), Signal(16)
        # Blocks some of whose tiles are, or will be, in the epilogue.
        inside = Signal(range(STORES_IN_FLIGHT + 1))
        taken, begins, enters, fits = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            waiting.w_data.eq(Cat(self.first_param, self.mode, self.blocks.payload)),
            waiting.w_en.eq(self.blocks.valid),
            self.blocks.ready.eq(waiting.w_rdy),
            taken.eq(self.tiles.valid & self.tiles.ready),
            fits.eq((inside == 0) | ((following.mode ^ self._mode) & STATIC_MODE == 0)),
            begins.eq(waiting.r_rdy & ~self.hold & (~following.requantised | fits)),
            waiting.r_en.eq(begins & (~present | (taken & (left == 1)))),
            enters.eq(waiting.r_en & following.requantised),
        ]
        with m.If(taken):
            m.d.sync += [left.eq(left - 1), present.eq(left != 1)]
        with m.If(taken & requantised):
            m.d.sync += [x.eq(x + 1), param.eq(param + has_mode(self._mode, StoreMode.PARAM_X))]
            with m.If(x == width - 1):
                next_row = row_param + has_mode(self._mode, StoreMode.PARAM_Y)
                m.d.sync += [x.eq(0), param.eq(next_row), row_param.eq(next_row)]
        with m.If(waiting.r_en):
            m.d.sync += [left.eq(following.tiles), present.eq(1), requantised.eq(following.requantised)]
        with m.If(enters):
            m.d.sync += [x.eq(0), width.eq(following.width), self._mode.eq(following.mode)]
            m.d.sync += [param.eq(following.param), row_param.eq(following.param)]
        with m.If(enters != self.sent):
            m.d.sync += inside.eq(Mux(enters, inside + 1, inside - 1))
        return param

    def _residual(self, m: Module, operand: Value, taken: Value) -> Value:
        """Queue the residual operand's tiles; returns whether the next one is there, or none is needed."""
        m.submodules.residuals = residuals = fifo.SyncFIFO(width=self._result_bits, depth=RESIDUALS_AHEAD)
        needed = has_mode(self._mode, StoreMode.RESIDUAL)
        m.d.comb += [
            residuals.w_data.eq(self.write_residual.tile),
            residuals.w_en.eq(self.write_residual.enable),
            # One may be on its way from the loader's walk when the pause begins.
            self.pause.eq(residuals.w_level >= RESIDUALS_PAUSE),
            operand.eq(residuals.r_data),
            residuals.r_en.eq(taken & needed),
        ]
        return ~needed | residuals.r_rdy
