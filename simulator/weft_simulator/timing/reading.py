"""The shared read port: which client's burst is granted when, and when its beats come.

The memory takes every address at once and answers in order, one beat a cycle, and clients take every beat. So the
cycles of a burst's beats are known when it is granted.
"""

from __future__ import annotations

from .compiled import compiled
from .state import NEVER, RING, WAKE_PORT


@compiled
def wake(m, unit, time):
    """Look at a unit in a later cycle, besides those already known."""
    if time < m.s.wake[unit]:
        m.s.wake[unit] = time


@compiled
def offer_range(m, client, time, address, nbytes):
    """A client's splitter takes a range; its first burst is offered in the next cycle."""
    reader, axi_bytes = m.s.readers[client], m.s.parameters.axi_bytes
    reader.active = 1
    reader.beat = address // axi_bytes
    reader.left = (address % axi_bytes + nbytes + axi_bytes - 1) // axi_bytes
    reader.burst_from = time + 1
    reader.free_at = NEVER
    wake(m, WAKE_PORT, time + 1)


@compiled
def find_room(m, client, earliest):
    """When the buffer has room for the longest burst: ``earliest``, or the cycle after the last release it needs."""
    reader = m.s.readers[client]
    needed = reader.requested + reader.longest - reader.buffer
    reader.enough_at = earliest
    if needed <= 0:
        return
    while reader.releases_head != reader.releases_tail:
        release = m.s.releases[client, reader.releases_head % RING]
        if needed <= release.before + release.count:
            last = release.start + (needed - release.before - 1) * release.period
            reader.enough_at = max(earliest, last + 1)
            return
        reader.releases_head += 1
    reader.enough_at = NEVER


@compiled
def release_beats(m, client, start, count, period):
    """Beats leave a buffer, ``period`` cycles apart, all of them later than those before."""
    reader = m.s.readers[client]
    release = m.s.releases[client, reader.releases_tail % RING]
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
    p, port = m.s.parameters, m.s.port
    while port.oldest != port.granted and m.s.ends[port.oldest % RING] < time:
        port.oldest += 1
    if port.granted - port.oldest == p.reads_in_flight:
        wake(m, WAKE_PORT, m.s.ends[port.oldest % RING] + 1)
        return -1
    for distance in range(1, p.clients + 1):
        client = (port.last_client + distance) % p.clients
        reader = m.s.readers[client]
        if reader.active and reader.burst_from <= time and reader.enough_at <= time:
            port.last_client = client
            _grant_to(m, client, time)
            wake(m, WAKE_PORT, time + 1)
            return client
    soonest = NEVER
    for client in range(p.clients):
        reader = m.s.readers[client]
        if reader.active:
            soonest = min(soonest, max(reader.burst_from, reader.enough_at))
    wake(m, WAKE_PORT, soonest)
    return -1


@compiled
def _grant_to(m, client, time):
    p, port, reader = m.s.parameters, m.s.port, m.s.readers[client]
    beats = min(reader.left, reader.longest - reader.beat % reader.longest)
    start = max(time + p.grant_to_beat, port.last_end + 1)
    port.last_end = start + beats - 1
    m.s.ends[port.granted % RING] = port.last_end
    port.granted += 1
    burst = m.s.bursts[client, reader.bursts_tail % RING]
    burst.start, burst.count = start, beats
    if len(m.traffic):
        for cycle in range(start, start + beats):
            m.traffic[cycle // p.span, 0] += 1
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
