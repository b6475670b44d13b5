"""Float32 arithmetic that numpy lacks, against exact fractions."""

from fractions import Fraction

import numpy as np
from weft_compiler.float32 import fma


def nearest(value: Fraction) -> np.float32:
    """The float32 nearest to a fraction, ties to even: of the neighbours of a first guess."""
    guess = np.float32(float(value))
    candidates = [np.nextafter(guess, np.float32(-np.inf)), guess, np.nextafter(guess, np.float32(np.inf))]
    return min(candidates, key=lambda x: (abs(Fraction(float(x)) - value), int(x.view(np.uint32)) & 1))


def test_fma_rounds_once():
    rng = np.random.default_rng(1)
    a, b = rng.integers(-255, 256, 3000).astype(np.float32), rng.uniform(0, 2, 3000).astype(np.float32)
    c = (-a.astype(np.float64) * b * (1 + rng.choice([0, 2.0**-24, 2.0**-10, 1], 3000))).astype(np.float32)
    found = fma(a, b, c)
    for k in range(len(a)):
        exact = Fraction(float(a[k])) * Fraction(float(b[k])) + Fraction(float(c[k]))
        assert found[k] == nearest(exact), k
    assert (found != a * b + c).any()


def test_what_float64_makes_a_tie_is_none():
    # 2²⁴ + 3 − 2⁻⁴⁶: float64 rounds it onto the tie between 2²⁴ + 2 and 2²⁴ + 4.
    a, b, c = np.float32(1 - 2**-23), np.float32(1 + 2**-23), np.float32(2**24 + 2)
    assert np.float32(np.float64(a) * np.float64(b) + np.float64(c)) == 2**24 + 4
    assert fma(a, b, c) == 2**24 + 2
