"""One scratchpad: a memory with one write and one read port."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out, Signature

from ..latencies import MEMORY_LATENCY as MEMORY_LATENCY
from ..latencies import READ_LATENCY as READ_LATENCY
from .signatures import scratchpad_write


def scratchpad_read(index_bits: int, tile_bits: int) -> Signature:
    """One tile read per cycle, never refused; ``tile`` holds until the next read arrives."""
    return Signature({"enable": Out(1), "index": Out(index_bits), "tile": In(tile_bits)})


class Scratchpad(wiring.Component):
    """A memory of ``depth`` tiles, zero at power-up, that reads and writes one tile a cycle each.

    A read returns what the memory held before a write of the same cycle. A block RAM needs a register right behind it
    to reach its clock rate: this one's, or one of the reader's.
    Indices are not checked: who drives the ports has compared them with the depth.

    Parameters
    ----------
    depth : int
        Tiles, any number.
    index_bits, tile_bits : int
        Widths of the ports; an index may be wider than the depth needs.
    registered : bool
        Whether the output is registered here: `READ_LATENCY`, else `MEMORY_LATENCY`.
    """

    def __init__(self, depth: int, index_bits: int, tile_bits: int, registered: bool = True) -> None:
        self.depth = depth
        self.tile_bits = tile_bits
        self.registered = registered
        super().__init__(
            {
                "write": In(scratchpad_write(index_bits, tile_bits)),
                "read": In(scratchpad_read(index_bits, tile_bits)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.memory = tiles = memory.Memory(shape=self.tile_bits, depth=self.depth, init=[])
        write = tiles.write_port()
        read = tiles.read_port()
        m.d.comb += [
            write.en.eq(self.write.enable),
            write.addr.eq(self.write.index),
            write.data.eq(self.write.tile),
            read.en.eq(self.read.enable),
            read.addr.eq(self.read.index),
        ]
        if not self.registered:
            m.d.comb += self.read.tile.eq(read.data)
            return m
        arrived = Signal()
        tile = Signal(self.tile_bits, reset_less=True)
        m.d.sync += arrived.eq(self.read.enable)
        with m.If(arrived):
            m.d.sync += tile.eq(read.data)
        m.d.comb += self.read.tile.eq(tile)
        return m
