"""Hypervolume over evaluations, against counting cells of a grid."""

import itertools
import random

import pytest
from weft_explore.page.progress import hypervolumes


def counted(points, size):
    """Unit cells of a grid that some point dominates: the hypervolume of points of whole numbers."""
    cells = itertools.product(*map(range, size))
    return sum(any(all(a <= b for a, b in zip(point, cell, strict=True)) for point in points) for cell in cells)


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_equals_counted_cells(objectives):
    rng = random.Random(objectives)
    size = [6] * objectives
    for _ in range(20):
        points = [tuple(rng.randint(0, 7) for _ in size) for _ in range(12)]  # some outside, some on the border
        inside = [[p for p in points[: n + 1] if max(p) < 6] for n in range(12)]
        assert hypervolumes(points, size) == [counted(some, size) for some in inside]


def test_what_failed_adds_nothing():
    assert hypervolumes([None, (1, 1), None, (0, 0)], (2, 2)) == [0, 1, 1, 4]
