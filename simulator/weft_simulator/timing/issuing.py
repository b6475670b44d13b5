"""Around every instruction of a module: its command queue, tokens popped and pushed, retirement."""

from __future__ import annotations

from .access import instruction, moments, state
from .compiled import compiled
from .reading import wake
from .state import NO_FAULT, WAKE_FETCH, WAKE_ISSUE

_NONE = -1
_POPS_PREV = (_NONE, 0, 2)
_POPS_NEXT = (1, 3, _NONE)
_PUSHES_PREV = (_NONE, 1, 3)
_PUSHES_NEXT = (0, 2, _NONE)
"""The token queue behind each module's ports."""

_POPPER = (1, 0, 2, 1)
_PUSHER = (0, 1, 1, 2)
"""The modules at the ends of each token queue."""


@compiled
def _certain(m, channel, owed):
    """Whether as many pushes as are owed will be taken."""
    p = state(m).parameters
    return channel == _NONE or owed <= min(p.token_depth - state(m).tokens[channel], p.most_room)


@compiled
def _pop(m, channel, time):
    state(m).token_changes[channel] -= 1
    wake(m, WAKE_ISSUE + _PUSHER[channel], time + 1)


@compiled
def _push(m, channel, time):
    state(m).token_changes[channel] += 1
    wake(m, WAKE_ISSUE + _POPPER[channel], time + 1)


@compiled
def retire(m, queue, time, completed):
    """Push the oldest instruction's tokens when its work is done; returns whether anything moved."""
    p, module = state(m).parameters, state(m).modules[queue]
    module.waiting += completed
    if not module.waiting:
        return False
    insn = instruction(m, module.offset + module.retired)
    prev, next_ = _PUSHES_PREV[queue], _PUSHES_NEXT[queue]
    push_prev = prev != _NONE and insn.push_prev == 1 and module.prev_pushed == 0
    push_next = next_ != _NONE and insn.push_next == 1
    if push_prev:
        if state(m).tokens[prev] == p.token_depth:
            return False
        _push(m, prev, time)
        module.owed_prev -= 1
    if push_next:
        if state(m).tokens[next_] == p.token_depth:
            module.prev_pushed = 1
            return push_prev
        _push(m, next_, time)
        module.owed_next -= 1
    module.prev_pushed = 0
    module.waiting -= 1
    if p.span:
        moments(m, module.offset + module.retired).retired = time
    module.retired += 1
    module.last_retire = time
    module.present -= 1
    if state(m).fetching.blocked:
        wake(m, WAKE_FETCH, time + 1)
    return True


@compiled
def push_blocked(m, queue):
    """Whether the oldest instruction, which is over, owes a token that its queue has no room for."""
    p, module = state(m).parameters, state(m).modules[queue]
    insn = instruction(m, module.offset + module.retired)
    prev, next_ = _PUSHES_PREV[queue], _PUSHES_NEXT[queue]
    if prev != _NONE and insn.push_prev == 1 and module.prev_pushed == 0 and state(m).tokens[prev] == p.token_depth:
        return True
    return next_ != _NONE and insn.push_next == 1 and state(m).tokens[next_] == p.token_depth


@compiled
def lacks_token(m, queue):
    """Whether a token is missing that the head pops."""
    module = state(m).modules[queue]
    insn = instruction(m, next_instruction(m, queue))
    prev, next_ = _POPS_PREV[queue], _POPS_NEXT[queue]
    if prev != _NONE and insn.pop_prev == 1 and module.prev_popped == 0 and state(m).tokens[prev] == 0:
        return True
    return next_ != _NONE and insn.pop_next == 1 and state(m).tokens[next_] == 0


@compiled
def next_instruction(m, queue):
    """Program index of the command queue's head."""
    module = state(m).modules[queue]
    return module.offset + module.issued


@compiled
def tokens_there(m, queue, time):
    """Whether the head is offered; it takes prev's token when only next's is missing."""
    module = state(m).modules[queue]
    insn = instruction(m, next_instruction(m, queue))
    prev, next_ = _POPS_PREV[queue], _POPS_NEXT[queue]
    pop_prev = prev != _NONE and insn.pop_prev == 1 and module.prev_popped == 0
    pop_next = next_ != _NONE and insn.pop_next == 1
    next_missing = pop_next and state(m).tokens[next_] == 0
    if pop_prev and state(m).tokens[prev] == 0:
        return False
    if next_missing:
        if pop_prev:
            _pop(m, prev, time)
            module.prev_popped = 1
        return False
    return True


@compiled
def may_begin(m, queue, running, owed_prev, owed_next):
    """Whether the head may take tokens: every push that running instructions owe is certain to be taken."""
    if state(m).modules[queue].filled == 0 or running >= state(m).modules[queue].in_flight:
        return False
    return _certain(m, _PUSHES_PREV[queue], owed_prev) and _certain(m, _PUSHES_NEXT[queue], owed_next)


@compiled
def refuse(m, number, outcome):
    """Stop the program, unless something did before; returns that nothing is issued."""
    refusal = state(m).refusal
    if refusal.outcome == NO_FAULT:
        refusal.outcome, refusal.insn = outcome, number
    return False


@compiled
def issue(m, queue, time):
    """The head leaves the queue, with its tokens."""
    module = state(m).modules[queue]
    number = next_instruction(m, queue)
    insn = instruction(m, number)
    if state(m).parameters.span:
        moments(m, number).issued = time
    prev, next_ = _POPS_PREV[queue], _POPS_NEXT[queue]
    if prev != _NONE and insn.pop_prev == 1 and module.prev_popped == 0:
        _pop(m, prev, time)
    if next_ != _NONE and insn.pop_next == 1:
        _pop(m, next_, time)
    module.prev_popped = 0
    if _PUSHES_PREV[queue] != _NONE:
        module.owed_prev += insn.push_prev
    if _PUSHES_NEXT[queue] != _NONE:
        module.owed_next += insn.push_next
    module.issued += 1


@compiled
def step_queue(m, queue, time, issued):
    """One cycle of the command queue; returns whether anything moved.

    Words pass through a memory and its output register; one dispatched to an empty queue goes to the head at once.
    """
    module = state(m).modules[queue]
    dispatched = module.dispatched_at == time
    take = issued or module.filled == 0
    empty = module.level + module.shown == 0
    written = dispatched and not (take and empty)
    read = module.level > 0 and (take or module.shown == 0)
    filled = module.filled
    if take:
        filled = 1 if module.shown == 1 or (dispatched and empty) else 0
    shown = 1 if read else (0 if take else module.shown)
    moved = filled != module.filled or shown != module.shown or written or read or issued
    module.filled, module.shown = filled, shown
    module.level += (1 if written else 0) - (1 if read else 0)
    return moved
