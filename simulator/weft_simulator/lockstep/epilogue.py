"""The epilogue's arithmetic in plain numpy and Python integers, from docs/isa.md.

A float32 is handled as its 32 bits. Sums are exact integers times a power of two, rounded once to 24 significant bits,
with exponents of any size: what the document demands, word for word. `support.reference` and the checks against
onnxruntime use it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Elements = NDArray[np.int64]

Dyadic = tuple[int, int]
"""(m, e): the number m · 2**e."""


def float_bits(value: float) -> int:
    """The encoding of a number as float32."""
    return int(np.float32(value).view(np.uint32))


def dyadic(bits: int) -> Dyadic:
    """What a float32 operand stands for: exponent field 0 is zero, 255 is finite."""
    field, fraction = bits >> 23 & 255, bits & 0x7FFFFF
    mantissa = (fraction | 1 << 23) if field else 0
    return (-mantissa if bits >> 31 & 1 else mantissa), field - 150


def round_half_even(mantissa: int, drop: int) -> int:
    """``mantissa / 2**drop`` to the nearest integer."""
    if drop <= 0:
        return mantissa << -drop
    quotient, rest = mantissa >> drop, mantissa & ((1 << drop) - 1)
    half = 1 << (drop - 1)
    return quotient + (rest > half or (rest == half and quotient & 1))


def round_24(value: Dyadic) -> Dyadic:
    """To 24 significant bits, ties to even."""
    mantissa, exponent = value
    drop = max(0, abs(mantissa).bit_length() - 24)
    return round_half_even(mantissa, drop), exponent + drop


def fma(factor: int, scale: Dyadic, addend: Dyadic) -> Dyadic:
    """``factor × scale + addend``, rounded once."""
    (m, e), (n, f) = (factor * scale[0], scale[1]), addend
    low = min(e, f)
    return round_24(((m << (e - low)) + (n << (f - low)), low))


def to_integer(value: Dyadic) -> int:
    return round_half_even(value[0], -value[1])


def requantise(sums: Elements, scale: ArrayLike, zero_point: int, low: int, high: int) -> Elements:
    """``clamp(rne(float32(sums) × scale) + zero_point, low, high)``.

    Parameters
    ----------
    sums : int64 array
        Values of 32 bits.
    scale : int array
        Encoded float32 numbers; broadcast against ``sums``.
    """
    bits = np.asarray(scale, np.int64)
    field = bits >> 23 & 255
    # In float64 every operand, 255 among the exponent fields, and every product is exact.
    magnitude = np.where(field > 0, np.ldexp((bits & 0x7FFFFF | 1 << 23).astype(np.float64), field - 150), 0.0)
    factor = np.where(bits >> 31 & 1, -magnitude, magnitude)
    with np.errstate(over="ignore"):
        product = (sums.astype(np.float32).astype(np.float64) * factor).astype(np.float32)
    rounded = np.clip(np.rint(product), -1024, 1024).astype(np.int64)
    return np.minimum(np.maximum(rounded + zero_point, low), high)


def add_residual(
    first: Elements, first_scale: int, second: Elements, second_scale: int, offset: int, low: int, high: int
) -> Elements:
    """``clamp(rne(fma(first, first_scale, fma(second, second_scale, offset))), low, high)``; scales are encoded."""
    pairs, places = np.unique(np.stack([first.reshape(-1), second.reshape(-1)]), axis=1, return_inverse=True)
    scales = dyadic(first_scale), dyadic(second_scale)
    inner = {b: fma(b, scales[1], dyadic(offset)) for b in set(pairs[1].tolist())}
    sums = [to_integer(fma(a, scales[0], inner[b])) for a, b in pairs.T.tolist()]
    # Python's integers have no bounds, numpy's have.
    clamped = np.array([min(max(s, low), high) for s in sums], np.int64)
    return clamped[places.reshape(-1)].reshape(first.shape)


def to_bits(value: Dyadic) -> int:
    """The float32 that a number of at most 24 significant bits is; it must be normal or 0."""
    return float_bits(float(value[0]) * 2.0 ** value[1])


def residual_offset(first_scale: int, first_zero: int, second_scale: int, second_zero: int, zero_point: int) -> int:
    """OFFSET as onnxruntime computes it: ``zero_point − fma(first_scale, first_zero, second_scale · second_zero)``."""
    product = fma(second_zero, dyadic(second_scale), (0, 0))
    mantissa, exponent = fma(first_zero, dyadic(first_scale), product)
    return to_bits(fma(zero_point, (1, 0), (-mantissa, exponent)))
