"""Designs that none other beats; less is better in every column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Costs = Sequence[Sequence[float]] | NDArray[np.float64]
"""A row a design, a column an objective."""


def on_front(costs: Costs) -> NDArray[np.bool_]:
    """Whether each row is beaten by none: none is as good everywhere and better somewhere; of equals all are."""
    rows = np.asarray(costs, np.float64)
    if not len(rows):
        return np.zeros(0, bool)
    no_worse = np.all(rows[:, None, :] <= rows[None, :, :], axis=2)
    better = np.any(rows[:, None, :] < rows[None, :, :], axis=2)
    return ~np.any(no_worse & better, axis=0)


def spread(costs: Costs, count: int) -> list[int]:
    """So many rows: those of the front first, those far from each other before those between them; then the next front.

    Columns count by the range that they have on a front.
    """
    rows = np.asarray(costs, np.float64)
    left, chosen = np.arange(len(rows)), []
    while len(left) and len(chosen) < count:
        front = left[on_front(rows[left])]
        left = np.setdiff1d(left, front)
        low, high = rows[front].min(axis=0), rows[front].max(axis=0)
        scaled = (rows[front] - low) / np.where(high > low, high - low, 1)
        # The best of each column, then always the one farthest from all that are chosen.
        order = list(dict.fromkeys(int(k) for k in scaled.argmin(axis=0)))
        distance = np.min([np.linalg.norm(scaled - scaled[k], axis=1) for k in order], axis=0)
        while len(order) < len(front):
            distance[order] = -1
            order.append(int(distance.argmax()))
            distance = np.minimum(distance, np.linalg.norm(scaled - scaled[order[-1]], axis=1))
        chosen += [int(front[k]) for k in order]
    return chosen[:count]


def reference_point(costs: Costs) -> list[float]:
    """A point a tenth of the range worse than the worst of each column."""
    rows = np.asarray(costs, np.float64)
    worst, best = rows.max(axis=0), rows.min(axis=0)
    return (worst + np.where(worst > best, (worst - best) / 10, np.maximum(1.0, np.abs(worst) / 10))).tolist()
