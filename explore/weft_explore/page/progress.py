"""How the hypervolume of the designs found grew, evaluation by evaluation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def hypervolumes(points: Sequence[Sequence[float] | None], reference: Sequence[float]) -> list[float]:
    """What the points up to each one dominate of the box that ends in ``reference``; every objective is minimised.

    Exact. Each point adds its own box less what those before it dominate of that.

    Parameters
    ----------
    points : sequence of points or None
        In the order of their evaluation; None for one that failed, which adds nothing.

    Returns
    -------
    list of float
        One volume a point, never falling.

    >>> hypervolumes([[1, 2], None, [2, 1]], [3, 3])
    [2.0, 2.0, 3.0]
    """
    from moocore import hypervolume

    # One objective is two, of which the second is the same everywhere.
    corner = np.array([*reference, *([1.0] if len(reference) == 1 else [])], np.float64)
    front = np.empty((0, len(corner)))
    total, grown = 0.0, []
    for given in points:
        if given is not None:
            point = np.zeros(len(corner))
            point[: len(given)] = given
            if np.all(point < corner) and not np.any(np.all(front <= point, axis=1)):
                shared = np.maximum(front, point)
                common = float(hypervolume(shared, ref=corner)) if len(shared) else 0.0
                total += max(0.0, float(np.prod(corner - point)) - common)
                front = np.vstack([front[~np.all(point <= front, axis=1)], point])
        grown.append(total)
    return grown
