"""The life of an instruction: every combination of flags, tokens that come late, pushes that wait, several at once."""

from __future__ import annotations

import itertools
from collections import deque

import pytest
from support.bench import TINY, seeded, simulate
from weft_hardware.encoding import encode
from weft_hardware.isa import Gemm
from weft_hardware.registers import ModuleState
from weft_hardware.rtl.issue import IN_FLIGHT, Issue
from weft_hardware.rtl.signatures import MOST_ROOM

FLAGS = ("pop_prev", "pop_next", "push_prev", "push_next")
SIDES = ("prev", "next")


def word_of(instruction):
    return int.from_bytes(encode([instruction], TINY).tobytes(), "little")


def test_room_tells_of_as_many_tokens_as_instructions_may_push():
    assert MOST_ROOM >= IN_FLIGHT


@pytest.mark.parametrize("room", [0, 1, MOST_ROOM])
@pytest.mark.parametrize(("has_prev", "has_next"), [(False, True), (True, True), (True, False)])
def test_random_instructions(has_prev, has_next, room):
    """Pops before, pushes after, each once, in the order of one instruction after another as neighbours see it.

    ``room`` is what the neighbours' queues promise; pushes may wait only where nothing was promised.
    """
    rng, dut = seeded(room), Issue(TINY, has_prev=has_prev, has_next=has_next)
    present = {"prev": has_prev, "next": has_next}
    combinations = list(itertools.product((False, True), repeat=4))
    instructions = [Gemm(**dict(zip(FLAGS, rng.choice(combinations), strict=True)), dst_out=k) for k in range(60)]
    log: list[tuple[str, int]] = []

    def wanted(index, kind):
        return [side for side in SIDES if present[side] and getattr(instructions[index], f"{kind}_{side}")]

    async def testbench(ctx):
        begun, pushing = 0, 0
        running: deque[int] = deque()  # cycles left of each
        for _ in range(6000):
            if begun < len(instructions):
                ctx.set(dut.instruction.payload, word_of(instructions[begun]))
            ctx.set(dut.instruction.valid, begun < len(instructions) and rng.random() < 0.8)
            for side in SIDES:
                port = getattr(dut, side)
                owed = sum(side in wanted(k, "push") for k in range(pushing, begun))
                owed -= (f"push_{side}", pushing) in log
                ctx.set(port.pop.valid, rng.random() < 0.4)
                ctx.set(port.room, room)
                ctx.set(port.push.ready, owed <= room or rng.random() < 0.3)
            ctx.set(dut.execute.ready, rng.random() < 0.6)
            ctx.set(dut.completed, bool(running) and running[0] <= 0)
            if running and running[0] <= 0:
                running.popleft()
            running = deque(left - 1 for left in running)
            for kind, side in itertools.product(("pop", "push"), SIDES):
                port = getattr(getattr(dut, side), kind)
                if ctx.get(port.valid) and ctx.get(port.ready):
                    log.append((f"{kind}_{side}", begun if kind == "pop" else pushing))
            begins = ctx.get(dut.execute.valid) and ctx.get(dut.execute.ready)
            assert begins == ctx.get(dut.instruction.ready)
            if begins:
                assert ctx.get(dut.execute.payload) == word_of(instructions[begun])
                log.append(("execute", begun))
                running.append(rng.choice((0, 1, 3, 8)))
            retires = ctx.get(dut.retire)
            if retires:
                log.append(("retire", pushing))
            await ctx.tick()
            begun, pushing = begun + begins, pushing + retires
            assert ctx.get(dut.running) == (pushing < begun)
            assert begun - pushing <= IN_FLIGHT
            assert ctx.get(dut.status.retired) == pushing
            if pushing == len(instructions):
                break
        for k in range(len(instructions)):
            events = [event for event, index in log if index == k]
            pops, pushes = ([f"{kind}_{side}" for side in wanted(k, kind)] for kind in ("pop", "push"))
            assert events == [*pops, "execute", *pushes, "retire"]
        # Nobody pops while an instruction before may have to wait with its push.
        begun_at = {k: log.index(("execute", k)) for k in range(len(instructions))}
        for at, (event, index) in enumerate(log):
            if not event.startswith("pop") and event != "execute":
                continue
            for side in SIDES:
                open_pushes = sum(
                    side in wanted(k, "push") and begun_at[k] < at and (f"push_{side}", k) not in log[:at]
                    for k in range(index)
                )
                assert open_pushes <= room, (event, index)

    simulate(dut, testbench)


def test_one_without_tokens_is_offered_at_once_and_the_next_while_it_runs():
    dut = Issue(TINY, has_prev=True, has_next=True)

    async def testbench(ctx):
        ctx.set(dut.instruction.payload, word_of(Gemm()))
        ctx.set(dut.instruction.valid, 1)
        ctx.set(dut.execute.ready, 1)
        for _ in range(IN_FLIGHT):
            assert ctx.get(dut.execute.valid)
            assert ctx.get(dut.instruction.ready)
            await ctx.tick()
        assert not ctx.get(dut.execute.valid)
        ctx.set(dut.completed, 1)
        assert ctx.get(dut.retire)

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
        assert ctx.get(dut.prev.pop.ready), "prev's token is taken before next's is there"
        await ctx.tick()
        assert not ctx.get(dut.prev.pop.ready), "prev's token is taken twice"
        assert ctx.get(dut.status.state) == ModuleState.WAIT_POP_NEXT
        ctx.set(dut.next.pop.valid, 1)
        assert ctx.get(dut.status.state) == ModuleState.BUSY
        ctx.set(dut.execute.ready, 1)
        await ctx.tick()
        assert ctx.get(dut.status.state) == ModuleState.BUSY
        assert not ctx.get(dut.execute.valid | dut.prev.pop.ready), "begun though a push may have to wait"
        ctx.set(dut.completed, 1)
        assert ctx.get(dut.status.state) == ModuleState.WAIT_PUSH_PREV
        assert not ctx.get(dut.next.push.valid), "next's token is pushed before prev's"
        await ctx.tick()
        ctx.set(dut.completed, 0)
        assert ctx.get(dut.status.state) == ModuleState.WAIT_PUSH_PREV
        ctx.set(dut.prev.push.ready, 1)
        assert ctx.get(dut.status.state) == ModuleState.WAIT_PUSH_NEXT
        await ctx.tick()
        assert not ctx.get(dut.prev.push.valid), "prev's token is pushed twice"
        ctx.set(dut.next.push.ready, 1)
        assert ctx.get(dut.retire)

    simulate(dut, testbench)
