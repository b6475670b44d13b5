"""Sums of uint8 values that lie less 128, against exact arithmetic of the same float32 numbers."""

from dataclasses import replace

import numpy as np
import pytest
from weft_compiler.conv_task import Addition
from weft_compiler.shifted_sum import added, shifted_addition
from weft_simulator.lockstep.epilogue import add_residual, float_bits


def random_addition(seed):
    rng = np.random.default_rng(seed)
    scales, zeros = rng.uniform(0.01, 0.06, 3).astype(np.float32), rng.integers(0, 256, 3)
    ratios = [float(scale / scales[2]) for scale in scales[:2]]
    offset = float(np.float32(zeros[2] - ratios[0] * zeros[0] - ratios[1] * zeros[1]))
    low, high = (0, 255) if seed % 2 else (int(zeros[2]), 255)
    return Addition(
        dtype="uint8", scale=ratios[0], residual_scale=ratios[1], offset=offset, swap=seed % 3 == 0, low=low, high=high
    )


def by_fractions(how, q, r):
    first, second = (q, how.scale), (r, how.residual_scale)
    if how.swap:
        first, second = second, first
    numbers = (first[0], float_bits(first[1]), second[0], float_bits(second[1]), float_bits(how.offset))
    return add_residual(*numbers, how.low, how.high)


@pytest.mark.parametrize("seed", range(8))
def test_every_pair_gives_the_same_byte(seed):
    how = random_addition(seed)
    q, r = (v.reshape(-1) for v in np.meshgrid(np.arange(256), np.arange(256)))
    wanted = by_fractions(how, q, r)
    assert np.array_equal(added(how, q, r), wanted)
    found = shifted_addition(how, 0, 255)
    assert found is not None
    shifted, shift = found
    assert (shifted.dtype, shifted.low, shifted.high) == ("int8", how.low - 128, 127)
    assert np.array_equal(by_fractions(shifted, q - shift, r - 128), wanted - 128)


def test_the_nearest_numbers_alone_would_not_do():
    """Some sums need an offset beside the nearest: otherwise the search would be for nothing."""
    moved = 0
    for seed in range(20):
        how = replace(random_addition(seed), swap=False, low=0)
        found = shifted_addition(how, 0, 255)
        assert found is not None
        shifted, shift = found
        nearest = np.float32(how.offset + 128 * how.residual_scale + shift * how.scale - 128)
        moved += np.float32(shifted.offset) != nearest or shifted.scale != how.scale
    assert moved >= 2


def test_an_addition_that_cannot_be_shifted_is_refused(monkeypatch):
    monkeypatch.setattr("weft_compiler.shifted_sum._candidates", lambda how: iter([(how, 0)]))
    assert shifted_addition(random_addition(1), 0, 255) is None
