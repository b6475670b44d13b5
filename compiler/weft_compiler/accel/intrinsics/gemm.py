"""The GEMM unit."""

from __future__ import annotations

from weft_hardware.config import AcceleratorConfig

from ... import te
from .tiles import dtype, shape, tile


def gemm(config: AcceleratorConfig) -> te.Intrinsic:
    """``acc[b, o] += Σᵢ inp[b, i] · wgt[o, i]``, in the accumulators' type."""
    inp, wgt, wide = tile(config, "inp", "inp"), tile(config, "wgt", "wgt"), dtype(config, "acc")
    i = te.reduce_axis(config.block_in, "i")
    acc = te.compute(
        shape(config, "acc"), lambda b, o: te.sum(inp[b, i].cast(wide) * wgt[o, i].cast(wide), i), "acc"
    )  # fmt: skip
    return te.Intrinsic("gemm", acc, (inp, wgt), ("acc", "inp", "wgt"), te.const(0, wide))
