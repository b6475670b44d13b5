"""Float32 arithmetic that numpy lacks."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def fma(a: ArrayLike, b: ArrayLike, c: ArrayLike) -> NDArray[np.float32]:
    """``a · b + c`` of float32 numbers, rounded once.

    In float64 the product is exact. The sum is rounded to odd, whose last bit then says that something was lost: the
    second rounding, to float32, is the only one that counts.

    Source
    ------
    S. Boldo, G. Melquiond, "Emulation of a FMA and Correctly Rounded Sums: Proved Algorithms Using Rounding to Odd",
    IEEE Transactions on Computers 57(4), 2008.
    """
    product = np.asarray(a, np.float64) * np.asarray(b, np.float64)
    addend = np.asarray(c, np.float64)
    total = np.asarray(product + addend)
    with np.errstate(invalid="ignore", over="ignore"):
        # What the sum lost, exactly (Knuth's TwoSum).
        part = total - product
        lost = (product - (total - part)) + (addend - part)
        even = (total.view(np.int64) & 1) == 0
        inexact = np.isfinite(total) & (lost != 0) & even
        towards = np.where(lost > 0, np.inf, -np.inf)
        return np.where(inexact, np.nextafter(total, towards), total).astype(np.float32)
