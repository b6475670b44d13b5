"""A matrix product in tiles, for modules that call it."""

from __future__ import annotations

from weft_compiler import te
from weft_compiler.accel.intrinsics.gemm import gemm
from weft_compiler.accel.intrinsics.load import load
from weft_compiler.accel.intrinsics.store import store
from weft_hardware.config import AcceleratorConfig


def matmul(config: AcceleratorConfig, rows: int, depth: int, columns: int) -> te.Schedule:
    """``out[m, n] = Σₖ X[m, k] · W[n, k]ᵀ``, sizes in tiles."""
    block = config.block_in
    x = te.placeholder((rows, depth, config.batch, block), "int8", "X")
    w = te.placeholder((columns, depth, config.block_out, block), "int8", "W")
    k, i = te.reduce_axis(depth, "k"), te.reduce_axis(block, "i")

    def product(m, n, b, o):
        return te.sum(x[m, k, b, i].cast("int32") * w[n, k, o, i].cast("int32"), (k, i))

    out = te.compute((rows, columns, config.batch, config.block_out), product, "out")
    s = te.Schedule(out)
    acc, inp, wgt = s.cache_write(out, "acc"), s.cache_read(x, "inp"), s.cache_read(w, "wgt")
    s[acc].reorder("m", "n", "k", "b", "o", "i")
    s[acc].tensorize("b", gemm(config))
    for stage, memory in ((inp, "inp"), (wgt, "wgt")):
        s[stage].tensorize(s[stage].leaves[-2], load(config, memory))
    s[out].tensorize("b", store(config))
    return s


def narrowing(shape: tuple[int, ...]) -> te.Schedule:
    """int32 to int8, saturating, element by element."""
    t = te.placeholder(shape, "int32", "T")
    axes = [f"d{k}" for k in range(len(shape))]
    return te.Schedule(
        te.compute(shape, lambda *at: te.minimum(te.maximum(t[at], -128), 127).cast("int8"), "R", axes=axes)
    )
