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

    def cells(self) -> tuple[Column, Column, NDArray[np.bool_]]:
        """The same accesses cut where any of them begins or ends: instruction, cell, whether it writes."""
        first, end = (self.memory << 32) + self.first, (self.memory << 32) + self.end
        bounds = np.unique(np.concatenate([first, end]))
        low, high = np.searchsorted(bounds, first), np.searchsorted(bounds, end)
        count = high - low
        start = np.cumsum(count) - count
        cell = np.arange(count.sum()) - np.repeat(start - low, count)
        return np.repeat(self.instruction, count), cell, np.repeat(self.writes, count)


def _last(chosen: NDArray[np.bool_], counted: NDArray[np.int32]) -> NDArray[np.int32]:
    """For each access the last chosen one up to it, −1 if there is none; ``counted`` is 0, 1, 2 …"""
    return np.maximum.accumulate(np.where(chosen, counted, np.int32(-1)))


def waits(queue: Column, accesses: Accesses) -> Iterator[tuple[Queue, Queue, Column, Column]]:
    """The pairs of instructions that tokens have to order, as few as possible.

    Yields
    ------
    source, target : Queue
        Neighbouring queues.
    earlier, later : Column
        Positions in the program; both rise.
    """
    instruction, cell, writes = accesses.cells()
    # One number of all three is sorted many times faster than an order of them is found; a program of more than 2³¹
    # accesses does not fit memory.
    bits = len(queue).bit_length()
    packed = np.sort(cell << (bits + 1) | instruction << 1 | writes)
    cell, instruction, writes = packed >> (bits + 1), packed >> 1 & ((1 << bits) - 1), (packed & 1).astype(bool)
    counted = np.arange(len(cell), dtype=np.int32)
    begins = _last(np.diff(cell, prepend=-1) != 0, counted)
    owner = queue.astype(np.int8)[instruction]
    owned = {source: owner == int(source) for source, *_ in NEIGHBOURS}
    touched = {source: _last(mine, counted) for source, mine in owned.items()}
    wrote = {source: _last(mine & writes, counted) for source, mine in owned.items()}
    for source, target, _, _ in NEIGHBOURS:
        last = np.where(writes, touched[source], wrote[source])
        waiting = np.flatnonzero(owned[target] & (last >= begins))
        needed = np.full(len(queue), -1, np.int64)
        np.maximum.at(needed, instruction[waiting], instruction[last[waiting]])
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
