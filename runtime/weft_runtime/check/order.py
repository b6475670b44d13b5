"""Who happens before whom: queue order, and a token from each push to the pop that takes it.

A token queue is first-in first-out and has one sender and one receiver, so the k-th pop takes the k-th push, whatever
the timing. That a full token queue makes its sender wait is no order that a program may count on.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from weft_hardware.isa import Queue

from ..diagnosis import CHANNELS
from ..schedule import POP_NEXT, POP_PREV, PUSH_NEXT, PUSH_PREV, Plan

NEVER = -1
"""The pusher of a token that nobody pushes."""


def pushers(plan: Plan) -> dict[int, list[int]]:
    """For each instruction that pops the instructions whose tokens it takes, `NEVER` where there is none."""
    steps = np.array(plan.steps, np.int64)
    sources: dict[int, list[int]] = {}
    for sender, receiver in CHANNELS:
        push, pop = (PUSH_NEXT, POP_PREV) if sender < receiver else (PUSH_PREV, POP_NEXT)
        giving, taking = np.array(plan.queues[sender], int), np.array(plan.queues[receiver], int)
        giving, taking = giving[steps[giving] & push != 0], taking[steps[taking] & pop != 0]
        pushing = giving.tolist() + [NEVER] * max(0, len(taking) - len(giving))
        for pusher, popper in zip(pushing, taking.tolist(), strict=False):
            sources.setdefault(popper, []).append(pusher)
    return sources


def legal_order(plan: Plan, sources: dict[int, list[int]]) -> Iterator[int]:
    """Program indices in an order that queues and tokens allow, as near to program order as they let it be.

    What waits for ever, with token queues of any depth, does not appear.
    """
    count = len(plan.steps)
    done = bytearray(count + 1)
    lines = [[*plan.queues[queue], count] for queue in Queue]
    at = [0, 0, 0]
    while True:
        heads = [line[position] for line, position in zip(lines, at, strict=True)]
        for index in sorted(heads):
            if index < count and all(pusher != NEVER and done[pusher] for pusher in sources.get(index, ())):
                break
        else:
            return
        at[heads.index(index)] += 1
        done[index] = 1
        yield index
