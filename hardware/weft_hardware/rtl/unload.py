"""A STORE's tiles: read from the accumulators, requantised on the way or not, and sent as write beats."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from .packer import TilePacker, packed_tile_layout
from .rows import Target, block_layout
from .signatures import ACC_READ_LATENCY, acc_read_port, write_beat_layout

TILES_AHEAD = 8
"""Tiles read but not yet packed: covers the read latency and the buffer's own at one tile a cycle."""


class AccumulatorReader(wiring.Component):
    """Reads consecutive accumulators ahead, as far as its buffer reaches, one a cycle when compute grants it.

    The first read is requested in the cycle after ``start``; its tile is there `signatures.ACC_READ_LATENCY` + 1 cycles
    later.

    Attributes
    ----------
    start : In(1)
        Read ``count`` tiles from ``index`` on; all tiles of the block before have been taken.
    index, count : In(17)
    acc_read : Out(acc_read_port)
    tiles : Out stream of acc_tile_bits
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "index": In(17),
                "count": In(17),
                "acc_read": Out(acc_read_port(config)),
                "tiles": Out(stream.Signature(config.acc_tile_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        read = self.acc_read
        m.submodules.buffer = buffer = fifo.SyncFIFO(width=self._config.acc_tile_bits, depth=TILES_AHEAD)
        unread, index = Signal(17), Signal(17)
        # Tiles requested that have not left the buffer: they never exceed it, so the buffer always takes a tile.
        ahead = Signal(range(TILES_AHEAD + 1))
        arriving = Signal(ACC_READ_LATENCY)
        requested, taken = Signal(), Signal()
        m.d.comb += [
            read.request.payload.eq(index),
            read.request.valid.eq((unread != 0) & (ahead != TILES_AHEAD)),
            requested.eq(read.request.valid & read.request.ready),
            buffer.w_data.eq(read.tile),
            buffer.w_en.eq(arriving[-1]),
            self.tiles.payload.eq(buffer.r_data),
            self.tiles.valid.eq(buffer.r_rdy),
            buffer.r_en.eq(self.tiles.ready),
            taken.eq(buffer.r_rdy & buffer.r_en),
        ]
        m.d.sync += arriving.eq(Cat(requested, arriving))
        with m.If(requested != taken):
            m.d.sync += ahead.eq(Mux(requested, ahead + 1, ahead - 1))
        with m.If(requested):
            m.d.sync += [unread.eq(unread - 1), index.eq(index + 1)]
        with m.If(self.start):
            m.d.sync += [unread.eq(self.count), index.eq(self.index)]
        return m


class TileSender(wiring.Component):
    """Packs a block's tiles into beats, as they come.

    Attributes
    ----------
    start : In(1)
        Tiles are ``block``'s from now on; all tiles of the block before have been taken.
    block : In(block_layout)
    tiles : In stream of acc_tile_bits
        For OUT and ACC.
    results : In stream of 8-bit tiles
        For ACC_8BIT; there with an epilogue only.
    beats : Out stream of write_beat_layout
    """

    def __init__(self, config: AcceleratorConfig, targets: Sequence[Target]) -> None:
        self._config = config
        self._block = block_layout(targets)
        members: dict[str, In | Out] = {
            "start": In(1),
            "block": In(self._block),
            "tiles": In(stream.Signature(config.acc_tile_bits)),
            "beats": Out(stream.Signature(write_beat_layout(config))),
        }
        if config.epilogue_lanes:
            members["results"] = In(stream.Signature(config.batch * config.block_out * 8))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.packer = packer = TilePacker(self._config)
        wiring.connect(m, packer.beats, wiring.flipped(self.beats))
        # Data for another memory never wait here: one block at a time.
        sources = [self.tiles, self.results] if self._config.epilogue_lanes else [self.tiles]

        block, x = Signal(self._block), Signal(17)
        slot = Signal.like(block.row_slot)
        next_row_slot = (block.row_slot + block.row_step)[: len(slot)]
        packed = Signal(packed_tile_layout(self._config))
        m.d.comb += [
            packed.tile.eq(self.tiles.payload),
            packed.memory.eq(block.memory),
            packed.slot.eq(slot),
            packed.last.eq(Mux(block.merged, block.tiles == 1, x == block.width - 1)),
            packer.tiles.payload.eq(packed),
            packer.tiles.valid.eq(Cat(source.valid for source in sources).any()),
        ]
        m.d.comb += [source.ready.eq(packer.tiles.ready) for source in sources]
        if self._config.epilogue_lanes:
            m.d.comb += packed.result.eq(self.results.payload)
        with m.If(packer.tiles.valid & packer.tiles.ready):
            m.d.sync += [block.tiles.eq(block.tiles - 1), x.eq(x + 1), slot.eq(slot + 1)]
            with m.If(packed.last):
                m.d.sync += [x.eq(0), block.row_slot.eq(next_row_slot), slot.eq(next_row_slot)]
        with m.If(self.start):
            m.d.sync += [block.eq(self.block), x.eq(0), slot.eq(self.block.row_slot)]
        return m
