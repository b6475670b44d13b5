"""The modules, a cycle each: what completes in it, and whether the next instruction may begin."""

from __future__ import annotations

from .access import instruction, short_place, state
from .accumulators import load_uops, loop_fits, remember
from .activities import count_cycle
from .compiled import compiled
from .issuing import issue, may_begin, next_instruction, refuse, retire, step_queue, tokens_there
from .loading import rows_idle, start_rows
from .reading import wake
from .state import (
    COMPUTE,
    FINISH_KIND,
    LOAD,
    LOAD_KIND,
    LOOP_KIND,
    NEVER,
    OUT_OF_SCRATCHPAD,
    SET_KIND,
    WAKE_ISSUE,
)

_QUEUE = COMPUTE - 1


@compiled
def step_load(m, time):
    """One cycle of the load module."""
    module, walk = state(m).modules[LOAD - 1], state(m).walks[LOAD]
    running, owed_next = module.issued - module.retired, module.owed_next
    completed = (walk.walking == 1 and walk.done_at == time) or module.at_once == time
    count_cycle(m, LOAD - 1, time, completed)
    moved = retire(m, LOAD - 1, time, 1 if completed else 0)
    issued = False
    if may_begin(m, LOAD - 1, running, 0, owed_next):
        popped = module.prev_popped
        if tokens_there(m, LOAD - 1, time):
            number = next_instruction(m, LOAD - 1)
            if instruction(m, number).fault:
                refuse(m, number, instruction(m, number).fault)
            elif instruction(m, number).kind == SET_KIND:
                issued = running == 0
                if issued:
                    module.at_once = time + 1
            elif rows_idle(m, LOAD, time):
                issued = True
                start_rows(m, LOAD, time, number)
            if issued:
                issue(m, LOAD - 1, time)
        moved = moved or popped != module.prev_popped
    moved = step_queue(m, LOAD - 1, time, issued) or moved
    soonest = time + 1 if moved or completed else NEVER
    if walk.walking == 1 and walk.done_at > time:
        soonest = min(soonest, walk.done_at)
    wake(m, WAKE_ISSUE + LOAD - 1, soonest)


@compiled
def _accept(m, time, number):
    """Whether the compute module begins an instruction in this cycle; what becomes of it."""
    p, steps, walk = state(m).parameters, state(m).steps, state(m).walks[COMPUTE]
    insn, module = instruction(m, number), state(m).modules[_QUEUE]
    stepped = time >= steps.stepped_at
    loaded = walk.started == walk.finished and time >= walk.last_done + 2
    if insn.fault:
        return refuse(m, number, insn.fault)
    if insn.kind == LOOP_KIND or insn.kind == SET_KIND:
        if not loaded or time < steps.free_at:
            return False
        if not loop_fits(m, insn):
            return refuse(m, number, OUT_OF_SCRATCHPAD)
        steps.free_at = time + max(1, insn.beats)
        done = steps.free_at + p.step_read_latency
        completion = done + p.step_to_completion
        state(m).completions[short_place(steps.completions_tail)] = completion
        steps.completions_tail += 1
        steps.stepped_at = completion + 1
        if insn.beats:
            steps.last_step = done
            remember(m, time, number)
        if insn.register == p.overwrite_register:
            state(m).storing.overwrite = insn.value
        return True
    if insn.kind == LOAD_KIND:
        if not stepped or (not insn.uop_load and time < steps.last_step + p.datapath_latency):
            return False
        if not rows_idle(m, COMPUTE, time):
            return False
        start_rows(m, COMPUTE, time, number)
        if insn.uop_load:
            load_uops(m, insn)
        return True
    if not stepped or not loaded:
        return False
    module.at_once = time + 1
    if insn.kind == FINISH_KIND:
        steps.finished_at = time
    return True


@compiled
def step_compute(m, time):
    """One cycle of the compute module."""
    p, module, walk, steps = state(m).parameters, state(m).modules[_QUEUE], state(m).walks[COMPUTE], state(m).steps
    running, owed_prev, owed_next = module.issued - module.retired, module.owed_prev, module.owed_next
    completed = (walk.walking == 1 and walk.done_at == time) or module.at_once == time
    pending = steps.completions_head != steps.completions_tail
    if pending and state(m).completions[short_place(steps.completions_head)] == time:
        steps.completions_head += 1
        completed = True
    count_cycle(m, _QUEUE, time, completed)
    moved = retire(m, _QUEUE, time, 1 if completed else 0)
    issued = False
    if may_begin(m, _QUEUE, running, owed_prev, owed_next):
        popped = module.prev_popped
        if tokens_there(m, _QUEUE, time):
            issued = _accept(m, time, next_instruction(m, _QUEUE))
            if issued:
                issue(m, _QUEUE, time)
        moved = moved or popped != module.prev_popped
    moved = step_queue(m, _QUEUE, time, issued) or moved
    soonest = time + 1 if moved or completed else NEVER
    if walk.walking == 1 and walk.done_at > time:
        soonest = min(soonest, walk.done_at)
    if steps.completions_head != steps.completions_tail:
        soonest = min(soonest, state(m).completions[short_place(steps.completions_head)])
    for event in (steps.free_at, steps.stepped_at, steps.last_step + p.datapath_latency, walk.last_done + 2):
        if event > time:
            soonest = min(soonest, event)
    wake(m, WAKE_ISSUE + _QUEUE, soonest)
