"""Dependency tokens of a program from its conflicts: as few as order everything.

An instruction needs to wait for the last instruction of a neighbouring queue that conflicts with it only, and not even
for that if an earlier one of its own queue waited for it or for a later one. What is left is a sequence of pairs that
rises on both sides, so the k-th token pushed is the k-th popped, each instruction pushes and pops at most once in a
direction, and without any one of the pairs two instructions would race.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from weft_hardware.isa import Queue
from weft_runtime.diagnosis import CHANNELS

from .columns import Column
from .conflicts import NONE, Pairs

Flags = dict[str, NDArray[np.bool_]]
"""Name of a dependency flag to one bool an instruction."""

NEIGHBOURS = tuple(
    (source, target, *(("push_next", "pop_prev") if target > source else ("push_prev", "pop_next")))
    for source, target in CHANNELS
)
"""From, to, and the flags by which a token goes that way."""


def waits(queue: Column, conflicts: Pairs) -> Iterator[tuple[Queue, Queue, Column, Column]]:
    """The pairs of instructions that tokens have to order, as few as possible.

    Parameters
    ----------
    queue : Column
        Each instruction's command queue, in program order.
    conflicts : Pairs
        Positions in the program; those of neighbouring queues count.

    Yields
    ------
    source, target : Queue
        Neighbouring queues.
    earlier, later : Column
        Positions in the program; both rise.
    """
    assert (conflicts.earlier < conflicts.later).all()
    sources, targets = queue[conflicts.earlier], queue[conflicts.later]
    for source, target in CHANNELS:
        mine = (sources == source) & (targets == target)
        needed = np.full(len(queue), NONE)
        np.maximum.at(needed, conflicts.later[mine], conflicts.earlier[mine])
        later = np.flatnonzero(queue == target)
        covered = np.maximum.accumulate(needed[later])
        new = np.diff(covered, prepend=NONE) > 0
        yield source, target, covered[new], later[new]


def token_flags(queue: Column, conflicts: Pairs) -> Flags:
    """The dependency flags of every instruction; the arguments are those of `waits`."""
    flags = {name: np.zeros(len(queue), bool) for name in ("pop_prev", "pop_next", "push_prev", "push_next")}
    for (_, _, push, pop), (_, _, earlier, later) in zip(NEIGHBOURS, waits(queue, conflicts), strict=True):
        flags[push][earlier] = True
        flags[pop][later] = True
    return flags
