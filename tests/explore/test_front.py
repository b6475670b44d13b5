"""Fronts against their definition written out point by point."""

import numpy as np
import pytest
from weft_explore.front import on_front, reference_point

SEEDS = range(20)


def beaten(row, rows) -> bool:
    return any(all(b <= a for a, b in zip(row, other, strict=True)) and tuple(other) != tuple(row) for other in rows)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_front_is_what_nothing_beats(seed):
    print("seed", seed)
    rng = np.random.default_rng(seed)
    dims = int(rng.integers(1, 5))
    side = 6
    rows = rng.integers(0, side + 1, (int(rng.integers(1, 12)), dims))
    assert on_front(rows).tolist() == [not beaten(row, rows) for row in rows]


def test_nothing_has_no_front():
    assert on_front([]).tolist() == []


def test_the_reference_point_is_worse_than_everything():
    assert reference_point([[0, 5], [10, 5]]) == [11, 5.5 + 0.5]
