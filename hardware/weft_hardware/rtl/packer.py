"""Tiles into write beats: the inverse of what `block` does to read beats."""

from __future__ import annotations

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import Memory, tile_bytes
from .signatures import narrowed, stored_tile_bits, write_beat_layout


def packed_tile_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A tile on its way to DRAM.

    ``memory`` says what of it: ACC stores ``tile`` whole, OUT its elements' low ``out_bits``, which are all of ``tile``
    if nothing else can be stored, ACC_8BIT ``result`` (there with an epilogue only). ``slot`` is the tile's number in
    DRAM modulo the tiles in a beat; ``last`` marks the last tile of a byte range.
    """
    result = {"result": config.batch * config.block_out * 8} if config.epilogue_lanes else {}
    lane_bits = config.axi_bytes.bit_length()
    return data.StructLayout({"tile": stored_tile_bits(config), **result, "memory": 3, "slot": lane_bits, "last": 1})


class TilePacker(wiring.Component):
    """Cuts wide tiles into beats, gathers narrow ones, with strobes.

    One beat a cycle for tiles as wide as the bus or wider; one tile a cycle for narrower ones. A beat is valid in the
    cycle after its tile was, or its last tile.

    Attributes
    ----------
    tiles : In stream of packed_tile_layout
    beats : Out stream of write_beat_layout
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "tiles": In(stream.Signature(packed_tile_layout(config))),
                "beats": Out(stream.Signature(write_beat_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, tile, beat = self._config, self.tiles.payload, self.beats.payload
        self._part = part = Signal(range(max(2, len(tile.tile) // config.axi_data_bits)))
        self._tile_ends, self._beat_ends, room = Signal(), Signal(), Signal()
        self._word, self._strobe = Signal(config.axi_data_bits), Signal(config.axi_bytes)
        out = tile.tile if len(tile.tile) == config.out_tile_bits else narrowed(tile.tile, config)
        with m.Switch(tile.memory):
            if config.raw_store:
                with m.Case(Memory.ACC):
                    self._place(m, Memory.ACC, tile.tile)
            if config.epilogue_lanes and config.out_bits != 8:
                with m.Case(Memory.ACC_8BIT):
                    self._place(m, Memory.ACC_8BIT, tile.result)
            with m.Default():
                if config.epilogue_lanes and config.out_bits == 8:
                    out = Mux(tile.memory == Memory.ACC_8BIT, tile.result, out)
                self._place(m, Memory.OUT, out)

        # A beat being gathered stays in the output register, not yet valid, until its last tile arrived.
        gathering = Signal()
        taken = Signal()
        m.d.comb += [
            room.eq(~self.beats.valid | self.beats.ready),
            taken.eq(self.tiles.valid & room),
            self.tiles.ready.eq(room & self._tile_ends),
        ]
        with m.If(taken):
            m.d.sync += [
                part.eq(Mux(self._tile_ends, 0, part + 1)),
                beat.data.eq(Mux(gathering, beat.data, 0) | self._word),
                beat.strobe.eq(Mux(gathering, beat.strobe, 0) | self._strobe),
                beat.last.eq(tile.last & self._tile_ends),
                self.beats.valid.eq(self._beat_ends),
                gathering.eq(~self._beat_ends),
            ]
        with m.Elif(self.beats.ready):
            m.d.sync += self.beats.valid.eq(0)
        return m

    def _place(self, m: Module, memory: Memory, tile: Value) -> None:
        """Put the tile, or its present part, into its byte lanes."""
        nbytes, axi_bytes = tile_bytes(memory, self._config), self._config.axi_bytes
        if nbytes >= axi_bytes:
            m.d.comb += [
                self._word.eq(tile.word_select(self._part, axi_bytes * 8)),
                self._strobe.eq((1 << axi_bytes) - 1),
                self._tile_ends.eq(self._part == nbytes // axi_bytes - 1),
                self._beat_ends.eq(1),
            ]
            return
        slots = axi_bytes // nbytes
        slot = self.tiles.payload.slot & (slots - 1)
        m.d.comb += [
            self._word.word_select(slot, len(tile)).eq(tile),
            self._strobe.word_select(slot, nbytes).eq((1 << nbytes) - 1),
            self._tile_ends.eq(1),
            self._beat_ends.eq((slot == slots - 1) | self.tiles.payload.last),
        ]
