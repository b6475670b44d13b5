"""The fetch unit: when each instruction reaches its command queue."""

from __future__ import annotations

from .access import fetched, place, state
from .compiled import compiled
from .reading import release_beats, wake
from .state import FETCH, NEVER, WAKE_FETCH, WAKE_ISSUE


@compiled
def collect(m):
    """Find out when the next instruction is whole, if its beats are known by now.

    A part is taken a cycle, when the instruction before has left; its beat came in the cycle before, at the latest. A
    beat that holds several instructions stays until its last one is taken.
    """
    p, fetching, reader = state(m).parameters, state(m).fetching, state(m).readers[FETCH]
    if fetching.word_at != NEVER:
        return  # one that waits for its queue
    while fetching.part < p.instruction_parts:
        if reader.bursts_head == reader.bursts_tail:
            return
        burst = state(m).bursts[FETCH, place(reader.bursts_head)]
        taken = max(fetching.free_at, burst.start + 1)
        fetching.free_at = taken + 1
        fetching.part += 1
        fetching.slot += 1
        if fetching.slot >= p.instruction_slots or fetching.next == p.instructions - 1:
            fetching.slot = 0
            burst.start += 1
            burst.count -= 1
            if burst.count == 0:
                reader.bursts_head += 1
            release_beats(m, FETCH, taken, 1, 1)
    fetching.word_at = fetching.free_at
    wake(m, WAKE_FETCH, fetching.word_at)


@compiled
def dispatch(m, time):
    """Hand the instruction to its queue, if that has room."""
    p, fetching = state(m).parameters, state(m).fetching
    if fetching.word_at > time:
        wake(m, WAKE_FETCH, fetching.word_at)
        return
    queue = fetched(m, fetching.next).queue
    module = state(m).modules[queue]
    if module.present == p.command_depth:
        fetching.blocked = 1
        return
    fetching.blocked = 0
    module.present += 1
    module.dispatched_at = time
    state(m).due[WAKE_ISSUE + queue] = 1
    fetching.next += 1
    fetching.word_at = NEVER
    fetching.free_at = time
    fetching.part = 0
    if fetching.next == p.instructions:
        fetching.last_dispatch = time
    else:
        collect(m)
