"""The epilogue's parameter scratchpad: bias and scale of each channel."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import PARAM_BITS, Memory
from ..latencies import FETCH_LATENCY as FETCH_LATENCY
from .rows import load_target


class ParameterMemory(wiring.Component):
    """``param_depth`` tiles of ``block_out`` channels, read ``epilogue_lanes`` channels at a time.

    A row holds only as many channels as the lanes need, or a bus beat brings, so that few block RAMs serve. It is
    written beat by beat, as beats come.

    Attributes
    ----------
    write : In(rows.Target.write_port)
    enable : In(1)
        Read; what is there `FETCH_LATENCY` cycles later holds until the next read.
    tile, part : In
        Parameter tile, and which ``epilogue_lanes`` of its channels.
    channels : Out
        `isa.PARAM_BITS` each.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._lanes = config.epilogue_lanes
        self._target = target = load_target(Memory.PARAM, config)
        self._write_bits = target.tile_bits // target.writes_per_tile
        self._row_bits = max(self._lanes * PARAM_BITS, self._write_bits)
        self._rows_per_tile = target.tile_bits // self._row_bits
        super().__init__(
            {
                "write": In(target.write_port),
                "enable": In(1),
                "tile": In(target.index_bits),
                "part": In(range(max(2, config.block_out // self._lanes))),
                "channels": Out(self._lanes * PARAM_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rows = self._rows_per_tile
        store = memory.Memory(shape=self._row_bits, depth=self._target.depth * rows, init=[])
        m.submodules.memory = store
        write, read = store.write_port(granularity=self._write_bits), store.read_port()
        part_bits = (self._row_bits // self._write_bits - 1).bit_length()
        m.d.comb += [
            write.en.eq(self.write.enable << self.write.index[:part_bits]),
            write.addr.eq(self.write.index[part_bits:]),
            write.data.eq(self.write.tile.replicate(self._row_bits // self._write_bits)),
        ]

        parts_per_row = self._row_bits // len(self.channels)
        part_bits = (parts_per_row - 1).bit_length()
        row = self.part[part_bits : part_bits + (rows - 1).bit_length()]
        m.d.comb += [read.en.eq(self.enable), read.addr.eq(Cat(row, self.tile))]
        arrived = Signal()
        channels = Signal(len(self.channels), reset_less=True)
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
