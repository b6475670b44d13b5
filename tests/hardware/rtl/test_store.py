"""The store module against a plain model: narrowing, raw, strides, narrow tiles with strobes, faults, tokens."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import pytest
from support.bench import TINY, seeded, simulate
from support.range_memory import RangeWriter
from weft_hardware.encoding import encode
from weft_hardware.isa import Memory, Store, tile_bytes
from weft_hardware.registers import Cause, ModuleState
from weft_hardware.rtl.signatures import ACC_READ_LATENCY
from weft_hardware.rtl.store import StoreModule

DRAM_BYTES = 1 << 14
CONFIGS = {
    "half a beat": replace(TINY, acc_depth=60),
    "two beats": replace(TINY, acc_depth=60, batch=2, block_out=8, out_bits=16),
    "4 bytes on 64": replace(TINY, acc_depth=60, axi_data_bits=512),
    "as wide as the bus": replace(TINY, acc_depth=60, block_out=16, axi_data_bits=128),
    "OUT alone": replace(TINY, acc_depth=60, raw_store=False),
    "OUT alone, two beats": replace(TINY, acc_depth=60, raw_store=False, batch=2, block_out=8, out_bits=16),
}


def word_of(store, config):
    return int.from_bytes(encode([store], config).tobytes(), "little")


def narrow(tile, config):
    """A tile of OUT."""
    elements = range(config.batch * config.block_out)
    mask = (1 << config.out_bits) - 1
    return sum((tile >> config.acc_bits * k & mask) << config.out_bits * k for k in elements)


def expected_memory(store, base, tiles, config):
    data = bytearray([RangeWriter.GUARD] * DRAM_BYTES)
    size = tile_bytes(Memory(store.memory), config)
    for y in range(store.y_size):
        for x in range(store.x_size):
            tile = tiles[store.sram + y * store.x_size + x]
            if store.memory == Memory.OUT:
                tile = narrow(tile, config)
            start = base + (store.dram + y * store.x_stride + x) * size
            data[start : start + size] = tile.to_bytes(size, "little")
    return data


async def run(ctx, dut, store, tiles, writer, rng, stall, limit=4000):
    """Run one STORE until it retires or faults; where OUT alone can be stored, tiles come narrowed."""
    config = dut._config
    before = ctx.get(dut.status.retired)
    ctx.set(dut.instruction.payload, word_of(store, config))
    ctx.set(dut.instruction.valid, 1)
    reads = deque([0] * ACC_READ_LATENCY)
    for _ in range(limit):
        writer.step(ctx, dut.write)
        ctx.set(dut.acc_read.request.ready, rng.random() >= stall)
        ctx.set(dut.acc_read.tile, reads.popleft())
        granted = ctx.get(dut.acc_read.request.valid) and ctx.get(dut.acc_read.request.ready)
        tile = tiles[ctx.get(dut.acc_read.request.payload)] if granted else rng.getrandbits(64)
        reads.append(tile if config.raw_store else narrow(tile, config))
        taken = ctx.get(dut.instruction.ready)
        await ctx.tick()
        if taken:
            ctx.set(dut.instruction.valid, 0)
        if ctx.get(dut.status.retired) != before or ctx.get(dut.fault.raised):
            ctx.set(dut.instruction.valid, 0)
            return
    raise AssertionError(f"{store} does not end within {limit} cycles")


@pytest.mark.parametrize("name", CONFIGS)
def test_random_blocks(name):
    config, rng = CONFIGS[name], seeded(11)
    dut = StoreModule(config)
    tiles = [rng.getrandbits(config.acc_tile_bits) for _ in range(config.acc_depth)]

    async def testbench(ctx):
        ctx.set(dut.base_out, 128)
        if config.raw_store:
            ctx.set(dut.base_acc, 64)
        for _ in range(14):
            memory = rng.choice((Memory.OUT, Memory.ACC) if config.raw_store else (Memory.OUT,))
            x_size, y_size = rng.choice((0, 1, 2, 5, 11)), rng.choice((0, 1, 2, 5))
            sram = rng.randrange(config.acc_depth - x_size * y_size + 1)
            store = Store(
                memory=memory,
                sram=sram,
                dram=rng.randrange(60),
                x_size=x_size,
                y_size=y_size,
                x_stride=x_size + rng.choice((0, 0, 1, 5)),
            )
            stall = rng.choice((0.0, 0.4))
            writer = RangeWriter(config, DRAM_BYTES, rng, stall=stall)
            await run(ctx, dut, store, tiles, writer, rng, stall)
            assert not ctx.get(dut.fault.raised)
            base = 128 if memory == Memory.OUT else 64
            assert writer.data == expected_memory(store, base, tiles, config), store

    simulate(dut, testbench)


@pytest.mark.parametrize(
    ("store", "raw_store", "cause", "value"),
    [
        (Store(memory=Memory.OUT, sram=50, x_size=11, y_size=1), True, Cause.SCRATCHPAD_RANGE, 60),
        (Store(memory=Memory.OUT, sram=70, x_size=1, y_size=1), True, Cause.SCRATCHPAD_RANGE, 70),
        (Store(memory=Memory.INP, x_size=1, y_size=1), True, Cause.ILLEGAL_INSTRUCTION, 0),
        (Store(memory=Memory.INP), True, Cause.ILLEGAL_INSTRUCTION, 0),
        (Store(memory=Memory.ACC, x_size=1, y_size=1), False, Cause.ILLEGAL_INSTRUCTION, 0),
        (Store(memory=Memory.OUT, x_pad1=1), True, Cause.ILLEGAL_INSTRUCTION, 0),
        (Store(memory=Memory.OUT, dram=0xFFFFFFFF, x_size=1, y_size=1), True, Cause.WINDOW, 0xFFFFFFFF * 4),
    ],
)
def test_faults(store, raw_store, cause, value):
    config = replace(CONFIGS["half a beat"], raw_store=raw_store)
    rng, dut = seeded(12), StoreModule(config)

    async def testbench(ctx):
        writer = RangeWriter(config, DRAM_BYTES, rng)
        await run(ctx, dut, store, [0] * 60, writer, rng, 0.0)
        assert (ctx.get(dut.fault.raised), ctx.get(dut.fault.cause)) == (1, cause)
        assert ctx.get(dut.fault.value) == value
        assert not writer.written

    simulate(dut, testbench)


def test_failed_write():
    config = CONFIGS["half a beat"]
    rng, dut = seeded(13), StoreModule(config)

    async def testbench(ctx):
        writer = RangeWriter(config, DRAM_BYTES, rng)
        writer.fail_next = True
        await run(ctx, dut, Store(memory=Memory.OUT, x_size=3, y_size=1), [0] * 60, writer, rng, 0.0)
        assert ctx.get(dut.fault.cause) == Cause.BUS_ERROR

    simulate(dut, testbench)


def test_token_follows_the_last_acknowledgement():
    config = CONFIGS["half a beat"]
    rng, dut = seeded(14), StoreModule(config)

    async def testbench(ctx):
        writer = RangeWriter(config, DRAM_BYTES, rng)
        store = Store(memory=Memory.OUT, x_size=4, y_size=1, x_stride=4, pop_prev=True, push_prev=True, push_next=True)
        ctx.set(dut.instruction.payload, word_of(store, config))
        ctx.set(dut.instruction.valid, 1)
        ctx.set(dut.acc_read.request.ready, 1)
        await ctx.tick().repeat(5)
        assert ctx.get(dut.status.state) == ModuleState.WAIT_POP_PREV
        ctx.set(dut.compute_tokens.pop.valid, 1)
        await ctx.tick()
        ctx.set(dut.compute_tokens.pop.valid, 0)
        for _ in range(100):
            writer.step(ctx, dut.write)
            await ctx.tick()
            if ctx.get(dut.compute_tokens.push.valid):
                break
        assert len(writer.written) == 16
        assert ctx.get(dut.status.state) == ModuleState.WAIT_PUSH_PREV
        assert not ctx.get(dut.retire)
        ctx.set(dut.compute_tokens.push.ready, 1)
        assert ctx.get(dut.retire)

    simulate(dut, testbench)
