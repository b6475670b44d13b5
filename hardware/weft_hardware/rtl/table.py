"""The epilogue's 256-entry table: any function of an 8-bit value."""

from __future__ import annotations

from amaranth.hdl import Module, Mux
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import Memory
from ..latencies import TABLE_LATENCY
from .rows import load_target
from .stages import Stages


class ByteTable(wiring.Component):
    """One copy of the table for each lane, in distributed RAM; free-running stages like the lanes'.

    A row is a bus beat: with 64 bits the table has 32 rows, the depth of a distributed RAM.

    Attributes
    ----------
    write : In(rows.Target.write_port)
    enables : In(TABLE_LATENCY)
        Bit 0 comes with the operands.
    bypass : In(1)
        Bytes pass unchanged; static.
    indices : In
        A byte a lane.
    results : Out
        Likewise.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._lanes = config.epilogue_lanes
        self._target = target = load_target(Memory.TABLE, config)
        super().__init__(
            {
                "write": In(target.write_port),
                "enables": In(TABLE_LATENCY),
                "bypass": In(1),
                "indices": In(self._lanes * 8),
                "results": Out(self._lanes * 8),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        at = Stages(m, self.enables)
        rows, row_bits = self._target.writes_per_tile, self._target.tile_bits // self._target.writes_per_tile
        byte_bits = (row_bits // 8 - 1).bit_length()
        for k in range(self._lanes):
            m.submodules[f"table_{k}"] = table = memory.Memory(shape=row_bits, depth=rows, init=[])
            # Read in the same cycle: distributed RAM rather than a block RAM.
            write, read = table.write_port(), table.read_port(domain="comb")
            index = self.indices.word_select(k, 8)
            m.d.comb += [
                write.en.eq(self.write.enable),
                write.addr.eq(self.write.index),
                write.data.eq(self.write.tile),
                read.addr.eq(index[byte_bits:]),
            ]
            row, passed = at(0, read.data, f"row_{k}"), at(0, index, f"index_{k}")
            chosen = row.word_select(passed[:byte_bits], 8)
            byte = at(1, Mux(self.bypass, passed, chosen), f"byte_{k}")
            m.d.comb += self.results.word_select(k, 8).eq(byte)
        return m
