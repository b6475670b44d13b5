"""Hypervolume over evaluations, against counting cells of a grid."""

import itertools
import math
import random

import pytest
from weft_explore.page.progress import hypervolumes


def counted(points, size):
    """Unit cells of a grid that some point dominates: the hypervolume of points of whole numbers."""
    cells = itertools.product(*map(range, size))
    return sum(any(all(a <= b for a, b in zip(point, cell, strict=True)) for point in points) for cell in cells)


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_equals_counted_cells(objectives):
    rng = random.Random(objectives)
    size = [6] * objectives
    for _ in range(20):
        points = [tuple(rng.randint(0, 7) for _ in size) for _ in range(12)]  # some outside, some on the border
        inside = [[p for p in points[: n + 1] if max(p) < 6] for n in range(12)]
        assert hypervolumes(points, size) == [counted(some, size) for some in inside]


@pytest.mark.parametrize("objectives", [4, 6])
def test_is_near_counted_cells(objectives):
    rng = random.Random(objectives)
    size = [4] * objectives
    points = [tuple(rng.randint(0, 3) for _ in size) for _ in range(12)]
    grown = hypervolumes(points, size)
    assert grown == sorted(grown)
    box = math.prod(4 - min(column) for column in zip(*points, strict=True))
    for volume, count in zip(grown, [counted(points[: n + 1], size) for n in range(12)], strict=True):
        assert abs(volume - count) < 0.01 * box  # six standard deviations of the estimate


def test_what_failed_adds_nothing():
    assert hypervolumes([None, (1, 1), None, (0, 0)], (2, 2)) == [0, 1, 1, 4]
