"""Activity counters against a count, spans cut by wraps included."""

from __future__ import annotations

from collections import Counter

import pytest
from support.bench import seeded, simulate
from weft_hardware.registers import Activity
from weft_hardware.rtl import counters
from weft_hardware.rtl.counters import ActivityCounters


@pytest.mark.parametrize("changes", [0.02, 0.2, 0.9])
def test_every_cycle_counts_once(changes, monkeypatch):
    monkeypatch.setattr(counters, "SPAN_BITS", 4)
    dut, rng = ActivityCounters(), seeded(int(100 * changes))

    async def testbench(ctx):
        for length in (1, 15, 16, 17, 31, 32, 33, 300):
            ctx.set(dut.clear, 1)
            await ctx.tick()
            ctx.set(dut.clear, 0)
            expected, activity = Counter(), rng.choice(list(Activity))
            ctx.set(dut.counted, 1)
            for now in range(length):
                if rng.random() < changes:
                    activity = rng.choice(list(Activity))
                ctx.set(dut.activity, activity)
                ctx.set(dut.now, now % 16)
                expected[activity] += 1
                await ctx.tick()
            ctx.set(dut.counted, 0)
            ctx.set(dut.now, length % 16)
            await ctx.tick().repeat(3)
            for of in Activity:
                ctx.set(dut.read, 1)
                ctx.set(dut.read_activity, of)
                await ctx.tick()
                assert (ctx.get(dut.value) if ctx.get(dut.valid) else 0) == expected[of], (length, of)
            ctx.set(dut.read, 0)

    simulate(dut, testbench)
