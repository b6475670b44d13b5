"""The accumulator scratchpad, in two banks so that a store and the compute unit can read at the same time."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out, Signature

from ..config import AcceleratorConfig
from .signatures import acc_read_port, narrowed, scratchpad_write


def banked_read(config: AcceleratorConfig) -> Signature:
    """One tile read per cycle; ``tiles`` is what either bank puts out.

    So the choice between them is one with whatever else the reader chooses from. ``upper`` is `Accumulators.upper` of
    the index, found out early.
    """
    tiles = data.ArrayLayout(config.acc_tile_bits, 2)
    return Signature({"enable": Out(1), "index": Out(config.acc_index_bits), "upper": Out(1), "tiles": In(tiles)})


class Accumulators(wiring.Component):
    """``acc_depth`` accumulator tiles, zero at power-up; the upper half of the indices is a bank of its own.

    Each bank has one write and one read port. Compute's read is never refused; its tile comes one cycle after
    ``enable``, unregistered, and holds what the bank held before a write of the same cycle. A store's read is accepted
    in every cycle in which compute does not read that bank; its tile comes `signatures.ACC_READ_LATENCY` cycles later.
    Indices are not checked here.

    Attributes
    ----------
    write : scratchpad_write
        One tile per cycle, from the compute pipeline or a LOAD.
    compute : banked_read
        The compute pipeline's read.
    store : acc_read_port
        The store module's read.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.half = (config.acc_depth + 1) // 2
        index, tile = config.acc_index_bits, config.acc_tile_bits
        super().__init__(
            {
                "write": In(scratchpad_write(index, tile)),
                "compute": In(banked_read(config)),
                "store": In(acc_read_port(config)),
            }
        )

    def upper(self, index: Value) -> Value:
        """Whether a tile lies in the upper bank."""
        return index >= self.half

    def _address(self, bank: int, index: Value) -> Value:
        """Where a tile lies in its bank: a slice where the bank boundary is a power of two, else a subtraction."""
        return index - self.half if bank and self.half & (self.half - 1) else index

    def elaborate(self, platform) -> Module:
        m = Module()
        store_index = self.store.request.payload
        compute_upper, store_upper = self.compute.upper, self.upper(store_index)
        m.d.comb += self.store.request.ready.eq(~self.compute.enable | (compute_upper != store_upper))
        store_accepted = self.store.request.valid & self.store.request.ready

        tiles = []
        for bank, depth in enumerate((self.half, self.config.acc_depth - self.half)):
            m.submodules[f"bank{bank}"] = bank_memory = memory.Memory(
                shape=self.config.acc_tile_bits, depth=depth, init=[]
            )
            write = bank_memory.write_port()
            read = bank_memory.read_port()
            computes = Signal(name=f"computes{bank}")
            m.d.comb += [
                write.en.eq(self.write.enable & (self.upper(self.write.index) == bank)),
                write.addr.eq(self._address(bank, self.write.index)),
                write.data.eq(self.write.tile),
                computes.eq(self.compute.enable & (compute_upper == bank)),
                read.en.eq(computes | (store_accepted & (store_upper == bank))),
                read.addr.eq(self._address(bank, Mux(computes, self.compute.index, store_index))),
            ]
            tiles.append(read.data)

        store_bank, store_arrived = Signal(), Signal()
        store_tile = Signal.like(self.store.tile, reset_less=True)
        stored = tiles if len(store_tile) == self.config.acc_tile_bits else [narrowed(t, self.config) for t in tiles]
        m.d.sync += store_arrived.eq(store_accepted)
        with m.If(store_accepted):
            m.d.sync += store_bank.eq(store_upper)
        m.d.comb += [self.compute.tiles[0].eq(tiles[0]), self.compute.tiles[1].eq(tiles[1])]
        with m.If(store_arrived):
            m.d.sync += store_tile.eq(Mux(store_bank, stored[1], stored[0]))
        m.d.comb += self.store.tile.eq(store_tile)
        return m
