"""How the hypervolume of the designs found grew, evaluation by evaluation."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence

import numpy as np

EXACT = 3
"""Objectives up to which volumes are exact; exact ones of more take time exponential in their number."""

SAMPLES = 100_000
"""Random points by which the volume of more objectives is estimated: within about 1 % of half the box."""


def hypervolumes(points: Sequence[Sequence[float] | None], reference: Sequence[float]) -> list[float]:
    """What the points up to each one dominate of the box that ends in ``reference``; every objective is minimised.

    Exact up to `EXACT` objectives, an estimate by `SAMPLES` of the same random points for more.

    Parameters
    ----------
    points : sequence of points or None
        In the order of their evaluation; None for one that failed, which adds nothing.

    Returns
    -------
    list of float
        One volume a point, never falling.
    """
    inside = [point if point is not None and _inside(point, reference) else None for point in points]
    if len(reference) > EXACT:
        return _sampled(inside, reference)
    missing = EXACT - len(reference)
    corner = (*map(float, reference), *[1.0] * missing)
    return _exact([None if point is None else (*map(float, point), *[0.0] * missing) for point in inside], corner)


def _inside(point: Sequence[float], reference: Sequence[float]) -> bool:
    return all(x < limit for x, limit in zip(point, reference, strict=True))


def _exact(points: Iterable[Sequence[float] | None], reference: Sequence[float]) -> list[float]:
    """Each point adds its own box less what those before it dominate of that."""
    front: list[Sequence[float]] = []
    total, grown = 0.0, []
    for point in points:
        if point is not None and not any(_covers(other, point) for other in front):
            shared = {tuple(map(max, point, other)) for other in front}
            total += math.prod(limit - x for x, limit in zip(point, reference, strict=True)) - _swept(shared, reference)
            front = [other for other in front if not _covers(point, other)] + [point]
        grown.append(total)
    return grown


def _covers(point: Sequence[float], other: Sequence[float]) -> bool:
    """At least as good in everything."""
    return point[0] <= other[0] and point[1] <= other[1] and point[2] <= other[2]


def _swept(points: Iterable[Sequence[float]], reference: Sequence[float]) -> float:
    """The volume of three objectives: slices along the last one, each as large as the staircase of those before it."""
    right, top, end = reference
    xs, ys = [-math.inf, right], [top, -math.inf]  # corners of the staircase between its two ends
    volume = area = 0.0
    last = -math.inf
    for x, y, z in sorted(points, key=lambda point: point[2]):
        if area:
            volume += area * (z - last)
        last = z
        area += _stepped(xs, ys, x, y)
    return volume + area * (end - last) if area else 0.0


def _stepped(xs: list[float], ys: list[float], x: float, y: float) -> float:
    """Add a corner to a staircase that falls from left to right; the area it gains."""
    first = bisect_left(xs, x)
    level = ys[first - 1]
    if level <= y or (xs[first] == x and ys[first] <= y):
        return 0.0
    gained, left, after = 0.0, x, first
    while ys[after] >= y:  # corners that the new one covers
        gained += (xs[after] - left) * (level - y)
        left, level = xs[after], ys[after]
        after += 1
    gained += (xs[after] - left) * (level - y)
    xs[first:after] = [x]
    ys[first:after] = [y]
    return gained


def _sampled(points: Sequence[Sequence[float] | None], reference: Sequence[float]) -> list[float]:
    known = [point for point in points if point is not None]
    if not known:
        return [0.0] * len(points)
    corner = np.asarray(reference, np.float64)
    best = np.min(np.asarray(known, np.float64), axis=0)
    unit = math.prod((corner - best).tolist()) / SAMPLES
    free = np.random.default_rng(0).uniform(best, corner, (SAMPLES, len(corner)))
    grown = []
    for point in points:
        if point is not None:
            free = free[np.any(free < np.asarray(point, np.float64), axis=1)]
        grown.append((SAMPLES - len(free)) * unit)
    return grown
