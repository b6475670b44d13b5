"""QLinearAdd of uint8 tensors that lie in memory as int8, less 128: numbers for the epilogue that give the same bytes.

The epilogue adds what it reads, so that 128 more or less goes into the offset, and the float32 sums round elsewhere:
now and then one lands on the other side of a half. All 65,536 pairs of operands can be compared at compile time; where
they differ, an offset or a scale a few units of the last place away does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from .conv_task import Addition
from .float32 import fma

SHIFT = 128

Values = NDArray[np.int64]

REACH = 6
"""Units of the last place by which an offset is moved either way."""

BENDS = (0, 1, -1, 2, -2, 3, -3)
"""Units of the last place by which a scale is moved."""

NEAR = 1e-3
"""Distance from a half within which roundings can decide: far more than all of them together, and than `REACH`."""


def added(how: Addition, q: Values, r: Values) -> Values:
    """What the epilogue makes of a requantised value and a residual operand."""
    first, second = (q, how.scale), (r, how.residual_scale)
    if how.swap:
        first, second = second, first
    inner = fma(second[0], np.float32(second[1]), np.float32(how.offset))
    total = fma(first[0], np.float32(first[1]), inner)
    return np.clip(np.rint(total.astype(np.float64)), how.low, how.high).astype(np.int64)


def shifted_addition(how: Addition, q_low: int, q_high: int) -> tuple[Addition, int] | None:
    """An addition of int8 values that gives 128 less than one of uint8 values does of the same, for every pair.

    Parameters
    ----------
    how : Addition
        Of uint8 values ``q`` and ``r``.
    q_low, q_high : int
        Between which requantised values lie.

    Returns
    -------
    addition : Addition
        Of ``q`` less the shift, and ``r`` less 128, as int8.
    shift : int
        0 or 128.
    None if none was found.
    """
    q, r = np.meshgrid(np.arange(q_low, q_high + 1), np.arange(256), indexing="ij")
    q, r = q.reshape(-1), r.reshape(-1)
    wanted = added(how, q, r) - SHIFT
    exact = q * float(np.float32(how.scale)) + r * float(np.float32(how.residual_scale)) + how.offset
    near = np.abs(exact - np.floor(exact) - 0.5) < NEAR
    for candidate, shift in _candidates(how):
        if np.array_equal(added(candidate, q[near] - shift, r[near] - SHIFT), wanted[near]) and np.array_equal(
            added(candidate, q - shift, r - SHIFT), wanted
        ):
            return candidate, shift
    return None


def _candidates(how: Addition) -> Iterator[tuple[Addition, int]]:
    """The nearest numbers first, then those beside them."""
    scales = float(np.float32(how.scale)), float(np.float32(how.residual_scale))
    bounds = {"low": how.low - SHIFT, "high": how.high - SHIFT}
    moves = sorted(range(-REACH, REACH + 1), key=abs)
    for bend, other, shift in product(BENDS, BENDS, (0, SHIFT)):
        scale, residual_scale = _moved(scales[0], bend), _moved(scales[1], other)
        exact = how.offset + SHIFT * scales[1] + shift * scales[0] - SHIFT
        for move in moves:
            offset = _moved(exact, move)
            made = replace(how, dtype="int8", scale=scale, residual_scale=residual_scale, offset=offset, **bounds)
            yield made, shift


def _moved(value: float, units: int) -> float:
    """The float32 so many units of its last place beside the nearest one."""
    nearest = np.float32(value)
    return float(nearest + np.float32(units) * np.spacing(nearest))
