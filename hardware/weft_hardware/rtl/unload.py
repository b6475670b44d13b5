"""A STORE's tiles: read from the accumulators, requantised on the way or not, and sent as write beats."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import Memory
from ..latencies import BLOCKS_READ, TILES_AHEAD
from .packer import TilePacker, packed_tile_layout
from .rows import Target, block_layout
from .signatures import ACC_READ_LATENCY, acc_read_port, stored_tile_bits, write_beat_layout

READ_LAYOUT = data.StructLayout({"index": 17, "count": 17})


class AccumulatorReader(wiring.Component):
    """Reads consecutive accumulators ahead, as far as its buffer reaches, one a cycle when compute grants it.

    The first read is requested in the cycle after ``start``; its tile is there `signatures.ACC_READ_LATENCY` + 1 cycles
    later. The next block may start when all of this one is requested.

    Attributes
    ----------
    start : In stream of ``index`` and ``count``, 17 bits each
        Read ``count`` tiles from ``index`` on.
    acc_read : Out(acc_read_port)
    tiles : Out stream of stored_tile_bits
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "start": In(stream.Signature(READ_LAYOUT)),
                "acc_read": Out(acc_read_port(config)),
                "tiles": Out(stream.Signature(stored_tile_bits(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        read = self.acc_read
        m.submodules.buffer = buffer = fifo.SyncFIFO(width=len(read.tile), depth=TILES_AHEAD)
        unread, index = Signal(17), Signal(17)
        # Tiles requested that have not left the buffer: they never exceed it, so the buffer always takes a tile.
        ahead = Signal(range(TILES_AHEAD + 1))
        arriving = Signal(ACC_READ_LATENCY)
        requested, taken = Signal(), Signal()
        m.d.comb += [
            self.start.ready.eq(unread == 0),
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
        with m.If(self.start.valid & self.start.ready):
            m.d.sync += [unread.eq(self.start.payload.count), index.eq(self.start.payload.index)]
        return m


class TileSender(wiring.Component):
    """Packs the tiles of block after block into beats, as they come.

    Attributes
    ----------
    blocks : In stream of block_layout
        They wait here for those before.
    tiles : In stream of stored_tile_bits
        For OUT and ACC; taken while such a block is the present one.
    results : In stream of 8-bit tiles
        For ACC_8BIT, likewise; there with an epilogue only.
    sent : Out(1)
        The present block's last tile is taken; ``sent_memory`` is its memory.
    busy : Out(1)
        A block is not all taken.
    beats : Out stream of write_beat_layout
    """

    def __init__(self, config: AcceleratorConfig, targets: Sequence[Target]) -> None:
        self._config = config
        self._block = block_layout(targets)
        members: dict[str, In | Out] = {
            "blocks": In(stream.Signature(self._block)),
            "tiles": In(stream.Signature(stored_tile_bits(config))),
            "sent": Out(1),
            "sent_memory": Out(3),
            "busy": Out(1),
            "beats": Out(stream.Signature(write_beat_layout(config))),
        }
        if config.epilogue_lanes:
            members["results"] = In(stream.Signature(config.batch * config.block_out * 8))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.packer = packer = TilePacker(self._config)
        wiring.connect(m, packer.beats, wiring.flipped(self.beats))
        fields = {name: self._block[name] for name in ("memory", "tiles", "width", "row_slot", "row_step", "merged")}
        waiting_block = data.StructLayout({name: field.width for name, field in fields.items()})
        m.submodules.waiting = waiting = fifo.SyncFIFO(width=waiting_block.size, depth=BLOCKS_READ)
        following = waiting_block(waiting.r_data)
        block, present, x = Signal(waiting_block), Signal(), Signal(17)
        slot = Signal.like(block.row_slot)
        next_row_slot = (block.row_slot + block.row_step)[: len(slot)]
        packed = Signal(packed_tile_layout(self._config))
        taken = Signal()
        m.d.comb += [
            waiting.w_data.eq(Cat(self.blocks.payload[name] for name in fields)),
            waiting.w_en.eq(self.blocks.valid),
            self.blocks.ready.eq(waiting.w_rdy),
            packed.tile.eq(self.tiles.payload),
            packed.memory.eq(block.memory),
            packed.slot.eq(slot),
            packed.last.eq(Mux(block.merged, block.tiles == 1, x == block.width - 1)),
            packer.tiles.payload.eq(packed),
            taken.eq(packer.tiles.valid & packer.tiles.ready),
            self.sent.eq(taken & (block.tiles == 1)),
            self.sent_memory.eq(block.memory),
            self.busy.eq(present | waiting.r_rdy),
            waiting.r_en.eq(~present | self.sent),
        ]
        if self._config.epilogue_lanes:
            requantised = block.memory == Memory.ACC_8BIT
            m.d.comb += [
                packed.result.eq(self.results.payload),
                packer.tiles.valid.eq(present & Mux(requantised, self.results.valid, self.tiles.valid)),
                self.tiles.ready.eq(present & ~requantised & packer.tiles.ready),
                self.results.ready.eq(present & requantised & packer.tiles.ready),
            ]
        else:
            m.d.comb += [
                packer.tiles.valid.eq(present & self.tiles.valid),
                self.tiles.ready.eq(present & packer.tiles.ready),
            ]
        with m.If(taken):
            m.d.sync += [block.tiles.eq(block.tiles - 1), x.eq(x + 1), slot.eq(slot + 1)]
            with m.If(packed.last):
                m.d.sync += [x.eq(0), block.row_slot.eq(next_row_slot), slot.eq(next_row_slot)]
        with m.If(waiting.r_en):
            m.d.sync += present.eq(waiting.r_rdy)
            with m.If(waiting.r_rdy):
                m.d.sync += [block.eq(following), x.eq(0), slot.eq(following.row_slot)]
        return m
