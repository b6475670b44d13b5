"""Accumulator tiles into write beats: the inverse of what `block` does to read beats."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import Memory, tile_bytes
from .signatures import write_beat_layout


def packed_tile_layout(config: AcceleratorConfig) -> data.StructLayout:
    """An accumulator tile on its way to DRAM.

    ``raw`` stores it whole, otherwise its elements' low ``out_bits``. ``slot`` is the tile's number in DRAM modulo
    the tiles in a beat; ``last`` marks the last tile of a byte range.
    """
    lane_bits = config.axi_bytes.bit_length()
    return data.StructLayout({"tile": config.acc_tile_bits, "raw": 1, "slot": lane_bits, "last": 1})


class TilePacker(wiring.Component):
    """Cuts wide tiles into beats, gathers narrow ones, with strobes.

    One beat a cycle for tiles as wide as the bus or wider; one tile a cycle for narrower ones.

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

    def _narrowed(self, tile: Value) -> Value:
        acc_bits, out_bits = self._config.acc_bits, self._config.out_bits
        return Cat(tile[k : k + out_bits] for k in range(0, len(tile), acc_bits))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, tile, beat = self._config, self.tiles.payload, self.beats.payload
        narrowed = self._narrowed(tile.tile)
        part = Signal(range(max(2, config.acc_tile_bits // config.axi_data_bits)))
        room, tile_ends, beat_ends = Signal(), Signal(), Signal()
        word, strobe = Signal(config.axi_data_bits), Signal(config.axi_bytes)
        with m.If(tile.raw):
            self._place(m, Memory.ACC, tile.tile, part, word, strobe, tile_ends, beat_ends)
        with m.Else():
            self._place(m, Memory.OUT, narrowed, part, word, strobe, tile_ends, beat_ends)

        # A beat being gathered stays in the output register, not yet valid, until its last tile arrived.
        gathering = Signal()
        taken = Signal()
        m.d.comb += [
            room.eq(~self.beats.valid | self.beats.ready),
            taken.eq(self.tiles.valid & room),
            self.tiles.ready.eq(room & tile_ends),
        ]
        with m.If(taken):
            m.d.sync += [
                part.eq(Mux(tile_ends, 0, part + 1)),
                beat.data.eq(Mux(gathering, beat.data, 0) | word),
                beat.strobe.eq(Mux(gathering, beat.strobe, 0) | strobe),
                beat.last.eq(tile.last & tile_ends),
                self.beats.valid.eq(beat_ends),
                gathering.eq(~beat_ends),
            ]
        with m.Elif(self.beats.ready):
            m.d.sync += self.beats.valid.eq(0)
        return m

    def _place(
        self,
        m: Module,
        memory: Memory,
        tile: Value,
        part: Signal,
        word: Signal,
        strobe: Signal,
        tile_ends: Signal,
        beat_ends: Signal,
    ) -> None:
        """Put the tile, or its present part, into its byte lanes."""
        nbytes, axi_bytes = tile_bytes(memory, self._config), self._config.axi_bytes
        if nbytes >= axi_bytes:
            m.d.comb += [
                word.eq(tile.word_select(part, len(word))),
                strobe.eq((1 << axi_bytes) - 1),
                tile_ends.eq(part == nbytes // axi_bytes - 1),
                beat_ends.eq(1),
            ]
            return
        slots = axi_bytes // nbytes
        slot = self.tiles.payload.slot & (slots - 1)
        m.d.comb += [
            word.word_select(slot, len(tile)).eq(tile),
            strobe.word_select(slot, nbytes).eq((1 << nbytes) - 1),
            tile_ends.eq(1),
            beat_ends.eq((slot == slots - 1) | self.tiles.payload.last),
        ]
