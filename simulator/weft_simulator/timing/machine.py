"""The timing model's clock: it stops only at cycles in which something can happen."""

from __future__ import annotations

from .access import state
from .activities import count_lasting, keep_on
from .compiled import compiled, entry
from .computing import step_compute, step_load
from .fetching import collect, dispatch
from .loading import advance_walk, step_rows, step_walk
from .reading import grant, offer_range
from .state import (
    CHANNELS,
    COMPUTE,
    FETCH,
    LOAD,
    NEVER,
    QUEUES,
    STORE,
    UNITS,
    WAKE_FETCH,
    WAKE_ISSUE,
    WAKE_PORT,
    WAKE_ROWS,
    WAKE_WALK,
)
from .storing import step_store


@entry
def run(m, end, address, nbytes):
    """Go on until all instructions retired, one is refused, or a cycle is reached; returns the next cycle to look at.

    That is `state.NEVER` if nothing can move. At first the program, ``nbytes`` at ``address``, is asked for, in the
    cycle after the launch.
    """
    if state(m).readers[FETCH].free_at == 0:
        offer_range(m, FETCH, 1, address, nbytes)
    total = state(m).parameters.instructions
    while True:
        time = NEVER
        for unit in range(UNITS):
            time = min(time, state(m).wake[unit])
        modules = state(m).modules
        retired = modules[0].retired + modules[1].retired + modules[2].retired
        if retired == total or time >= end or state(m).refusal.outcome:
            return time
        _cycle(m, time)


@entry
def settle(m, end):
    """Between two calls of `run`: what modules did is counted up to a cycle that was not looked at yet."""
    for queue in range(QUEUES):
        count_lasting(m, queue, end)


@compiled
def _cycle(m, time):
    """Every unit that has something to do; each sees the others as they were before the cycle.

    The order serves what passes between units within a cycle: a grant frees a splitter, a start finds rows idle.
    """
    wake, due = state(m).wake, state(m).due
    for unit in range(UNITS):
        due[unit] = 0
        if wake[unit] <= time:
            due[unit] = 1
            wake[unit] = NEVER
    if due[WAKE_FETCH]:
        dispatch(m, time)
    if due[WAKE_PORT]:
        client = grant(m, time)
        if client == FETCH:
            collect(m)
        elif client > 0:
            count_lasting(m, client - 1, time)
            due[WAKE_ROWS + client] = 1
            advance_walk(m, client)
            if client == STORE:
                due[WAKE_ISSUE + STORE - 1] = 1
    if due[WAKE_ISSUE]:
        step_load(m, time)
    if due[WAKE_ISSUE + 1]:
        step_compute(m, time)
    if due[WAKE_ISSUE + 2]:
        step_store(m, time)
    for client in (LOAD, COMPUTE, STORE):
        if due[WAKE_ROWS + client]:
            step_rows(m, client, time)
        if due[WAKE_WALK + client]:
            step_walk(m, client, time)
    for channel in range(CHANNELS):
        state(m).tokens[channel] += state(m).token_changes[channel]
        state(m).token_changes[channel] = 0
    for queue in range(QUEUES):
        if due[WAKE_ISSUE + queue]:
            keep_on(m, queue, time)
