"""A wide tile written into a narrower memory, row by row."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .signatures import scratchpad_write


class TileSpreader(wiring.Component):
    """Cuts each written tile into rows, the first of which is written at once, the others one a cycle.

    A tile written before the one before is complete takes its place: tiles for different indices have to be as many
    cycles apart as a tile has rows.

    Parameters
    ----------
    index_bits, tile_bits : int
        Of the tiles.
    row_bits : int
        Of a row; a tile has a power of two of them.

    Attributes
    ----------
    tiles : In(scratchpad_write)
    rows : Out(scratchpad_write)
        Row ``k`` of tile ``i`` has index ``i · rows_per_tile + k``.
    settled : Out(1)
        All tiles written before this cycle are complete.
    """

    def __init__(self, index_bits: int, tile_bits: int, row_bits: int) -> None:
        self.rows_per_tile = tile_bits // row_bits
        self._number_bits = (self.rows_per_tile - 1).bit_length()
        self._row_bits = row_bits
        super().__init__(
            {
                "tiles": In(scratchpad_write(index_bits, tile_bits)),
                "rows": Out(scratchpad_write(index_bits + self._number_bits, row_bits)),
                "settled": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        tiles, rows, bits, count = self.tiles, self.rows, self._row_bits, self.rows_per_tile
        if count == 1:
            m.d.comb += [rows.enable.eq(tiles.enable), rows.index.eq(tiles.index), rows.tile.eq(tiles.tile)]
            m.d.comb += self.settled.eq(1)
            return m
        left = Signal(range(count))
        index = Signal.like(tiles.index)
        waiting = [Signal(bits, name=f"row_{k}", reset_less=True) for k in range(1, count)]
        with m.If(tiles.enable):
            m.d.sync += [left.eq(count - 1), index.eq(tiles.index)]
            m.d.sync += [row.eq(tiles.tile[k * bits : (k + 1) * bits]) for k, row in enumerate(waiting, start=1)]
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)

        number = (count - left)[: self._number_bits]
        m.d.comb += [rows.enable.eq(tiles.enable | (left != 0)), self.settled.eq(left == 0)]
        with m.If(tiles.enable):
            m.d.comb += [rows.tile.eq(tiles.tile[:bits]), rows.index.eq(Cat(Const(0, self._number_bits), tiles.index))]
        with m.Else():
            m.d.comb += [rows.tile.eq(Array([waiting[0], *waiting])[number]), rows.index.eq(Cat(number, index))]
        return m
