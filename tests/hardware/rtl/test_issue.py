"""The life of an instruction: every combination of flags, tokens that come late, pushes that wait."""

from __future__ import annotations

import itertools

import pytest
from support.bench import TINY, seeded, simulate
from weft_hardware.encoding import encode
from weft_hardware.isa import Gemm
from weft_hardware.registers import ModuleState
from weft_hardware.rtl.issue import Issue

FLAGS = ("pop_prev", "pop_next", "push_prev", "push_next")


def word_of(instruction):
    return int.from_bytes(encode([instruction], TINY).tobytes(), "little")


@pytest.mark.parametrize(("has_prev", "has_next"), [(False, True), (True, True), (True, False)])
def test_all_flags(has_prev, has_next):
    """Tokens popped before the start, pushed after completion, each exactly once; absent neighbours ignored."""
    rng, dut = seeded(31), Issue(TINY, has_prev=has_prev, has_next=has_next)

    async def testbench(ctx):
        for retired, flags in enumerate(itertools.product((False, True), repeat=4)):
            instruction = Gemm(**dict(zip(FLAGS, flags, strict=True)))
            ctx.set(dut.instruction.payload, word_of(instruction))
            ctx.set(dut.instruction.valid, 1)
            log: list[str] = []
            running = 0
            for _ in range(400):
                ports = {
                    "pop_prev": dut.prev.pop,
                    "pop_next": dut.next.pop,
                    "push_prev": dut.prev.push,
                    "push_next": dut.next.push,
                }
                for name, port in ports.items():
                    ctx.set(port.valid if name.startswith("pop") else port.ready, rng.random() < 0.3)
                ctx.set(dut.execute.ready, rng.random() < 0.5)
                running = running + 1 if running else 0
                ctx.set(dut.completed, running == 4)
                for name, port in ports.items():
                    if ctx.get(port.valid) and ctx.get(port.ready):
                        log.append(name)
                if ctx.get(dut.execute.valid) and ctx.get(dut.execute.ready):
                    assert ctx.get(dut.execute.payload) == word_of(instruction)
                    log.append("execute")
                    running = 1
                ends = ctx.get(dut.instruction.ready)
                await ctx.tick()
                if ends:
                    break
            present = {"prev": has_prev, "next": has_next}
            wanted = [name for name, flag in zip(FLAGS, flags, strict=True) if flag and present[name[-4:]]]
            expected = [n for n in wanted if n.startswith("pop")] + ["execute"]
            assert log == expected + [n for n in wanted if n.startswith("push")]
            assert ctx.get(dut.status.retired) == retired + 1

    simulate(dut, testbench)


def test_states():
    """What the host reads while each of the four waits lasts."""
    dut = Issue(TINY, has_prev=True, has_next=True)

    async def testbench(ctx):
        assert ctx.get(dut.status.state) == ModuleState.IDLE
        ctx.set(dut.instruction.payload, word_of(Gemm(pop_prev=True, pop_next=True, push_prev=True, push_next=True)))
        ctx.set(dut.instruction.valid, 1)
        ctx.set(dut.next.pop.valid, 1)
        await ctx.tick().repeat(3)
        assert ctx.get(dut.status.state) == ModuleState.WAIT_POP_PREV
        assert not ctx.get(dut.next.pop.ready), "next is popped before prev"
        ctx.set(dut.next.pop.valid, 0)
        ctx.set(dut.prev.pop.valid, 1)
        await ctx.tick()
        ctx.set(dut.prev.pop.valid, 0)
        assert ctx.get(dut.status.state) == ModuleState.WAIT_POP_NEXT
        ctx.set(dut.next.pop.valid, 1)
        await ctx.tick()
        assert ctx.get(dut.status.state) == ModuleState.BUSY
        ctx.set(dut.execute.ready, 1)
        await ctx.tick()
        ctx.set(dut.completed, 1)
        await ctx.tick()
        assert ctx.get(dut.status.state) == ModuleState.WAIT_PUSH_PREV
        ctx.set(dut.prev.push.ready, 1)
        assert ctx.get(dut.status.state) == ModuleState.WAIT_PUSH_NEXT
        await ctx.tick()
        assert not ctx.get(dut.prev.push.valid), "prev's token is pushed twice"
        ctx.set(dut.next.push.ready, 1)
        assert ctx.get(dut.instruction.ready)

    simulate(dut, testbench)
