"""Token queues: count, fullness, clearing."""

import pytest
from support.bench import seeded, simulate
from weft_hardware.rtl.signatures import MOST_ROOM
from weft_hardware.rtl.tokens import TokenQueue


@pytest.mark.parametrize("depth", [1, 2, 5, 9])
def test_counts_like_a_queue(depth):
    rng, dut = seeded(depth), TokenQueue(depth)

    async def testbench(ctx):
        level = 0
        for _ in range(300):
            push, pop = rng.randrange(2), rng.randrange(2)
            ctx.set(dut.push.valid, push)
            ctx.set(dut.pop.ready, pop)
            assert ctx.get(dut.level) == level
            assert ctx.get(dut.push.ready) == (level < depth)
            assert ctx.get(dut.pop.valid) == (level > 0)
            assert ctx.get(dut.room) == min(depth - level, MOST_ROOM)
            level += (push and level < depth) - (pop and level > 0)
            await ctx.tick()

    simulate(dut, testbench)


def test_clear():
    dut = TokenQueue(3)

    async def testbench(ctx):
        ctx.set(dut.push.valid, 1)
        await ctx.tick().repeat(2)
        ctx.set(dut.push.valid, 0)
        ctx.set(dut.clear, 1)
        await ctx.tick()
        assert ctx.get(dut.level) == 0
        assert ctx.get(dut.room) == 3

    simulate(dut, testbench)
