"""Boxes of iterations against every iteration by itself."""

from itertools import product

import numpy as np
import pytest
from weft_compiler.accel.boxes import Linear, boxes, cut, loops_to_enumerate


def linear(base, *factors):
    return Linear(np.atleast_1d(np.array(base, np.int64)), factors)


def allowed(step, extents, conditions):
    """The iterations of a step in which every condition holds."""
    return {
        point
        for point in product(*map(range, extents))
        if all(c.at([np.array([k]) for k in point])[step] >= 0 for c in conditions)
    }


def points(step, box):
    return set(product(*(range(low[step], high[step]) for low, high in zip(box.low, box.high, strict=True))))


def test_a_bound_cuts_its_loop():
    box = cut(2, (8, 4), [linear([2, -3], 1, 0), linear([5, 5], -1, 0), linear([4, 4], 0, -2)])
    assert [points(step, box) for step in (0, 1)] == [
        set(product(range(6), range(3))),
        set(product(range(3, 6), range(3))),
    ]


def test_a_condition_without_loops_empties_its_steps():
    box = cut(2, (3,), [linear([0, -1], 0)])
    assert box.empty.tolist() == [False, True]


def test_sums_are_enumerated_before_longer_loops():
    coupled = [linear([0], 1, 1)]
    assert loops_to_enumerate((2, 5), coupled) == (0,)
    assert loops_to_enumerate((2, 5), coupled, sums=(1,)) == (1,)
    assert loops_to_enumerate((2, 5), [linear([0], 1, 0), linear([0], 0, 1)]) == ()


@pytest.mark.parametrize("seed", range(20))
def test_boxes_cover_every_allowed_iteration_once(seed):
    rng = np.random.default_rng(seed)
    extents = tuple(rng.integers(1, 6, 3).tolist())
    conditions = [
        Linear(rng.integers(-6, 12, 4), tuple(rng.integers(-2, 3, 3).tolist())) for _ in range(rng.integers(0, 4))
    ]
    found = list(boxes(4, extents, conditions))
    for step in range(4):
        each = [points(step, box) for box in found]
        assert set().union(*each) == allowed(step, extents, conditions), seed
        assert sum(map(len, each)) == len(set().union(*each)), seed
