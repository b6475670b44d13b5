"""A float32 matrix product of tiles."""

from __future__ import annotations

from ... import te
from ...te.intrinsic import declared
from ..templates.named import float32_product


@declared
def float_product(rows: int = 8, columns: int = 32, depth: int = 256) -> te.Intrinsic:
    """``c[i, j] += Σₖ a[i, k] · b[k, j]``, reassociable, all tiles ``local``."""
    a = te.placeholder((rows, depth), "float32", "a")
    b = te.placeholder((depth, columns), "float32", "b")
    k = te.reduce_axis(depth, "k")
    c = te.compute((rows, columns), lambda i, j: te.sum(a[i, k] * b[k, j], k, reassociable=True), "c")
    template = float32_product(rows, columns, depth)
    return te.Intrinsic(template.name, c, (a, b), ("local",) * 3, te.const(0.0, "float32"), template)
