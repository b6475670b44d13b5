"""A command queue: order, places that only retirement frees, the way past an empty memory."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import pytest
from support.bench import TINY, seeded, simulate
from weft_hardware.rtl.commands import CommandQueue


@pytest.mark.parametrize(("depth", "busy"), [(2, 0.9), (3, 0.5), (16, 0.1), (16, 0.8)])
def test_order_and_places(depth, busy):
    rng, dut = seeded(depth), CommandQueue(replace(TINY, command_queue_depth=depth))

    async def testbench(ctx):
        inside: deque[int] = deque()
        running, seen = 0, 0
        for cycle in range(600):
            word = rng.getrandbits(128)
            ctx.set(dut.dispatch.payload, word)
            ctx.set(dut.dispatch.valid, rng.random() < 0.7)
            ctx.set(dut.instruction.ready, rng.random() > busy)
            retire = running > 0 and rng.random() < 0.3
            ctx.set(dut.retire, retire)
            assert ctx.get(dut.dispatch.ready) == (len(inside) + running < depth), cycle
            if ctx.get(dut.instruction.valid):
                assert ctx.get(dut.instruction.payload) == inside[0], cycle
            taken = ctx.get(dut.instruction.valid) and ctx.get(dut.instruction.ready)
            if ctx.get(dut.dispatch.valid) and ctx.get(dut.dispatch.ready):
                inside.append(word)
            if taken:
                inside.popleft()
                seen += 1
            running += taken - retire
            await ctx.tick()
        assert seen > 40

    simulate(dut, testbench)


def test_an_empty_queue_offers_in_the_next_cycle_and_goes_on_without_a_gap():
    dut = CommandQueue(TINY)

    async def testbench(ctx):
        ctx.set(dut.dispatch.valid, 1)
        ctx.set(dut.dispatch.payload, 1)
        for word in range(2, 8):
            await ctx.tick()
            ctx.set(dut.dispatch.payload, word)
        for word in range(1, 7):
            assert ctx.get(dut.instruction.valid)
            assert ctx.get(dut.instruction.payload) == word
            ctx.set(dut.instruction.ready, 1)
            await ctx.tick()

    simulate(dut, testbench)


def test_one_at_a_time_passes_in_one_cycle():
    dut = CommandQueue(TINY)

    async def testbench(ctx):
        ctx.set(dut.instruction.ready, 1)
        for word in range(1, 6):
            ctx.set(dut.dispatch.valid, 1)
            ctx.set(dut.dispatch.payload, word)
            await ctx.tick()
            assert ctx.get(dut.instruction.valid)
            assert ctx.get(dut.instruction.payload) == word
            ctx.set(dut.dispatch.valid, 0)
            await ctx.tick()
            assert not ctx.get(dut.instruction.valid)

    simulate(dut, testbench)


def test_nothing_is_offered_after_a_stop():
    dut = CommandQueue(TINY)

    async def testbench(ctx):
        ctx.set(dut.dispatch.valid, 1)
        await ctx.tick().repeat(3)
        ctx.set(dut.stop, 1)
        ctx.set(dut.instruction.ready, 1)
        for _ in range(4):
            assert not ctx.get(dut.instruction.valid)
            await ctx.tick()

    simulate(dut, testbench)
