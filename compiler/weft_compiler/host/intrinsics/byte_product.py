"""A matrix product of bytes in tiles, exact in int32."""

from __future__ import annotations

from ... import te
from ...te.intrinsic import declared
from ..templates import named
from ..templates.int8_units import GROUP


@declared
def byte_product(dtype: str = "int8", rows: int = 8, columns: int = 32, depth: int = 256) -> te.Intrinsic:
    """``c[i, j] += Σₖ a[k / 4, i, k % 4] · b[k / 4, j, k % 4]``, all tiles ``local``.

    Parameters
    ----------
    dtype : str
        Of the left operand, ``"int8"`` or ``"uint8"``; the right one is int8.
    """
    a = te.placeholder((depth // GROUP, rows, GROUP), dtype, "a")
    b = te.placeholder((depth // GROUP, columns, GROUP), "int8", "b")
    group, k = te.reduce_axis(depth // GROUP, "group"), te.reduce_axis(GROUP, "k")
    c = te.compute(
        (rows, columns),
        lambda i, j: te.sum(a[group, i, k].cast("int32") * b[group, j, k].cast("int32"), (group, k)),
        "c",
    )
    template = named.byte_product(dtype, rows, columns, depth)
    return te.Intrinsic(template.name, c, (a, b), ("local",) * 3, te.const(0, "int32"), template)
