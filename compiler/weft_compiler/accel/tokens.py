"""Dependency tokens of a program from what its instructions touch: as few as order everything.

Two instructions of different queues that touch the same scratchpad tiles, one of them writing, have to run in the order
in which the program lists them. An instruction needs to wait for the last such instruction of a neighbouring queue
only, and not even for that if an earlier one of its own queue waited for it or for a later one. What is left is a
sequence of pairs that rises on both sides, so the k-th token pushed is the k-th popped, each instruction pushes and
pops at most once in a direction, and without any one of the pairs two instructions would race.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from weft_hardware.isa import Queue
from weft_runtime.diagnosis import CHANNELS

from .columns import Column

Flags = dict[str, NDArray[np.bool_]]
"""Name of a dependency flag to one bool an instruction."""

NEIGHBOURS = tuple(
    (source, target, *(("push_next", "pop_prev") if target > source else ("push_prev", "pop_next")))
    for source, target in CHANNELS
)
"""From, to, and the flags by which a token goes that way."""

TOGETHER = 1 << 18
"""About how many accesses of single tiles are looked at together, so that they stay in the CPU's caches."""


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

    def runs(self, queue: Column) -> Iterator[Runs]:
        """The same tile by tile; what one queue does to a tile between others, all reading or all writing, is one run.

        Parameters
        ----------
        queue : Column
            Of each instruction.
        """
        begin, end = (self.memory << 32) + self.first, (self.memory << 32) + self.end
        bounds = np.unique(np.concatenate([begin, end]))
        low, high = np.searchsorted(bounds, begin), np.searchsorted(bounds, end)
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
    """Of each run, by cell and instruction: where, whose, whether it writes, its first and its last instruction.

    A *cell* are tiles that are always touched together.
    """

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


def _ranges(begin: Column, count: Column, step: int) -> Column:
    """``count`` numbers from each ``begin`` on, ``step`` apart, one range after another."""
    begin, count = begin[count > 0], count[count > 0]
    numbers = np.full(count.sum(), step, np.int64)
    numbers[np.cumsum(count) - count] = np.diff(begin, prepend=0) - np.append(0, (count - 1) * step)[:-1]
    return np.cumsum(numbers, out=numbers)


def _last(chosen: NDArray[np.bool_], counted: NDArray[np.int32]) -> NDArray[np.int32]:
    """For each run the last chosen one up to it, −1 if there is none; ``counted`` is 0, 1, 2 …"""
    return np.maximum.accumulate(np.where(chosen, counted, np.int32(-1)))


def _needed(queue: Column, accesses: Accesses) -> dict[tuple[Queue, Queue], Column]:
    """For each instruction of a target the last one of a source that it has to follow, −1 if there is none."""
    needed = {(source, target): np.full(len(queue), -1, np.int64) for source, target, *_ in NEIGHBOURS}
    for cell, owner, writes, first, end in accesses.runs(queue):
        counted = np.arange(len(cell), dtype=np.int32)
        begins = _last(np.diff(cell, prepend=-1) != 0, counted)
        owned = {source: owner == int(source) for source, _ in needed}
        touched = {source: _last(mine, counted) for source, mine in owned.items()}
        wrote = {source: _last(mine & writes, counted) for source, mine in owned.items()}
        for (source, target), latest in needed.items():
            waiting = np.flatnonzero(owned[target])
            last = np.where(writes[waiting], touched[source][waiting], wrote[source][waiting])
            there = last >= begins[waiting]
            np.maximum.at(latest, first[waiting[there]], end[last[there]])
    return needed


def waits(queue: Column, accesses: Accesses) -> Iterator[tuple[Queue, Queue, Column, Column]]:
    """The pairs of instructions that tokens have to order, as few as possible.

    Yields
    ------
    source, target : Queue
        Neighbouring queues.
    earlier, later : Column
        Positions in the program; both rise.
    """
    for (source, target), needed in _needed(queue, accesses).items():
        later = np.flatnonzero(queue == target)
        covered = np.maximum.accumulate(needed[later])
        new = np.diff(covered, prepend=-1) > 0
        yield source, target, covered[new], later[new]


def token_flags(queue: Column, accesses: Accesses) -> Flags:
    """The dependency flags of every instruction.

    Parameters
    ----------
    queue : Column
        Each instruction's command queue, in program order.
    """
    flags = {name: np.zeros(len(queue), bool) for name in ("pop_prev", "pop_next", "push_prev", "push_next")}
    for (_, _, push, pop), (_, _, earlier, later) in zip(NEIGHBOURS, waits(queue, accesses), strict=True):
        flags[push][earlier] = True
        flags[pop][later] = True
    return flags
