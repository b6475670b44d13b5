"""The timing model's clock: it stands only in cycles in which something can happen."""

from __future__ import annotations

from .compiled import compiled
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
    STORE,
    UNITS,
    WAKE_FETCH,
    WAKE_ISSUE,
    WAKE_PORT,
    WAKE_ROWS,
    WAKE_WALK,
)
from .storing import step_store


@compiled
def launch(m, address, nbytes):
    """Begin to fetch: the range is asked for in the cycle after the launch."""
    offer_range(m, FETCH, 1, address, nbytes)


@compiled
def run(m, time):
    """Go on from a cycle until all instructions retired, nothing can move, or the time is over; returns the cycle."""
    p = m.parameters[0]
    left = p.instructions
    for queue in range(3):
        left -= m.modules[queue].retired
    while left:
        time = NEVER
        for unit in range(UNITS):
            time = min(time, m.wake[unit])
        if time >= p.max_cycles:
            return time
        _cycle(m, time)
        left = p.instructions
        for queue in range(3):
            left -= m.modules[queue].retired
    return time


@compiled
def _cycle(m, time):
    """Every unit that has something to do; each sees the others as they were before the cycle.

    The order serves what passes between units within a cycle: a grant frees a splitter, a start finds rows idle.
    """
    for unit in range(UNITS):
        if m.wake[unit] <= time:
            m.due[unit] = 1
            m.wake[unit] = NEVER
    if m.due[WAKE_FETCH]:
        dispatch(m, time)
    if m.due[WAKE_PORT]:
        client = grant(m, time)
        if client == FETCH:
            collect(m)
        elif client > 0:
            m.due[WAKE_ROWS + client] = 1
            advance_walk(m, client)
            if client == STORE:
                m.due[WAKE_ISSUE + STORE - 1] = 1
    if m.due[WAKE_ISSUE]:
        step_load(m, time)
    if m.due[WAKE_ISSUE + 1]:
        step_compute(m, time)
    if m.due[WAKE_ISSUE + 2]:
        step_store(m, time)
    for client in (LOAD, COMPUTE, STORE):
        if m.due[WAKE_ROWS + client]:
            step_rows(m, client, time)
        if m.due[WAKE_WALK + client]:
            step_walk(m, client, time)
    for unit in range(UNITS):
        m.due[unit] = 0
    for channel in range(CHANNELS):
        m.tokens[channel] += m.token_changes[channel]
        m.token_changes[channel] = 0
