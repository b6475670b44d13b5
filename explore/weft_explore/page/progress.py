"""How the hypervolume of the designs found grew, evaluation by evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence

Point = tuple[float, ...]


def hypervolumes(points: Sequence[Sequence[float] | None], reference: Sequence[float]) -> list[float]:
    """What the points up to each one dominate of the box that ends in ``reference``; every objective is minimised.

    Parameters
    ----------
    points : sequence of points or None
        In the order of their evaluation; None for one that failed, which adds nothing.

    Returns
    -------
    list of float
        One volume a point, never falling.

    Source
    ------
    While, Bradstreet, Barone: A fast way of calculating exact hypervolumes, IEEE Trans. Evol. Comp. 16(1), 2012: what a
    point adds is its own box less what others dominate of it.
    """
    front: list[Point] = []
    total = 0.0
    grown: list[float] = []
    corner = tuple(map(float, reference))
    for point in points:
        if point is not None and _inside(point, corner) and not any(_covers(other, point) for other in front):
            candidate = tuple(map(float, point))
            total += _exclusive(candidate, front, corner)
            front = [other for other in front if not _covers(candidate, other)] + [candidate]
        grown.append(total)
    return grown


def _inside(point: Sequence[float], reference: Point) -> bool:
    return len(point) == len(reference) and all(x < limit for x, limit in zip(point, reference, strict=True))


def _covers(point: Sequence[float], other: Sequence[float]) -> bool:
    """At least as good in everything."""
    return all(a <= b for a, b in zip(point, other, strict=True))


def _exclusive(point: Point, front: Sequence[Point], reference: Point) -> float:
    """What ``point`` dominates and no one of ``front`` does."""
    box = math.prod(limit - x for x, limit in zip(point, reference, strict=True))
    clipped = {tuple(map(max, point, other)) for other in front}
    return box - _volume(_undominated(clipped), reference)


def _volume(front: list[Point], reference: Point) -> float:
    if len(reference) == 2:
        return _area(front, reference)
    total = 0.0
    for index, point in enumerate(front):
        total += _exclusive(point, front[index + 1 :], reference)
    return total


def _area(front: list[Point], reference: Point) -> float:
    """Of two objectives: strips from the best first objective on."""
    total, level = 0.0, reference[1]
    for x, y in sorted(front):
        total += (reference[0] - x) * (level - y)
        level = y
    return total


def _undominated(points: set[Point]) -> list[Point]:
    """Worst first in the last objective: then each one's successors clip to few points."""
    kept: list[Point] = []
    for point in sorted(points):  # what covers a point comes before it
        if not any(_covers(other, point) for other in kept):
            kept.append(point)
    return sorted(kept, key=lambda point: point[-1], reverse=True)
