"""Hypervolume over evaluations, against counting cells of a grid."""

import itertools
import random

import pytest
from weft_explore.page.progress import hypervolumes


def counted(points, size):
    """Unit cells of a grid that some point dominates: the hypervolume of points of whole numbers."""
    cells = itertools.product(*map(range, size))
    return sum(any(all(a <= b for a, b in zip(point, cell, strict=True)) for point in points) for cell in cells)


@pytest.mark.parametrize(("objectives", "side", "sets"), [(1, 6, 20), (2, 6, 20), (3, 6, 20), (4, 4, 2), (6, 3, 1)])
def test_equals_counted_cells(objectives, side, sets):
    rng = random.Random(objectives)
    size = [side] * objectives
    for _ in range(sets):
        points = [tuple(rng.randint(0, side + 1) for _ in size) for _ in range(12)]  # some outside, some on the border
        inside = [[p for p in points[: n + 1] if max(p) < side] for n in range(12)]
        assert hypervolumes(points, size) == [counted(some, size) for some in inside]


def test_what_failed_adds_nothing():
    assert hypervolumes([None, (1, 1), None, (0, 0)], (2, 2)) == [0, 1, 1, 4]
