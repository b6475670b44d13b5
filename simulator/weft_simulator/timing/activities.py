"""What each module does in each cycle: the RTL's activity counters, for spans of cycles at a time.

A module that is not looked at goes on doing what it did. So its cycles are counted when it is looked at next: those
since the last time as one span, the present one by itself. Only how long a loader waits for beats is known otherwise,
and may be known ahead: those spans are kept until they are counted.
"""

from __future__ import annotations

from weft_hardware.registers import Activity

from .access import instruction, place, state
from .accumulators import bank_read
from .compiled import compiled
from .issuing import lacks_token, push_blocked
from .state import COMPUTE, IDLE, NEVER, STORE

_BUSY, _TOKEN, _MEMORY, _QUEUE, _HAZARD, _IDLE = (int(activity) for activity in Activity)
_STORE_QUEUE = STORE - 1


@compiled
def doing(m, queue, time, completed):
    """What a module does in a cycle, as far as can be told before the cycle changes anything.

    `Activity.QUEUE` stands for an empty queue, `Activity.BUSY` for whatever a loader's instruction does.
    """
    module = state(m).modules[queue]
    if (completed or module.waiting) and push_blocked(m, queue):
        return _TOKEN
    running = module.issued != module.retired
    if not running:
        if not module.filled:
            return _QUEUE
        if lacks_token(m, queue):
            return _TOKEN
    return _stores(m, time) if queue == _STORE_QUEUE else _BUSY


@compiled
def _stores(m, time):
    """What the instructions do that the store module runs."""
    p, s = state(m).parameters, state(m).storing
    if s.beat_valid:
        taken = s.lengths_head != s.lengths_tail and state(m).lengths[place(s.lengths_head), 1] < time
        return _BUSY if taken else _MEMORY
    if s.unread and s.ahead != p.tiles_ahead:
        return _HAZARD if bank_read(m, time) == (1 if s.index >= p.acc_half else 0) else _BUSY
    if s.loading:
        return _MEMORY
    if s.buffered and s.path_present and s.path_requantised and s.path_mode & p.residual_mode and not s.residuals:
        return _MEMORY
    module = state(m).modules[_STORE_QUEUE]
    if s.completed == module.issued or not instruction(m, module.offset + s.completed).acknowledgements:
        return _BUSY
    announced = s.state == IDLE and not s.waiting
    unsent = s.present or s.blocks_head != s.blocks_tail
    return _MEMORY if announced and not unsent else _BUSY


@compiled
def count(m, queue, end, activity):
    """All cycles before ``end`` that are not counted yet were spent on an activity."""
    if state(m).parameters.counts == 0:
        return
    account = state(m).accounts[queue]
    since, cycles = account.since, end - account.since
    if cycles <= 0:
        return
    counts = state(m).activities
    waited = 0 if queue == _STORE_QUEUE else _waited(m, queue + 1, since, end)
    if activity == _QUEUE:
        left = min(max(first_idle(m) - since, 0), cycles)
        counts[queue, _QUEUE] += left
        counts[queue, _IDLE] += cycles - left
    elif activity == _BUSY:
        counts[queue, _MEMORY] += waited
        counts[queue, _BUSY] += cycles - waited
    else:
        counts[queue, activity] += cycles
    account.since = end


@compiled
def count_lasting(m, queue, end):
    """A module went on with what it did when it was looked at last."""
    count(m, queue, end, state(m).accounts[queue].lasting)


@compiled
def count_cycle(m, queue, time, completed):
    """A module is looked at in a cycle, before that changes anything."""
    if state(m).parameters.counts:
        count_lasting(m, queue, time)
        count(m, queue, time + 1, doing(m, queue, time, completed))


@compiled
def keep_on(m, queue, time):
    """What a module does from now on, until it is looked at again."""
    if state(m).parameters.counts:
        state(m).accounts[queue].lasting = doing(m, queue, time + 1, False)


@compiled
def first_idle(m):
    """From when on an empty queue stays empty; `state.NEVER` if that is not known yet."""
    fetching = state(m).fetching
    return fetching.last_dispatch + 1 if fetching.next == state(m).parameters.instructions else NEVER


@compiled
def remember_wait(m, client, begin, end):
    """A loader waits for a beat from one cycle to another, which may lie ahead."""
    if begin == end or state(m).parameters.counts == 0:
        return
    walk = state(m).walks[client]
    wait = state(m).waits[client, place(walk.waits_tail)]
    wait.begin, wait.end = begin, end
    walk.waits_tail += 1


@compiled
def _waited(m, client, since, end):
    """Cycles of a span in which the loader waited for a beat and nothing else was under way."""
    walk = state(m).walks[client]
    if client == COMPUTE:
        # Micro-ops load while the last steps are on their way to the accumulators.
        since = max(since, state(m).steps.last_step + state(m).parameters.datapath_latency)
    cycles = 0
    while walk.waits_head != walk.waits_tail:
        wait = state(m).waits[client, place(walk.waits_head)]
        cycles += max(0, min(wait.end, end) - max(wait.begin, since))
        if wait.end > end:
            return cycles
        walk.waits_head += 1
    # The beat that it waits for now is not known yet.
    if walk.walking and walk.done_at == NEVER:
        cycles += max(0, end - max(walk.cursor, since))
    return cycles
