"""The order in which the queues' instructions are fetched: loads early, and nothing that could hang.

The queues' own orders and the tokens are given; what is chosen here is how they interleave in the one stream that is
fetched. An instruction takes its tokens when it starts and gives its own when it ends, for which they need room in the
token queue. If all starts and ends can be put in one line in which everything comes after what it waits for, and
the stream is in the order of the starts, the next in line can always happen, however short the queues are: what was
fetched before it has started, so that it is fetched too.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Queue

from ..errors import CompileError
from .columns import Column, inverse
from .tokens import NEIGHBOURS, Flags

Keys = NDArray[np.float64]


def fetch_order(queue: Column, flags: Flags, config: AcceleratorConfig) -> Column:
    """The position of each instruction in the stream, from its position in the program.

    Raises
    ------
    CompileError
        If no order of the stream can keep the token queues from filling up for ever.
    """
    keys = _loads_early(queue, flags, config.command_queue_depth // 2)
    sequence = np.argsort(keys, kind="stable")
    place = inverse(sequence)
    waits = list(_waits(queue, flags, config.token_queue_depth))
    if all((place[earlier] < place[later]).all() for earlier, later, _ in waits):
        return place
    return inverse(_by_start(queue, keys, waits, config))


def _loads_early(queue: Column, flags: Flags, most: int) -> Keys:
    """Where each instruction best stands: loads right behind the one whose token they wait for.

    None moves by more than ``most`` instructions: those that it overtakes have to fit beside it in the queues.
    """
    keys = np.arange(len(queue), dtype=np.float64)
    loads = np.flatnonzero(queue == Queue.LOAD)
    if not len(loads):
        return keys
    waits = np.full(len(loads), -1.0)
    waits[flags["pop_next"][loads]] = np.flatnonzero(flags["push_prev"] & (queue == Queue.COMPUTE))
    waits = np.maximum.accumulate(waits)
    keys[loads] = np.maximum.accumulate(np.minimum(loads, np.maximum(waits + 0.5, loads - most)))
    return keys


def _waits(queue: Column, flags: Flags, depth: int) -> Iterator[tuple[Column, Column, bool]]:
    """Who waits for whom: (earlier, later, room).

    The later one starts after the end of the earlier one, whose token it takes; with ``room`` it ends after the start
    of the earlier one, which takes a token out of a full queue.
    """
    for source, target, push, pop in NEIGHBOURS:
        pushes = np.flatnonzero(flags[push] & (queue == source))
        pops = np.flatnonzero(flags[pop] & (queue == target))
        yield pushes, pops, False
        yield pops[:-depth], pushes[depth:], True


def _by_start(
    queue: Column, keys: Keys, waits: list[tuple[Column, Column, bool]], config: AcceleratorConfig
) -> NDArray[np.int64]:
    """The instructions in the order of their starts: as their keys say, as far as the waits allow."""
    count = len(queue)
    # Events: instruction k starts as k and ends as count + k.
    every = np.arange(count)
    chains = [np.flatnonzero(queue == q) for q in Queue]
    earlier = [every, *(count + chain[:-1] for chain in chains), *(a if room else count + a for a, _, room in waits)]
    later = [count + every, *(chain[1:] for chain in chains), *(count + b if room else b for _, b, room in waits)]
    sources, targets = np.concatenate(earlier), np.concatenate(later)
    sequence = np.argsort(sources, kind="stable")
    first = np.searchsorted(sources[sequence], np.arange(2 * count + 1)).tolist()
    after = targets[sequence].tolist()
    missing = np.bincount(after, minlength=2 * count).tolist()
    ranks = np.concatenate([keys, keys]).tolist()
    ready = [(ranks[event], event) for event in range(2 * count) if not missing[event]]
    heapq.heapify(ready)
    starts, done = [], 0
    while ready:
        _, event = heapq.heappop(ready)
        done += 1
        if event < count:
            starts.append(event)
        for other in after[first[event] : first[event + 1]]:
            missing[other] -= 1
            if not missing[other]:
                heapq.heappush(ready, (ranks[other], other))
    if done < 2 * count:
        raise CompileError(
            f"token_queue_depth = {config.token_queue_depth} is too few for this program's slots and virtual threads; "
            "use fewer of them, or deeper token queues"
        )
    return np.array(starts, np.int64)
