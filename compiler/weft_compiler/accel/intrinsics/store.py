"""DMA from the accumulators to DRAM."""

from __future__ import annotations

from weft_hardware.config import AcceleratorConfig

from ... import te
from .tiles import dtype, shape, tile


def store(config: AcceleratorConfig) -> te.Intrinsic:
    """One tile of accumulators, all bits of them."""
    acc = tile(config, "acc", "acc")
    dram = te.compute(shape(config, "acc"), lambda b, o: acc[b, o], "dram")
    return te.Intrinsic("store.acc", dram, (acc,), ("global", "acc"))


def store_narrow(config: AcceleratorConfig) -> te.Intrinsic:
    """One tile of accumulators, of each the low bits."""
    acc = tile(config, "acc", "acc")
    dram = te.compute(shape(config, "acc"), lambda b, o: acc[b, o].cast(dtype(config, "out")), "dram")
    return te.Intrinsic("store.out", dram, (acc,), ("global", "acc"))
