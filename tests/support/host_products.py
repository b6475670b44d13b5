"""Matrix products tensorized by the host's intrinsics."""

from __future__ import annotations

from weft_compiler import te
from weft_compiler.host.intrinsics.byte_product import byte_product
from weft_compiler.host.intrinsics.float_product import float_product


def byte_schedule(dtype: str, size: int, rows: int = 8, columns: int = 16) -> te.Schedule:
    """``C[i, j] = Σₖ A[i, k] · W[j, k]`` of square matrices, the whole depth one tile."""
    a, w = te.placeholder((size, size), dtype, "A"), te.placeholder((size, size), "int8", "W")
    k = te.reduce_axis(size, "k")
    c = te.compute((size, size), lambda i, j: te.sum(a[i, k].cast("int32") * w[j, k].cast("int32"), k), "C")
    s = te.Schedule(c)
    sums = s.cache_write(c, "local")
    left, right = s.cache_read(a, "local"), s.cache_read(w, "local")
    s[left].pack(("i0", rows), ("i1", 4))
    s[right].pack(("i0", columns), ("i1", 4))
    s[sums].pack(("i", rows), ("j", columns))
    outer, inner = s[sums].split("i", rows)
    across, lane = s[sums].split("j", columns)
    group, byte = s[sums].split("k", 4)
    s[sums].reorder(outer, across, group, inner, lane, byte)
    s[sums].tensorize(group, byte_product(dtype, rows, columns, size))
    return s


def float_schedule(size: int, rows: int = 8, columns: int = 32) -> te.Schedule:
    """``C[i, j] = Σₖ A[i, k] · B[k, j]`` of square matrices, the whole depth one tile."""
    a, b = te.placeholder((size, size), "float32", "A"), te.placeholder((size, size), "float32", "B")
    k = te.reduce_axis(size, "k")
    c = te.compute((size, size), lambda i, j: te.sum(a[i, k] * b[k, j], k, reassociable=True), "C")
    s = te.Schedule(c)
    te.auto_tensorize(s, c, float_product(rows, columns, size))
    return s
