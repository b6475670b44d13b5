"""DMA from DRAM into the scratchpads."""

from __future__ import annotations

from weft_hardware.config import AcceleratorConfig

from ... import te
from .tiles import SCRATCHPADS, shape, tile


def load(config: AcceleratorConfig, memory: str) -> te.Intrinsic:
    """One tile of DRAM into ``"inp"``, ``"wgt"`` or ``"acc"``, as it is; a stage's padding becomes the DMA's."""
    assert memory in SCRATCHPADS, memory
    source = tile(config, memory, "dram")
    target = te.compute(shape(config, memory), lambda row, column: source[row, column], memory)
    return te.Intrinsic(f"load.{memory}", target, (source,), (memory, "global"))
