"""The epilogue's 256-entry table: any function of an 8-bit value."""

from __future__ import annotations

from amaranth.hdl import Module, Mux
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from ..isa import TABLE_ENTRIES
from .signatures import scratchpad_write
from .spread import TileSpreader
from .stages import Stages

TABLE_LATENCY = 2
"""Cycles from an index to its byte: a row of bytes is read, then one of them is chosen."""

ROW_BYTES = 8
"""A row as wide as the narrowest bus beat: 32 rows are the depth of a distributed RAM."""


class ByteTable(wiring.Component):
    """One copy of the table for each lane, in distributed RAM; free-running stages like the lanes'.

    Attributes
    ----------
    write : In(scratchpad_write)
        The whole table, as one tile; its last bytes are in their place 31 cycles later.
    enables : In(TABLE_LATENCY)
        Bit 0 comes with the operands.
    bypass : In(1)
        Bytes pass unchanged; static.
    indices : In
        A byte a lane.
    results : Out
        Likewise.
    settled : Out(1)
        All that was written before this cycle can be read.
    """

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        super().__init__(
            {
                "write": In(scratchpad_write(1, TABLE_ENTRIES * 8)),
                "enables": In(TABLE_LATENCY),
                "bypass": In(1),
                "indices": In(lanes * 8),
                "results": Out(lanes * 8),
                "settled": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        at = Stages(m, self.enables)
        m.submodules.spreader = spreader = TileSpreader(1, TABLE_ENTRIES * 8, ROW_BYTES * 8)
        wiring.connect(m, wiring.flipped(self.write), spreader.tiles)
        m.d.comb += self.settled.eq(spreader.settled)
        for k in range(self._lanes):
            table = memory.Memory(shape=ROW_BYTES * 8, depth=TABLE_ENTRIES // ROW_BYTES, init=[])
            m.submodules[f"table_{k}"] = table
            # Read in the same cycle: distributed RAM rather than a block RAM.
            write, read = table.write_port(), table.read_port(domain="comb")
            index = self.indices.word_select(k, 8)
            m.d.comb += [
                write.en.eq(spreader.rows.enable),
                write.addr.eq(spreader.rows.index),
                write.data.eq(spreader.rows.tile),
                read.addr.eq(index[3:]),
            ]
            row, passed = at(0, read.data, f"row_{k}"), at(0, index, f"index_{k}")
            chosen = row.word_select(passed[:3], 8)
            byte = at(1, Mux(self.bypass, passed, chosen), f"byte_{k}")
            m.d.comb += self.results.word_select(k, 8).eq(byte)
        return m
