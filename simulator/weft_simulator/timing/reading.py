"""The shared read port: which client's burst is granted when, and when its beats come.

The memory takes every address at once and answers in order, one beat a cycle, and clients take every beat. So the
cycles of a burst's beats are known when it is granted.
"""

from __future__ import annotations

from .access import beats_of, place, state, traffic
from .compiled import compiled
from .state import NEVER, WAKE_PORT


@compiled
def wake(m, unit, time):
    """Look at a unit in a later cycle, besides those already known."""
    if time < state(m).wake[unit]:
        state(m).wake[unit] = time


@compiled
def _may_grant_at(m, time):
    """The first cycle from ``time`` on in which fewer bursts than the most are in flight, if no more are granted."""
    port = state(m).port
    if port.granted - port.oldest < state(m).parameters.reads_in_flight:
        return time
    return max(time, state(m).ends[place(port.oldest)] + 1)


@compiled
def offer_range(m, client, time, address, nbytes):
    """A client's splitter takes a range; its first burst is offered in the next cycle."""
    reader = state(m).readers[client]
    reader.active = 1
    reader.beat, reader.left = beats_of(m, address, nbytes)
    reader.burst_from = time + 1
    reader.free_at = NEVER
    wake(m, WAKE_PORT, _may_grant_at(m, time + 1))


@compiled
def find_room(m, client, earliest):
    """When the buffer has room for the longest burst: ``earliest``, or the cycle after the last release it needs."""
    reader = state(m).readers[client]
    needed = reader.requested + reader.longest - reader.buffer
    reader.enough_at = earliest
    if needed <= 0:
        return
    while reader.releases_head != reader.releases_tail:
        release = state(m).releases[client, place(reader.releases_head)]
        if needed <= release.before + release.count:
            last = release.start + (needed - release.before - 1) * release.period
            reader.enough_at = max(earliest, last + 1)
            return
        reader.releases_head += 1
    reader.enough_at = NEVER


@compiled
def release_beats(m, client, start, count, period):
    """Beats leave a buffer, ``period`` cycles apart, all of them later than those before."""
    reader = state(m).readers[client]
    release = state(m).releases[client, place(reader.releases_tail)]
    release.before, release.start, release.count, release.period = reader.released, start, count, period
    reader.releases_tail += 1
    reader.released += count
    if reader.enough_at == NEVER:
        find_room(m, client, 0)
        if reader.enough_at != NEVER and reader.active:
            wake(m, WAKE_PORT, max(reader.enough_at, reader.burst_from))


@compiled
def grant(m, time):
    """Grant the burst of a cycle, if there is one; returns its client, or -1."""
    p, port = state(m).parameters, state(m).port
    while port.oldest != port.granted and state(m).ends[place(port.oldest)] < time:
        port.oldest += 1
    earliest = _may_grant_at(m, time)
    if earliest > time:
        wake(m, WAKE_PORT, earliest)
        return -1
    granted, client = -1, port.last_client
    for _ in range(p.clients):
        client = client + 1 if client + 1 < p.clients else 0
        reader = state(m).readers[client]
        if reader.active and reader.burst_from <= time and reader.enough_at <= time:
            port.last_client = granted = client
            _grant_to(m, client, time)
            break
    earliest = _may_grant_at(m, time + 1)
    for client in range(p.clients):
        reader = state(m).readers[client]
        if reader.active:
            wake(m, WAKE_PORT, max(earliest, reader.burst_from, reader.enough_at))
    return granted


@compiled
def _grant_to(m, client, time):
    p, port, reader = state(m).parameters, state(m).port, state(m).readers[client]
    beats = min(reader.left, reader.longest - (reader.beat & reader.longest - 1))
    start = max(time + p.grant_to_beat, port.last_end + 1)
    port.last_end = start + beats - 1
    state(m).ends[place(port.granted)] = port.last_end
    port.granted += 1
    burst = state(m).bursts[client, place(reader.bursts_tail)]
    burst.start, burst.count = start, beats
    if p.span:
        for cycle in range(start, start + beats):
            traffic(m, cycle).read += 1
    reader.bursts_tail += 1
    reader.beat += beats
    reader.left -= beats
    reader.requested += beats
    if reader.left:
        reader.burst_from = time + 1
    else:
        reader.active = 0
        reader.free_at = time
    find_room(m, client, time + 1)
