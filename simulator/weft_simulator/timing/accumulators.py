"""Which bank of the accumulators the compute pipeline reads in a cycle: what a STORE's read must not."""

from __future__ import annotations

from .compiled import compiled

_NONE = -1
_PRESENTS = 16
_OUTER, _INNER, _UOP = 1, 2, 4
"""Bits of `isa.OverwriteMask`, an encoding that the instruction set fixes."""


@compiled
def remember(m, time, number):
    """An instruction with steps is accepted."""
    p, steps = m.parameters[0], m.steps[0]
    if steps.presents_tail - steps.presents_head == _PRESENTS:
        steps.presents_head += 1
    present = m.presents[steps.presents_tail % _PRESENTS]
    present.insn = number
    present.first_at = time + p.step_latency
    present.beats = m.program[number].beats
    present.mask = m.storing[0].overwrite
    steps.presents_tail += 1


@compiled
def bank_read(m, time):
    """The bank, 0 or 1, or -1 where no step reads its accumulator."""
    p, steps = m.parameters[0], m.steps[0]
    time -= p.read_stage
    while steps.presents_head != steps.presents_tail:
        present = m.presents[steps.presents_head % _PRESENTS]
        if time < present.first_at:
            return _NONE
        if time < present.first_at + present.beats:
            return _bank(m, present, time - present.first_at)
        steps.presents_head += 1
    return _NONE


@compiled
def _bank(m, present, beat):
    insn = m.program[present.insn]
    if insn.reads_acc == 0:
        return _NONE
    step = beat // 2 if insn.paired else beat
    uop = step % insn.body
    outer = step // insn.body
    inner = outer % insn.iter_in
    outer //= insn.iter_in
    if insn.overwrites:
        mask = present.mask
        at_first = (outer == 0 or not mask & _OUTER) and (inner == 0 or not mask & _INNER)
        if at_first and (uop == 0 or not mask & _UOP):
            return _NONE
    place = insn.uop_bgn + uop
    if insn.paired and beat % 2 == 0:
        index = m.uop_src[place] + outer * insn.src_out + inner * insn.src_in
    else:
        index = m.uop_dst[place] + outer * insn.dst_out + inner * insn.dst_in
    return 1 if index >= m.parameters[0].acc_half else 0


@compiled
def load_uops(m, insn):
    """Keep the destinations and sources of the micro-ops that a LOAD brings; padding is zero."""
    p = m.parameters[0]
    place = insn.sram
    for row in range(insn.rows_before + insn.data_rows + insn.rows_after):
        inside = insn.rows_before <= row < insn.rows_before + insn.data_rows
        for x in range(insn.width):
            word = 0
            if inside and insn.pads_before <= x < insn.pads_before + insn.row_tiles:
                tile = (row - insn.rows_before) * insn.step_bytes + (x - insn.pads_before) * p.uop_bytes
                address = insn.address + tile - p.dram_base
                for k in range(p.uop_bytes - 1, -1, -1):
                    word = word << 8 | m.dram[address + k]
            m.uop_dst[place] = word & ((1 << p.dst_bits) - 1)
            m.uop_src[place] = word >> p.dst_bits & ((1 << p.src_bits) - 1)
            place += 1
