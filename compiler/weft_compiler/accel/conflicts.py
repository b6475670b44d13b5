"""Instructions that have to stay in order because of the scratchpad tiles that they touch.

Two instructions of neighbouring queues that touch the same tile, one of them writing, are a *conflict*. Compute is one
of every two neighbours, and its instructions keep their order. So of a LOAD or STORE two conflicts are enough: with the
last instruction of compute that it has to follow, and with the first that has to follow it. They hold wherever it
moves, as long as what touches one tile keeps its order.

Conflicts within a program depend neither on what comes before or behind it, nor on where whole buffers lie: they are
found once. Those with programs before follow from who touches each tile first here and touched it last there: `Past`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise, product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Memory, Queue, scratchpad_depth
from weft_runtime.diagnosis import CHANNELS

from .columns import Column

TOGETHER = 1 << 18
"""About how many accesses of single tiles are looked at together, so that they stay in the CPU's caches."""

NONE = -1

TOUCHES, WRITES = range(2)


@dataclass(frozen=True)
class Accesses:
    """What instructions touch, one entry for each range of tiles.

    Parameters
    ----------
    instruction : Column
        Who, as a position in the program.
    memory, first, end : Column
        Tiles ``[first, end)`` of which scratchpad.
    writes : bool array
        Whether it writes them.
    """

    instruction: Column
    memory: Column
    first: Column
    end: Column
    writes: NDArray[np.bool_]

    @cached_property
    def bounds(self) -> Column:
        """Where ranges begin and end, scratchpad by scratchpad; a *cell* is what lies between two neighbours.

        The tiles of a cell are always touched together.
        """
        return np.unique(np.concatenate([self._of(self.first), self._of(self.end)]))

    def _of(self, tiles: Column) -> Column:
        return (self.memory << 32) + tiles

    def runs(self, queue: Column) -> Iterator[Runs]:
        """The same cell by cell; what one queue does to a cell between others, all reading or all writing, is one run.

        Parameters
        ----------
        queue : Column
            Of each instruction.
        """
        bounds = self.bounds
        low, high = (np.searchsorted(bounds, self._of(tiles)) for tiles in (self.first, self.end))
        touches = np.cumsum(np.bincount(low, minlength=len(bounds)) - np.bincount(high, minlength=len(bounds)))
        cuts = np.flatnonzero(np.diff(np.cumsum(touches) // TOGETHER)) + 1
        # One number of all four, cell, instruction, queue and direction, is sorted many times faster than an order of
        # them is found.
        bits = len(queue).bit_length()
        one = self.instruction << 3 | queue[self.instruction] << 1 | self.writes
        for start, stop in pairwise([0, *cuts.tolist(), len(bounds)]):
            inside = np.maximum(low, start)
            count = np.minimum(high, stop) - inside
            packed = _ranges(inside << bits + 3 | one, count, 1 << bits + 3)
            packed.sort()
            yield _runs(packed, bits)


class Runs(NamedTuple):
    """Of each run, by cell and instruction: where, whose, whether it writes, its first and its last instruction."""

    cell: Column
    owner: Column
    writes: NDArray[np.bool_]
    first: Column
    last: Column


def _runs(packed: Column, bits: int) -> Runs:
    number = (1 << bits) - 1
    kind = packed & ~(number << 3)
    begins = np.flatnonzero(np.diff(kind, prepend=-1))
    ends = np.append(begins, len(kind))[1:] - 1
    kind, first, last = kind[begins], packed[begins] >> 3 & number, packed[ends] >> 3 & number
    return Runs(kind >> bits + 3, kind >> 1 & 3, (kind & 1).astype(bool), first, last)


def _ranges(begin: Column, count: Column, step: int = 1) -> Column:
    """``count`` numbers from each ``begin`` on, ``step`` apart, one range after another."""
    begin, count = begin[count > 0], count[count > 0]
    numbers = np.full(count.sum(), step, np.int64)
    numbers[np.cumsum(count) - count] = np.diff(begin, prepend=0) - np.append(0, (count - 1) * step)[:-1]
    return np.cumsum(numbers, out=numbers)


class Pairs(NamedTuple):
    """Instructions of which the second one has to wait for the first."""

    earlier: Column
    later: Column


@dataclass(frozen=True)
class Cells:
    """Who touches tiles ``[begin, end)`` of a scratchpad first and last.

    Parameters
    ----------
    first, last : int64 arrays (2, queues, cells)
        Of each queue's instructions that touch them, then of those that write them; `NONE` if there is none.
    """

    memory: Column
    begin: Column
    end: Column
    first: NDArray[np.int64]
    last: NDArray[np.int64]


@dataclass(frozen=True)
class Conflicts:
    """Those of one program, and what they are with others: see the module."""

    pairs: Pairs
    cells: Cells

    def numbered(self, numbers: Column) -> Conflicts:
        """The same where the instruction at each position has another number."""
        names = np.append(numbers, NONE)  # and `NONE` stays what it is
        cells = replace(self.cells, first=names[self.cells.first], last=names[self.cells.last])
        return Conflicts(Pairs(*(numbers[column] for column in self.pairs)), cells)


def conflicts(queue: Column, accesses: Accesses) -> Conflicts:
    """What a program has to keep in order.

    Parameters
    ----------
    queue : Column
        Each instruction's command queue, in program order.
    """
    count, bounds = len(queue), accesses.bounds
    after, before = np.full(count, NONE), np.full(count, count)
    first, last = (np.full((2, len(Queue) * len(bounds)), value) for value in (count, NONE))
    for runs in accesses.runs(queue):
        for (_, target), (earlier, later) in _pairs(runs):
            if target is Queue.COMPUTE:
                np.minimum.at(before, earlier, later)
            else:
                np.maximum.at(after, later, earlier)
        where = runs.owner * len(bounds) + runs.cell
        for kind, chosen in ((TOUCHES, slice(None)), (WRITES, runs.writes)):
            np.minimum.at(first[kind], where[chosen], runs.first[chosen])
            np.maximum.at(last[kind], where[chosen], runs.last[chosen])
    follows, leads = np.flatnonzero(after != NONE), np.flatnonzero(before != count)
    pairs = Pairs(np.concatenate([after[follows], leads]), np.concatenate([follows, before[leads]]))
    first[first == count] = NONE
    first, last = (values.reshape(2, len(Queue), -1) for values in (first, last))
    used = np.flatnonzero((last[TOUCHES] != NONE).any(axis=0))
    cells = Cells(
        *(bounds[used] >> 32, bounds[used] & 0xFFFFFFFF, bounds[used + 1] & 0xFFFFFFFF),
        *(first[..., used], last[..., used]),
    )
    return Conflicts(pairs, cells)


def _last(chosen: NDArray[np.bool_], counted: NDArray[np.int32]) -> NDArray[np.int32]:
    """For each run the last chosen one up to it, −1 if there is none; ``counted`` is 0, 1, 2 …"""
    return np.maximum.accumulate(np.where(chosen, counted, np.int32(-1)))


def _pairs(runs: Runs) -> Iterator[tuple[tuple[Queue, Queue], Pairs]]:
    """Of each channel the first instruction of every run with the last one that it has to follow."""
    cell, owner, writes, first, end = runs
    counted = np.arange(len(cell), dtype=np.int32)
    begins = _last(np.diff(cell, prepend=-1) != 0, counted)
    owned = {queue: owner == int(queue) for queue in Queue}
    touched = {queue: _last(mine, counted) for queue, mine in owned.items()}
    wrote = {queue: _last(mine & writes, counted) for queue, mine in owned.items()}
    for source, target in CHANNELS:
        waiting = np.flatnonzero(owned[target])
        last = np.where(writes[waiting], touched[source][waiting], wrote[source][waiting])
        there = last >= begins[waiting]
        yield (source, target), Pairs(end[last[there]], first[waiting[there]])


class Past:
    """Who touched the tiles of the scratchpads last, of several programs one after another."""

    def __init__(self, config: AcceleratorConfig) -> None:
        sizes = [scratchpad_depth(memory, config) for memory in Memory]
        self._base = np.array([0, *accumulate(sizes)])
        self._last = np.full((2, len(Queue), self._base[-1]), NONE)

    def followed_by(self, cells: Cells) -> Pairs:
        """Conflicts of the next program with those before it, all that may matter; it becomes one of these."""
        found = []
        for source, target in CHANNELS:
            for before, behind in ((WRITES, TOUCHES), (TOUCHES, WRITES)):
                tiles, later = self._by_tile(cells, cells.first[behind, target])
                earlier = self._last[before, source, tiles]
                # Of neighbouring tiles most say the same.
                new = (np.diff(earlier, prepend=NONE) != 0) | (np.diff(later, prepend=NONE) != 0)
                new &= earlier != NONE
                found.append(Pairs(earlier[new], later[new]))
        for kind, queue in product((TOUCHES, WRITES), Queue):
            tiles, last = self._by_tile(cells, cells.last[kind, queue])
            self._last[kind, queue, tiles] = last
        return Pairs(*map(np.concatenate, zip(*found, strict=True)))

    def _by_tile(self, cells: Cells, who: Column) -> tuple[Column, Column]:
        """The tiles of all cells for which there is somebody, and who it is."""
        size = np.where(who != NONE, cells.end - cells.begin, 0)
        return _ranges(self._base[cells.memory] + cells.begin, size), np.repeat(who, size)
