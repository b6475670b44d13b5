"""The iterations of an operation's own loops as boxes: what guards leave of them, worked out for all steps at once.

A *step* is one iteration of the loops around an operation; its *own* loops are those that one instruction can run.
Columns have one entry a step.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from .columns import Column


@dataclass(frozen=True)
class Linear:
    """``base + Σ factor · iteration`` over an operation's own loops.

    Parameters
    ----------
    base : Column
        The value in the first iteration, step by step.
    factors : tuple of int
        What one iteration of each loop adds.
    """

    base: Column
    factors: tuple[int, ...]

    def at(self, iterations: Sequence[Column | int]) -> Column:
        """The value in one iteration of each step."""
        total = self.base
        for factor, iteration in zip(self.factors, iterations, strict=True):
            if factor:
                total = total + factor * iteration
        return total


@dataclass(frozen=True)
class Box:
    """Iterations ``[low, high)`` of each own loop, step by step; a step whose box is empty does nothing."""

    low: tuple[Column, ...]
    high: tuple[Column, ...]

    @property
    def empty(self) -> NDArray[np.bool_]:
        found = np.zeros(len(self.low[0]) if self.low else 1, bool)
        for low, high in zip(self.low, self.high, strict=True):
            found = found | (low >= high)
        return found


def cut(steps: int, extents: Sequence[int], conditions: Sequence[Linear]) -> Box:
    """The box in which every condition is ≥ 0; each may depend on one loop at most.

    Parameters
    ----------
    steps : int
        Steps; a step in which a condition without loops fails gets an empty box.
    """
    low = [np.zeros(steps, np.int64) for _ in extents]
    high = [np.full(steps, extent, np.int64) for extent in extents]
    fails = np.zeros(steps, bool)
    for condition in conditions:
        loops = [k for k, factor in enumerate(condition.factors) if factor]
        assert len(loops) <= 1
        if not loops:
            fails |= condition.base < 0
            continue
        k, factor = loops[0], condition.factors[loops[0]]
        if factor > 0:
            low[k] = np.maximum(low[k], -(condition.base // factor))
        else:
            high[k] = np.minimum(high[k], condition.base // -factor + 1)
    if fails.any() and extents:
        high[0] = np.where(fails, low[0], high[0])
    return Box(tuple(low), tuple(np.maximum(h, b) for h, b in zip(high, low, strict=True)))


def loops_to_enumerate(
    extents: Sequence[int], conditions: Sequence[Linear], sums: Collection[int] = ()
) -> tuple[int, ...]:
    """The loops that have to be taken iteration by iteration so that each condition is about one loop at most.

    Of the loops that a condition couples the longest stays, but none of ``sums`` if there is another.
    """
    chosen: set[int] = set()
    for condition in conditions:
        coupled = [k for k, factor in enumerate(condition.factors) if factor and k not in chosen]
        if len(coupled) > 1:
            stays = max(coupled, key=lambda k: (k not in sums, extents[k]))
            chosen |= {k for k in coupled if k != stays}
    return tuple(sorted(chosen))


def boxes(
    steps: int, extents: Sequence[int], conditions: Sequence[Linear], sums: Collection[int] = ()
) -> Iterator[Box]:
    """Boxes that together are the iterations in which every condition is ≥ 0; one a point of enumerated loops."""
    chosen = loops_to_enumerate(extents, conditions, sums)
    for values in product(*(range(extents[k]) for k in chosen)):
        point = dict(zip(chosen, values, strict=True))
        fixed = [
            Linear(
                condition.base + sum(condition.factors[k] * value for k, value in point.items()),
                tuple(0 if k in point else factor for k, factor in enumerate(condition.factors)),
            )
            for condition in conditions
        ]
        box = cut(steps, extents, fixed)
        low = [np.full(steps, point[k]) if k in point else box.low[k] for k in range(len(extents))]
        high = [
            np.where(box.high[k] > box.low[k], point[k] + 1, point[k]) if k in point else box.high[k]
            for k in range(len(extents))
        ]
        yield Box(tuple(low), tuple(high))
