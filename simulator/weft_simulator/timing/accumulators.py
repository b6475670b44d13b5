"""Micro-ops: whether a loop nest stays in its scratchpads, and which bank of the accumulators it reads in a cycle."""

from __future__ import annotations

from .access import instruction, loaded_uop, short_place, state, uop_at
from .compiled import compiled
from .state import NO_BANK, PLACES, UNKNOWN_BANK

_OUTER, _INNER, _UOP = 1, 2, 4
"""Bits of `isa.OverwriteMask`, an encoding that the instruction set fixes."""


@compiled
def remember(m, time, number):
    """An instruction with steps is accepted."""
    p, steps = state(m).parameters, state(m).steps
    if steps.presents_tail - steps.presents_head == PLACES:
        steps.presents_head += 1
    present = state(m).presents[short_place(steps.presents_tail)]
    present.insn = number
    present.first_at = time + p.step_latency
    present.beats = instruction(m, number).beats
    present.mask = state(m).storing.overwrite
    present.bank = UNKNOWN_BANK
    steps.presents_tail += 1


@compiled
def bank_read(m, time):
    """The bank, 0 or 1, or -1 where no step reads its accumulator."""
    p, steps = state(m).parameters, state(m).steps
    time -= p.read_stage
    while steps.presents_head != steps.presents_tail:
        present = state(m).presents[short_place(steps.presents_head)]
        if time < present.first_at:
            return NO_BANK
        if time < present.first_at + present.beats:
            return _bank(m, present, time - present.first_at)
        steps.presents_head += 1
    return NO_BANK


@compiled
def bank_read_until(m, time):
    """While a step reads its accumulator, the next cycle in which none may, or one of the other bank."""
    p, steps = state(m).parameters, state(m).steps
    present = state(m).presents[short_place(steps.presents_head)]
    return time + 1 if present.bank == NO_BANK else present.first_at + present.beats + p.read_stage


@compiled
def _bank_of_all(m, present):
    """The bank that all beats of an instruction read."""
    insn = instruction(m, present.insn)
    if insn.reads_acc == 0 or insn.overwrites or insn.paired:
        return NO_BANK
    first = last = uop_at(m, insn.uop_bgn).dst
    for place in range(insn.uop_bgn + 1, insn.uop_bgn + insn.body):
        dst = uop_at(m, place).dst
        first, last = min(first, dst), max(last, dst)
    half = state(m).parameters.acc_half
    if first >= half:
        return 1
    return 0 if last + insn.dst_reach < half else NO_BANK


@compiled
def _bank(m, present, beat):
    if present.bank == UNKNOWN_BANK:
        present.bank = _bank_of_all(m, present)
    if present.bank != NO_BANK:
        return present.bank
    insn = instruction(m, present.insn)
    if insn.reads_acc == 0:
        return NO_BANK
    step = beat // 2 if insn.paired else beat
    uop = step % insn.body
    outer = step // insn.body
    inner = outer % insn.iter_in
    outer //= insn.iter_in
    if insn.overwrites:
        mask = present.mask
        at_first = (outer == 0 or not mask & _OUTER) and (inner == 0 or not mask & _INNER)
        if at_first and (uop == 0 or not mask & _UOP):
            return NO_BANK
    place = insn.uop_bgn + uop
    if insn.paired and beat % 2 == 0:
        index = uop_at(m, place).src + outer * insn.src_out + inner * insn.src_in
    else:
        index = uop_at(m, place).dst + outer * insn.dst_out + inner * insn.dst_in
    return 1 if index >= state(m).parameters.acc_half else 0


@compiled
def load_uops(m, insn):
    """Put the micro-ops that a LOAD brings into their buffer."""
    for k in range(insn.tiles):
        uop, loaded = uop_at(m, insn.sram + k), loaded_uop(m, insn.uops_at + k)
        uop.dst, uop.src, uop.wgt = loaded.dst, loaded.src, loaded.wgt


@compiled
def loop_fits(m, insn):
    """Whether every index of a loop nest lies in its scratchpad, and its micro-ops in their buffer."""
    if insn.beats == 0:
        return True
    p = state(m).parameters
    if insn.uop_end > p.uop_depth:
        return False
    dst = src = wgt = 0
    for place in range(insn.uop_bgn, insn.uop_end):
        uop = uop_at(m, place)
        dst, src, wgt = max(dst, uop.dst), max(src, uop.src), max(wgt, uop.wgt)
    return (
        dst + insn.dst_reach < p.acc_depth
        and (insn.src_depth == 0 or src + insn.src_reach < insn.src_depth)
        and (insn.wgt_depth == 0 or wgt + insn.wgt_reach < insn.wgt_depth)
    )
