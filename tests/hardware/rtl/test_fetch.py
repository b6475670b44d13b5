"""Fetch: routing, order, any start, beats narrower and wider than an instruction, a full queue, bus errors."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from support.bench import TINY, seeded, simulate
from support.range_memory import RangeReader
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Memory, Opcode, instruction_bytes
from weft_hardware.latencies import FETCH_BUFFER_BYTES
from weft_hardware.registers import Cause
from weft_hardware.rtl.fetch import Fetch

DRAM_BYTES = 1 << 13
HELD = FETCH_BUFFER_BYTES // instruction_bytes(TINY)
"""Instructions that the buffer holds."""
CONFIGS = {
    "two beats": TINY,
    "one beat": replace(TINY, axi_data_bits=128),
    "four a beat": replace(TINY, axi_data_bits=512),
    "256-bit instructions, two a beat": replace(TINY, inp_depth=65536, acc_depth=65536, axi_data_bits=512),
    "256-bit instructions, four beats": replace(TINY, inp_depth=65536, acc_depth=65536),
}


def queue_of(word: int) -> str:
    opcode, memory, register = word & 7, word >> 7 & 7, word >> 7 & 63
    if opcode == Opcode.SET:
        return {0: "load", 2: "store"}.get(register >> 4, "compute")
    if opcode == Opcode.STORE or (opcode == Opcode.LOAD and memory in (Memory.PARAM, Memory.TABLE)):
        return "store"
    return "load" if opcode == Opcode.LOAD and memory in (Memory.INP, Memory.WGT) else "compute"


async def run(ctx, dut, reader, rng, address, count, ready, cycles):
    """Start a fetch; returns each queue's words after it is done, or after some cycles."""
    ctx.set(dut.address, address)
    ctx.set(dut.count, count)
    ctx.set(dut.start, 1)
    got: dict[str, list[int]] = {"load": [], "compute": [], "store": []}
    for _ in range(cycles):
        reader.step(ctx, dut.read)
        for name, words in got.items():
            queue = getattr(dut, name)
            ctx.set(queue.ready, rng.random() < ready)
            if ctx.get(queue.valid) and ctx.get(queue.ready):
                words.append(ctx.get(queue.payload))
        await ctx.tick()
        ctx.set(dut.start, 0)
        if ctx.get(dut.done):
            break
    return got


@pytest.mark.parametrize("name", CONFIGS)
def test_every_instruction_reaches_its_queue(name):
    config, rng = CONFIGS[name], seeded(21)
    size, dut = instruction_bytes(config), Fetch(config)
    data = rng.randbytes(DRAM_BYTES)

    async def testbench(ctx):
        for count in (1, 2, 3, 7, 60):
            first = rng.randrange(40)
            words = [int.from_bytes(data[k * size : (k + 1) * size], "little") for k in range(first, first + count)]
            reader = RangeReader(config, data, rng, latency=rng.choice((0, 50)), stall=rng.choice((0, 0.3)))
            got = await run(ctx, dut, reader, rng, first * size, count, rng.choice((1.0, 0.5)), 5000)
            assert ctx.get(dut.done)
            for queue, found in got.items():
                assert found == [word for word in words if queue_of(word) == queue]
            assert reader.outstanding == 0

    simulate(dut, testbench)


PORT = 1
"""Cycles from fetch's request to the bus: latencies count from there."""


@pytest.mark.parametrize(
    ("axi_data_bits", "latency", "first", "gap", "period"),
    [(64, 0, 7, 2, 64), (64, 45, 52, 2, 64), (64, 200, 207, 2, 219), (128, 0, 6, 1, 32), (128, 200, 206, 1, 211)],
)
def test_what_a_program_costs(axi_data_bits, latency, first, gap, period):
    """Cycles from the start to the first instruction, between instructions, and of as many as the buffer holds."""
    config = replace(TINY, axi_data_bits=axi_data_bits)
    rng, dut = seeded(25), Fetch(config)
    dispatched: list[int] = []

    async def testbench(ctx):
        reader = RangeReader(config, bytes(DRAM_BYTES), rng, latency=latency + PORT)
        for queue in (dut.load, dut.compute, dut.store):
            ctx.set(queue.ready, 1)
        ctx.set(dut.count, 4 * HELD)
        ctx.set(dut.start, 1)
        for cycle in range(latency + 4 * period + 20):
            reader.step(ctx, dut.read)
            assert bool(reader.requests) == (cycle >= 2)
            if ctx.get(dut.load.valid | dut.compute.valid | dut.store.valid):
                dispatched.append(cycle)
            await ctx.tick()
            ctx.set(dut.start, 0)
        assert ctx.get(dut.done)

    simulate(dut, testbench)
    assert dispatched[0] == first
    assert min(later - one for one, later in pairwise(dispatched)) == gap
    assert {later - one for one, later in zip(dispatched[HELD:], dispatched[2 * HELD :], strict=False)} == {period}


@pytest.mark.parametrize("name", ["two beats", "four a beat"])
def test_a_full_queue_blocks_fetch_but_not_the_bus(name):
    config, rng = CONFIGS[name], seeded(22)
    dut = Fetch(config)

    async def testbench(ctx):
        reader = RangeReader(config, bytes(DRAM_BYTES), rng)
        await run(ctx, dut, reader, rng, 0, 200, 0.0, 400)
        assert (ctx.get(dut.done), ctx.get(dut.waiting)) == (0, 1)
        assert reader.outstanding == 0, "beats were requested that fetch cannot take"
        assert sum(nbytes for _, nbytes in reader.requests) <= FETCH_BUFFER_BYTES + 64

    simulate(dut, testbench)


def test_bus_error_is_a_fault():
    config: AcceleratorConfig = TINY
    rng, dut = seeded(23), Fetch(config)

    async def testbench(ctx):
        reader = RangeReader(config, bytes(DRAM_BYTES), rng, bad_beat=40)
        got = await run(ctx, dut, reader, rng, 0, 10, 1.0, 200)
        assert (ctx.get(dut.fault.raised), ctx.get(dut.fault.cause)) == (1, Cause.BUS_ERROR)
        assert sum(map(len, got.values())) == 2

    simulate(dut, testbench)


def test_program_beyond_the_address_space():
    rng, dut = seeded(24), Fetch(TINY)

    async def testbench(ctx):
        reader = RangeReader(TINY, bytes(DRAM_BYTES), rng)
        await run(ctx, dut, reader, rng, (1 << 32) - 32, 3, 1.0, 50)
        assert reader.requests == []
        assert (ctx.get(dut.fault.raised), ctx.get(dut.fault.cause)) == (1, Cause.WINDOW)

    simulate(dut, testbench)
