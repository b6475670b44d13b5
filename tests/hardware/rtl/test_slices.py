"""The register slice: order, full rate, and outputs that do not follow inputs within a cycle."""

from __future__ import annotations

import pytest
from support.bench import seeded, simulate
from weft_hardware.rtl.slices import RegisterSlice


@pytest.mark.parametrize("offer", [1.0, 0.5])
@pytest.mark.parametrize("take", [1.0, 0.5])
def test_everything_passes_in_order(offer, take):
    dut, rng = RegisterSlice(8), seeded(41)

    async def testbench(ctx):
        sent = received = cycles = 0
        offered = False
        while received < 100:
            offered = offered or rng.random() < offer
            ctx.set(dut.sink.valid, offered)
            ctx.set(dut.sink.payload, sent)
            before = ctx.get(dut.sink.ready), ctx.get(dut.source.valid), ctx.get(dut.source.payload)
            ctx.set(dut.source.ready, rng.random() < take)
            assert before == (ctx.get(dut.sink.ready), ctx.get(dut.source.valid), ctx.get(dut.source.payload))
            if ctx.get(dut.source.valid) and ctx.get(dut.source.ready):
                assert ctx.get(dut.source.payload) == received
                received += 1
            if offered and ctx.get(dut.sink.ready):
                sent, offered = sent + 1, False
            await ctx.tick()
            cycles += 1
        if offer == take == 1.0:
            assert cycles == 101, "one cycle of latency, one payload a cycle"

    simulate(dut, testbench)
