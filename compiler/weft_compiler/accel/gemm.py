"""The GEMM instructions of every step: boxes grouped into kernels, the first one overwriting what it sums into."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from ..errors import CompileError
from .boxes import Box, Linear, boxes, cut
from .kernels import Kernel, Loop, make_kernel

Ranges = tuple[tuple[int, int], ...]
"""``[low, high)`` of each own loop, in one step."""


class Mode(Enum):
    """What a GEMM instruction does with its accumulators."""

    ACCUMULATE = 0
    OVERWRITE = 1
    RESET = 2


@dataclass(frozen=True)
class TileProduct:
    """A GEMM inside its own loops, over all steps.

    Parameters
    ----------
    extents : tuple of int
        Iterations of the own loops, outermost first; at least one loop.
    operands : tuple of Linear
        Scratchpad tile of dst, src and wgt.
    guards : tuple of Linear
        Where one of them is negative nothing is computed.
    skips : tuple of Linear
        Where one of them is negative the product is known to be zero.
    """

    extents: tuple[int, ...]
    operands: tuple[Linear, Linear, Linear]
    guards: tuple[Linear, ...] = ()
    skips: tuple[Linear, ...] = ()

    @property
    def sums(self) -> tuple[int, ...]:
        """The loops that add up: they do not move dst."""
        return tuple(k for k, factor in enumerate(self.operands[0].factors) if not factor)


@dataclass(frozen=True)
class _Group:
    """Boxes of one step, of equal size: the loops run over ``counts`` iterations from each of ``starts``."""

    starts: tuple[tuple[int, ...], ...]
    counts: tuple[int, ...]


class StepPlan:
    """The kernels of one step, from numbers alone.

    Parameters
    ----------
    bases : tuple of int
        Tiles of dst, src and wgt in the first iteration.
    groups : list of _Group
        What is to be summed up.
    whole : tuple
        ``[low, high)`` of each loop in which the step writes accumulators.
    """

    def __init__(self, product: TileProduct, bases: tuple[int, ...], groups: list[_Group], whole: Ranges) -> None:
        self._product, self._bases, self._groups, self._whole = product, bases, groups, whole
        self._steps = [tuple(o.factors[k] for o in product.operands) for k in range(len(product.extents))]

    def accumulate(self) -> Iterator[tuple[Mode, Kernel]]:
        """Sums on top of what is there."""
        for group in self._groups:
            yield Mode.ACCUMULATE, self._kernel(group)

    def begin(self, overwrites: bool) -> Iterator[tuple[Mode, Kernel]]:
        """Sums from zero: the first sum of every accumulator overwrites it, if one box has them all."""
        if any(high <= low for low, high in self._whole):
            return
        first = next(self._covering(), None) if overwrites else None
        if first is None:
            yield Mode.RESET, self._reset()
            yield from self.accumulate()
            return
        chosen, start = first
        counts = list(chosen.counts)
        sums = [k for k in self._product.sums if counts[k] > 1]
        once = [1 if k in sums else count for k, count in enumerate(counts)]
        yield Mode.OVERWRITE, self._kernel(_Group((start,), tuple(once)))
        for n, k in enumerate(sums):
            # What is left of the box: in loop k behind its first iteration, with the sums before k at their first.
            left = [once[j] if j in sums[:n] else count for j, count in enumerate(counts)]
            left[k] -= 1
            behind = tuple(low + (j == k) for j, low in enumerate(start))
            yield Mode.ACCUMULATE, self._kernel(_Group((behind,), tuple(left)))
        for group in self._groups:
            starts = tuple(s for s in group.starts if group is not chosen or s != start)
            if starts:
                yield Mode.ACCUMULATE, self._kernel(_Group(starts, group.counts))

    def _covering(self) -> Iterator[tuple[_Group, tuple[int, ...]]]:
        """The boxes that have every accumulator of the step."""
        loops = [k for k in range(len(self._whole)) if k not in self._product.sums]
        for group in self._groups:
            for start in group.starts:
                if all((start[k], start[k] + group.counts[k]) == self._whole[k] for k in loops):
                    yield group, start

    def _kernel(self, group: _Group) -> Kernel:
        loops = [Loop(count, (d, s, w)) for count, (d, s, w) in zip(group.counts, self._steps, strict=True)]
        return make_kernel(loops, [self._tiles(start) for start in group.starts])

    def _tiles(self, iteration: Sequence[int]) -> tuple[int, int, int]:
        """The tiles of one iteration."""
        dst, src, wgt = (
            base + sum(steps[operand] * k for steps, k in zip(self._steps, iteration, strict=True))
            for operand, base in enumerate(self._bases)
        )
        return dst, src, wgt

    def _reset(self) -> Kernel:
        sums = self._product.sums
        loops = [
            Loop(high - low, (self._steps[k][0], 0, 0)) for k, (low, high) in enumerate(self._whole) if k not in sums
        ]
        dst, _, _ = self._tiles([0 if k in sums else low for k, (low, _) in enumerate(self._whole)])
        return make_kernel(loops, [(dst, 0, 0)])


def _table(boxed: Sequence[Box]) -> list[NDArray[np.int64]]:
    return [column for box in boxed for pair in zip(box.low, box.high, strict=True) for column in pair]


class ProductPlans:
    """All steps of a product; those with equal numbers share a plan.

    ``columns`` are the numbers by which steps differ; `plan` makes the plan of one row of them.
    """

    def __init__(self, product: TileProduct) -> None:
        self.product = product
        steps = len(product.operands[0].base)
        found = list(boxes(steps, product.extents, (*product.guards, *product.skips), product.sums))
        self._boxes = len(found)
        # What is written at all: guards that sums have a part in leave it as it is.
        written = [g for g in product.guards if not any(g.factors[k] for k in product.sums)]
        if any(sum(f != 0 for f in g.factors) > 1 for g in written):
            raise CompileError(
                "the part that a product writes is no box; tile its loops so that each bound is one loop's"
            )
        whole = cut(steps, product.extents, written)
        self.columns = [
            *(operand.base for operand in product.operands),
            *_table([whole]),
            *_table(found),
        ]

    def plan(self, row: Sequence[int]) -> StepPlan:
        """The plan of a step with these numbers."""
        loops = len(self.product.extents)
        pairs = list(zip(row[3::2], row[4::2], strict=True))
        members: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
        for n in range(1, self._boxes + 1):
            ranges = pairs[n * loops : (n + 1) * loops]
            if all(high > low for low, high in ranges):
                counts = tuple(high - low for low, high in ranges)
                members.setdefault(counts, []).append(tuple(low for low, _ in ranges))
        groups = [_Group(tuple(starts), counts) for counts, starts in members.items()]
        return StepPlan(self.product, tuple(row[:3]), groups, tuple(pairs[:loops]))
