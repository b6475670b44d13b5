"""The epilogue's parameter scratchpad: bias and scale of each channel."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import PARAM_BITS
from .signatures import scratchpad_write
from .spread import TileSpreader

FETCH_LATENCY = 2
"""Cycles from a read's enable to the parameters: the memory, and a register behind it."""


def param_index_bits(config: AcceleratorConfig) -> int:
    """Bits of a parameter tile's number in the scratchpad."""
    return max(1, (config.param_depth - 1).bit_length())


class ParameterMemory(wiring.Component):
    """``param_depth`` tiles of ``block_out`` channels, read ``epilogue_lanes`` channels at a time.

    A row holds only as many channels as the lanes need and a bus beat brings, so that few block RAMs serve. A written
    tile is spread over the cycles that its beats take to arrive: tiles may follow each other every ``rows_per_tile``
    cycles.

    Attributes
    ----------
    write : In(scratchpad_write)
    enable : In(1)
        Read; what is there `FETCH_LATENCY` cycles later holds until the next read.
    tile, part : In
        Parameter tile, and which ``epilogue_lanes`` of its channels.
    channels : Out
        `isa.PARAM_BITS` each.
    settled : Out(1)
        All that was written before this cycle can be read.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        self._lanes = lanes = config.epilogue_lanes
        channels = config.block_out
        self._row_channels = min(channels, max(lanes, config.axi_data_bits // PARAM_BITS))
        self.rows_per_tile = channels // self._row_channels
        self._index_bits, self._tile_bits = param_index_bits(config), channels * PARAM_BITS
        super().__init__(
            {
                "write": In(scratchpad_write(self._index_bits, self._tile_bits)),
                "enable": In(1),
                "tile": In(self._index_bits),
                "part": In(range(max(2, channels // lanes))),
                "channels": Out(lanes * PARAM_BITS),
                "settled": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rows, row_bits = self.rows_per_tile, self._row_channels * PARAM_BITS
        m.submodules.spreader = spreader = TileSpreader(self._index_bits, self._tile_bits, row_bits)
        m.submodules.memory = store = memory.Memory(shape=row_bits, depth=self._config.param_depth * rows, init=[])
        write, read = store.write_port(), store.read_port()
        wiring.connect(m, wiring.flipped(self.write), spreader.tiles)

        parts_per_row = self._row_channels // self._lanes
        part_bits = (parts_per_row - 1).bit_length()
        row = self.part[part_bits : part_bits + (rows - 1).bit_length()]
        m.d.comb += [
            write.en.eq(spreader.rows.enable),
            write.addr.eq(spreader.rows.index),
            write.data.eq(spreader.rows.tile),
            self.settled.eq(spreader.settled),
            read.en.eq(self.enable),
            read.addr.eq(Cat(row, self.tile)),
        ]
        arrived = Signal()
        channels = Signal(self._lanes * PARAM_BITS, reset_less=True)
        m.d.sync += arrived.eq(self.enable)
        chosen = read.data
        if parts_per_row > 1:
            part = Signal(part_bits, reset_less=True)
            with m.If(self.enable):
                m.d.sync += part.eq(self.part)
            chosen = read.data.word_select(part, len(channels))
        with m.If(arrived):
            m.d.sync += channels.eq(chosen)
        m.d.comb += self.channels.eq(channels)
        return m
