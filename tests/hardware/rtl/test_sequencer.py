"""The sequencer against three nested Python loops."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from support.bench import TINY, seeded, simulate
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import pack_uops
from weft_hardware.registers import Cause
from weft_hardware.rtl.layouts import uop_layout
from weft_hardware.rtl.scratchpad import Scratchpad
from weft_hardware.rtl.sequencer import STEP_LATENCY, Sequencer

Step = tuple[int, int, int, int]


@dataclass(frozen=True)
class Loops:
    uop_bgn: int = 0
    uop_end: int = 1
    iter_out: int = 1
    iter_in: int = 1
    dst_out: int = 0
    dst_in: int = 0
    src_out: int = 0
    src_in: int = 0
    wgt_out: int = 0
    wgt_in: int = 0
    gemm: int = 1
    use_src: int = 1


@dataclass(frozen=True)
class OverwritingLoops(Loops):
    overwrite: int = 1
    mask: int = 0


def expect(loops: Loops, uops: list[tuple[int, int, int]], config: AcceleratorConfig) -> tuple[list[Step], int | None]:
    """The steps, and the index that faults."""
    if loops.uop_bgn >= loops.uop_end or not loops.iter_out or not loops.iter_in:
        return [], None
    if loops.uop_end > config.uop_depth:
        return [], max(loops.uop_bgn, config.uop_depth)
    steps: list[Step] = []
    src_depth = config.inp_depth if loops.gemm else config.acc_depth
    for out in range(loops.iter_out):
        for inner in range(loops.iter_in):
            for dst, src, wgt in uops[loops.uop_bgn : loops.uop_end]:
                dst += out * loops.dst_out + inner * loops.dst_in
                src += out * loops.src_out + inner * loops.src_in
                wgt += out * loops.wgt_out + inner * loops.wgt_in
                if dst >= config.acc_depth:
                    return steps, dst
                if loops.use_src and src >= src_depth:
                    return steps, src
                if loops.use_src and loops.gemm and wgt >= config.wgt_depth:
                    return steps, wgt
                beats = (1, 0) if loops.use_src and not loops.gemm else (0,)
                steps += [(dst, src, wgt, first) for first in beats]
    return steps, None


def payload(loops: Loops) -> dict:
    fields = {name: value for name, value in vars(loops).items() if name not in ("gemm", "use_src")}
    operation = {"gemm": loops.gemm, "reset": int(not loops.use_src), "use_imm": int(not loops.use_src)}
    return fields | {"operation": operation | {"alu_op": 0, "immediate": 0}}


@dataclass
class Run:
    """What a sequencer does with instructions that are offered as soon as it takes them, or after a pause."""

    accepted: list[int] = field(default_factory=list)
    """The cycle in which each instruction was accepted."""
    steps: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    fault: int | None = None


def run(
    config: AcceleratorConfig,
    uops: list[tuple[int, int, int]],
    instructions: list[Loops],
    pause: int = 0,
    members: tuple[str, ...] = ("dst", "src", "wgt", "first"),
) -> Run:
    m = Module()
    m.submodules.sequencer = sequencer = Sequencer(config)
    m.submodules.memory = memory = Scratchpad(config.uop_depth, config.uop_index_bits, uop_layout(config).size)
    wiring.connect(m, sequencer.uop, memory.read)
    result = Run()

    async def testbench(ctx):
        for index, word in enumerate(pack_uops(config, *zip(*uops, strict=True))):
            ctx.set(memory.write.enable, 1)
            ctx.set(memory.write.index, index)
            ctx.set(memory.write.tile, int(word))
            await ctx.tick()
        ctx.set(memory.write.enable, 0)
        cycle = pausing = quiet = 0
        while quiet < 12:
            offered = len(result.accepted) < len(instructions) and not pausing
            ctx.set(sequencer.start.valid, offered)
            if offered:
                ctx.set(sequencer.start.payload, payload(instructions[len(result.accepted)]))
            quiet += 1
            pausing = max(0, pausing - 1)
            if offered and ctx.get(sequencer.start.ready):
                result.accepted.append(cycle)
                pausing, quiet = pause, 0
            if ctx.get(sequencer.valid):
                access = sequencer.access
                gemm = ctx.get(sequencer.operation.gemm)
                result.steps.append((cycle, (gemm, *(ctx.get(access[n]) for n in members))))
            if ctx.get(sequencer.done):
                result.done.append(cycle)
            assert ctx.get(sequencer.busy) or not ctx.get(sequencer.valid | sequencer.done)
            if ctx.get(sequencer.valid | sequencer.done):
                quiet = 0
            await ctx.tick()
            cycle += 1
        if ctx.get(sequencer.fault.raised):
            assert ctx.get(sequencer.fault.cause) == Cause.SCRATCHPAD_RANGE
            result.fault = ctx.get(sequencer.fault.value)
        else:
            assert not ctx.get(sequencer.busy)

    simulate(m, testbench)
    return result


def check(
    config: AcceleratorConfig, uops: list[tuple[int, int, int]], instructions: list[Loops], pause: int = 0
) -> None:
    """Steps and their cycles: no gap inside an instruction, nor between two that follow each other at once."""
    result = run(config, uops, instructions, pause)
    steps, done, begin, faults = [], [], None, None
    for accepted, loops in zip(result.accepted, instructions, strict=False):
        expected, faults = expect(loops, uops, config)
        assert begin is None or pause or accepted == begin, loops
        first = accepted + STEP_LATENCY
        steps += [(first + k, (loops.gemm, *step)) for k, step in enumerate(expected)]
        begin = accepted + max(1, len(expected))
        if faults is not None:
            break
        done.append(first + max(1, len(expected)) - 1)
    assert result.steps == steps
    assert result.done == done
    if len(result.accepted) < len(instructions) and faults is None:
        _, faults = expect(instructions[len(result.accepted)], uops, config)
    assert result.fault == faults


def small_uops(rng: random.Random, config: AcceleratorConfig) -> list[tuple[int, int, int]]:
    return [(rng.randrange(4), rng.randrange(4), rng.randrange(3)) for _ in range(config.uop_depth)]


@pytest.mark.parametrize("pause", [0, 3])
@pytest.mark.parametrize("seed", range(4))
def test_steps_and_their_cycles_are_those_of_three_loops(seed, pause):
    rng = seeded(seed)
    instructions = []
    for _ in range(30):
        bgn = rng.randrange(TINY.uop_depth)
        instructions.append(
            Loops(
                uop_bgn=bgn,
                uop_end=min(TINY.uop_depth, bgn + rng.choice([0, 1, 1, 2, 5])),
                iter_out=rng.choice([0, 1, 2, 3]),
                iter_in=rng.choice([0, 1, 2, 3]),
                **{name: rng.randrange(2) for name in ("dst_out", "dst_in", "src_out", "src_in", "wgt_out", "wgt_in")},
                gemm=rng.randrange(2),
                use_src=rng.randrange(2),
            )
        )
    check(TINY, small_uops(rng, TINY), instructions, pause)


@pytest.mark.parametrize("seed", range(12))
def test_the_first_used_index_outside_faults(seed):
    rng = seeded(seed)
    steps = {name: rng.choice([0, 1, 5]) for name in ("dst_out", "dst_in", "src_out", "src_in", "wgt_out", "wgt_in")}
    loops = Loops(uop_end=4, iter_out=5, iter_in=4, **steps, gemm=rng.randrange(2), use_src=rng.randrange(2))
    check(TINY, small_uops(rng, TINY), [loops, replace(loops, iter_out=9)])


@pytest.mark.parametrize("loops", [Loops(), Loops(iter_in=2, dst_in=1), Loops(use_src=0), Loops(gemm=0)])
def test_a_micro_op_index_beyond_the_depth_faults(loops):
    assert run(TINY, [(2047, 2047, 1023)], [loops]).fault == 2047


def test_sums_do_not_wrap():
    deep = replace(TINY, acc_depth=1 << 16)
    top = (1 << 16) - 1
    result = run(deep, [(0, 0, 0)], [Loops(iter_out=3, iter_in=2, dst_out=top, dst_in=top, use_src=0)])
    assert [dst for _, (_, dst, *_) in result.steps] == [0, top, top]
    assert (result.done, result.fault) == ([], 2 * top)
    assert run(deep, [(70, 0, 0)], [Loops(iter_out=2, dst_out=top, use_src=0)]).fault == 70 + top


def test_what_is_not_used_may_grow_without_end():
    top = (1 << TINY.src_index_bits) - 1
    unused = Loops(iter_out=3, iter_in=40, src_in=top, src_out=top, wgt_in=1, wgt_out=1, dst_out=1, use_src=0)
    result = run(TINY, [(2, 0, 0)], [unused, Loops(iter_in=3, src_in=1)])
    assert result.fault is None
    assert [dst for _, (_, dst, *_) in result.steps[:-3]] == [2 + out for out in range(3) for _ in range(40)]
    assert [src for _, (_, _, src, *_) in result.steps[-3:]] == [0, 1, 2]


def test_a_range_beyond_the_micro_op_buffer_faults_before_any_step_of_it():
    before = Loops(iter_in=3)
    for bgn, value in [(0, 21), (20, 21), (30, 30)]:
        result = run(TINY, [(0, 0, 0)], [before, Loops(uop_bgn=bgn, uop_end=40), before])
        assert (len(result.accepted), len(result.steps), len(result.done), result.fault) == (1, 3, 1, value)
    for nothing in (Loops(uop_end=40, iter_in=0), Loops(uop_end=40, iter_out=0), Loops(uop_bgn=40, uop_end=40)):
        assert run(TINY, [(0, 0, 0)], [nothing]) == Run([0], [], [STEP_LATENCY])


def test_the_fault_of_a_last_step_comes_before_that_of_the_next_range():
    outside = Loops(iter_in=2, dst_in=TINY.acc_depth)
    result = run(TINY, [(0, 0, 0)], [outside, Loops(uop_end=40)])
    assert (result.accepted, result.fault) == ([0], TINY.acc_depth)


def test_micro_ops_of_64_bits():
    config = replace(TINY, acc_depth=4096, inp_depth=4096, wgt_depth=2048)
    assert uop_layout(config).size == 64
    check(
        config, [(4095, 4095, 2047), (1, 2, 3)], [Loops(uop_end=2), Loops(uop_bgn=1, uop_end=2, iter_in=3, dst_in=2000)]
    )


@pytest.mark.parametrize("mask", range(8))
def test_which_steps_overwrite(mask):
    """Those whose indices named by the mask are all at their first value; also when an instruction follows another."""
    config = replace(TINY, gemm_overwrite=True)
    loops = OverwritingLoops(uop_bgn=3, uop_end=6, iter_out=2, iter_in=3, mask=mask)
    small = OverwritingLoops(uop_bgn=1, uop_end=2, iter_out=3, mask=mask)
    plain = replace(small, overwrite=0)
    instructions = [loops, small, plain, loops]
    result = run(config, [(0, 0, 0)] * config.uop_depth, instructions, 0, ("overwrite",))
    expected = [
        bool(insn.overwrite and not ((mask & 1 and out) or (mask & 2 and inner) or (mask & 4 and uop)))
        for insn in instructions
        for out in range(insn.iter_out)
        for inner in range(insn.iter_in)
        for uop in range(insn.uop_end - insn.uop_bgn)
    ]
    assert [bool(overwrites) for _, (_, overwrites) in result.steps] == expected
