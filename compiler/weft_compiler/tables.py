"""Tables of 256 entries: a quantised result for every value of an 8-bit tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .dialects.quantised import by_bits
from .te.expr import Expr
from .te.functions import values_of

Quantisation = tuple[Any, Any]
"""Scale, and zero point with the type that it is stored in."""


def dequantised(values: NDArray[Any], quantisation: Quantisation) -> NDArray[np.float32]:
    """``float32(x − zero) · scale``."""
    scale, zero = quantisation
    return (values.astype(np.int32) - int(zero)).astype(np.float32) * np.float32(scale)


def quantise(values: NDArray[np.float32], quantisation: Quantisation) -> NDArray[Any]:
    """``clamp(rne(x / scale) + zero)`` of the zero point's type; what is no number becomes its lowest value."""
    scale, zero = np.float32(quantisation[0]), quantisation[1]
    limits = np.iinfo(zero.dtype)
    with np.errstate(all="ignore"):
        scaled = np.nan_to_num(values / scale, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
        bounded = np.clip(scaled, np.float32(limits.min - int(zero)), np.float32(limits.max - int(zero)))
    return (np.rint(bounded).astype(np.int32) + int(zero)).astype(zero.dtype)


def function_table(
    function: Callable[[Expr], Expr], dtype: np.dtype[Any], source: Quantisation, target: Quantisation
) -> NDArray[Any]:
    """``quantise(function(dequantise(x)))`` of every 8-bit x, in the order of its bits as uint8."""
    return quantise(values_of(function, dequantised(by_bits(dtype), source)), target)


def requantisation_table(dtype: np.dtype[Any], source: Quantisation, target: Quantisation) -> NDArray[Any]:
    """Every 8-bit value under another scale and zero point."""
    return quantise(dequantised(by_bits(dtype), source), target)
