"""The banked accumulators: what a store may read, when, and what it then sees."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.bench import TINY, pack, seeded, simulate, unpack
from weft_hardware.rtl.accumulators import Accumulators
from weft_hardware.rtl.signatures import ACC_READ_LATENCY


@pytest.mark.parametrize(("depth", "raw_store"), [(4, True), (13, True), (16, True), (16, False)])
def test_reads_against_a_list(depth, raw_store):
    config = replace(TINY, acc_depth=depth, raw_store=raw_store)
    dut = Accumulators(config)
    rng = seeded(depth)
    half = (depth + 1) // 2

    async def testbench(ctx):
        model = [0] * depth
        compute_due, store_due = None, [None] * ACC_READ_LATENCY
        refused = 0
        for _ in range(600):
            write, compute, store = (rng.random() < 0.6 for _ in range(3))
            w, c, s = (rng.randrange(depth) for _ in range(3))
            value = rng.getrandbits(config.acc_tile_bits)
            ctx.set(dut.write.enable, write)
            ctx.set(dut.write.index, w)
            ctx.set(dut.write.tile, value)
            ctx.set(dut.compute.enable, compute)
            ctx.set(dut.compute.index, c)
            ctx.set(dut.compute.upper, c >= half)
            ctx.set(dut.store.request.valid, store)
            ctx.set(dut.store.request.payload, s)
            accepted = store and ctx.get(dut.store.request.ready)
            if store:
                assert accepted == (not compute or (c >= half) != (s >= half))
                refused += not accepted
            if compute_due is not None:
                bank, expected = compute_due
                assert ctx.get(dut.compute.tiles[bank]) == expected
            if store_due[0] is not None:
                assert ctx.get(dut.store.tile) == store_due[0]
            compute_due = (c >= half, model[c]) if compute else None
            stored = model[s]
            if not raw_store:
                elements = unpack(stored, config.batch * config.block_out, config.acc_bits)
                stored = pack([element & (1 << config.out_bits) - 1 for element in elements], config.out_bits)
            store_due = [*store_due[1:], stored if accepted else None]
            if write:
                model[w] = value
            await ctx.tick()
        assert refused > 20

    simulate(dut, testbench)
