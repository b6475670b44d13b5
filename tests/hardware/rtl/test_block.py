"""BlockLoader against a plain model: random 2-D padded blocks, tile sizes, alignments, latencies, backpressure."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from support.bench import TINY, seeded, simulate
from support.range_memory import RangeReader
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import encode
from weft_hardware.isa import Load, Memory, scratchpad_depth, tile_bytes
from weft_hardware.registers import Cause
from weft_hardware.rtl.block import BlockLoader

DRAM_BYTES = 1 << 14
DEEP = replace(TINY, inp_depth=150, wgt_depth=90, acc_depth=101, uop_depth=300)
CONFIGS = {
    "tiles of one and two beats": DEEP,
    "tiles of half a beat and 64 bytes": replace(DEEP, wgt_bits=16, batch=2, block_out=8, axi_data_bits=128),
    "two-byte tiles on 64 bytes": replace(DEEP, inp_bits=4, wgt_bits=4, axi_data_bits=512),
}
PAIRS = [(Memory.INP, Memory.WGT), (Memory.UOP, Memory.ACC)]


def word_of(load: Load, config: AcceleratorConfig) -> int:
    return int.from_bytes(encode([load], config).tobytes(), "little")


def expected_tiles(load: Load, base: int, data: bytes, config: AcceleratorConfig) -> dict[int, int]:
    """Scratchpad index to tile, for every tile that the block writes."""
    size = tile_bytes(Memory(load.memory), config)
    tiles: list[int] = []
    if load.x_size == 0:
        return {}
    width = load.x_pad0 + load.x_size + load.x_pad1
    tiles += [0] * (load.y_pad0 * width)
    for y in range(load.y_size):
        start = base + (load.dram + y * load.x_stride) * size
        row = [data[start + x * size : start + (x + 1) * size] for x in range(load.x_size)]
        tiles += [0] * load.x_pad0 + [int.from_bytes(tile, "little") for tile in row] + [0] * load.x_pad1
    tiles += [0] * (load.y_pad1 * width)
    return {load.sram + k: tile for k, tile in enumerate(tiles)}


def random_load(rng: random.Random, memory: Memory, base: int, config: AcceleratorConfig) -> Load:
    """A block that fits its scratchpad and the memory."""
    depth, size = scratchpad_depth(memory, config), tile_bytes(memory, config)
    while True:
        pads = {f"{axis}_pad{k}": rng.choice((0, 0, 0, 1, 2, 3)) for axis in "xy" for k in (0, 1)}
        x_size, y_size = rng.choice((0, 1, 2, 5, 13, 40)), rng.choice((0, 1, 1, 2, 4))
        stride = rng.choice((x_size, x_size, x_size + rng.randrange(4), rng.randrange(20)))
        count = (x_size + pads["x_pad0"] + pads["x_pad1"]) * (y_size + pads["y_pad0"] + pads["y_pad1"])
        room = (DRAM_BYTES - base) // size - (y_size * stride + x_size)
        if count <= depth and room > 0:
            sram, dram = rng.randrange(depth - count + 1), rng.randrange(room)
            return Load(memory=memory, sram=sram, dram=dram, y_size=y_size, x_size=x_size, x_stride=stride, **pads)


async def run(ctx, dut: BlockLoader, load: Load, memories, reader: RangeReader, limit: int = 4000):
    """Run one LOAD; returns what was written, by index, and the cycles."""
    written: dict[int, int] = {}
    ctx.set(dut.start.payload.as_value(), word_of(load, dut._config))
    ctx.set(dut.start.valid, 1)
    for cycle in range(limit):
        reader.step(ctx, dut.read)
        accepted = ctx.get(dut.start.ready)
        for memory in memories:
            port = getattr(dut, f"write_{memory.name.lower()}")
            if ctx.get(port.enable):
                assert memory == load.memory, "a scratchpad that the instruction does not name is written"
                index = ctx.get(port.index)
                assert index not in written, f"tile {index} is written twice"
                written[index] = ctx.get(port.tile)
        done, raised = ctx.get(dut.done), ctx.get(dut.fault.raised)
        await ctx.tick()
        if accepted:
            ctx.set(dut.start.valid, 0)
        if done or raised:
            return written, cycle
    raise AssertionError(f"{load} does not end within {limit} cycles")


@pytest.mark.parametrize("memories", PAIRS, ids=["inp-wgt", "uop-acc"])
@pytest.mark.parametrize("name", CONFIGS)
def test_random_blocks(name, memories):
    config, rng = CONFIGS[name], seeded(7)
    dut = BlockLoader(config, memories)
    data = rng.randbytes(DRAM_BYTES)

    async def testbench(ctx):
        bases = {memory: 64 * rng.randrange(4) for memory in memories}
        for memory, base in bases.items():
            ctx.set(getattr(dut, f"base_{memory.name.lower()}"), base)
        for _ in range(16):
            memory = rng.choice(memories)
            load = random_load(rng, memory, bases[memory], config)
            reader = RangeReader(config, data, rng, latency=rng.choice((0, 3, 50)), stall=rng.choice((0, 0, 0.4)))
            written, _ = await run(ctx, dut, load, memories, reader)
            assert written == expected_tiles(load, bases[memory], data, config), load
            assert reader.outstanding == 0, f"{load} leaves beats on the bus"

    simulate(dut, testbench)


@pytest.mark.parametrize("latency", [0, 50, 200])
def test_one_beat_a_cycle(latency):
    """Tiles of two beats: 75 of them take 150 cycles and the latency, whatever that is."""
    config = replace(DEEP, inp_bits=16, block_in=8)
    rng = seeded(latency)
    dut = BlockLoader(config, PAIRS[0])

    async def testbench(ctx):
        reader = RangeReader(config, rng.randbytes(DRAM_BYTES), rng, latency=latency)
        load = Load(memory=Memory.INP, x_size=15, y_size=5, x_stride=16)
        _, cycles = await run(ctx, dut, load, PAIRS[0], reader)
        assert reader.beats_taken == 150
        assert cycles <= 150 + latency + 12

    simulate(dut, testbench)


def test_contiguous_rows_are_one_request():
    rng = seeded(1)
    dut = BlockLoader(DEEP, PAIRS[0])

    async def testbench(ctx):
        reader = RangeReader(DEEP, rng.randbytes(DRAM_BYTES), rng)
        await run(ctx, dut, Load(memory=Memory.WGT, dram=3, x_size=4, y_size=5, x_stride=4), PAIRS[0], reader)
        assert reader.requests == [(3 * 16, 5 * 4 * 16)]

    simulate(dut, testbench)


def test_narrow_tiles_never_hold_up_the_bus():
    """Micro-ops take two cycles a beat, yet every beat is taken in the cycle it is offered."""
    rng = seeded(2)
    config = replace(DEEP, uop_depth=1000)
    dut = BlockLoader(config, PAIRS[1])

    async def testbench(ctx):
        reader = RangeReader(config, rng.randbytes(DRAM_BYTES), rng)
        ctx.set(dut.start.payload.as_value(), word_of(Load(memory=Memory.UOP, x_size=1000, y_size=1), config))
        ctx.set(dut.start.valid, 1)
        while not ctx.get(dut.done):
            reader.step(ctx, dut.read)
            if ctx.get(dut.read.beats.valid):
                assert ctx.get(dut.read.beats.ready)
            await ctx.tick()
        assert reader.beats_taken == 500

    simulate(dut, testbench)


@pytest.mark.parametrize(
    ("load", "value"),
    [
        (Load(memory=Memory.INP, sram=149, x_size=2, y_size=1), 150),
        (Load(memory=Memory.INP, sram=151, x_size=1, y_size=1), 151),
        (Load(memory=Memory.INP, x_size=65535, y_size=65535, x_stride=1), 150),
        (Load(memory=Memory.INP, sram=140, x_size=1, y_size=1, y_pad1=10), 150),
    ],
)
def test_block_outside_the_scratchpad(load, value):
    rng = seeded(3)
    dut = BlockLoader(DEEP, PAIRS[0])

    async def testbench(ctx):
        written, _ = await run(ctx, dut, load, PAIRS[0], RangeReader(DEEP, bytes(DRAM_BYTES), rng))
        assert written == {}
        assert ctx.get(dut.fault.cause) == Cause.SCRATCHPAD_RANGE
        assert ctx.get(dut.fault.value) == value
        assert not ctx.get(dut.start.ready)

    simulate(dut, testbench)


def test_error_beat():
    rng = seeded(4)
    dut = BlockLoader(DEEP, PAIRS[0])

    async def testbench(ctx):
        reader = RangeReader(DEEP, bytes(DRAM_BYTES), rng, bad_beat=24)
        await run(ctx, dut, Load(memory=Memory.INP, x_size=20, y_size=1), PAIRS[0], reader)
        assert ctx.get(dut.fault.cause) == Cause.BUS_ERROR

    simulate(dut, testbench)


@pytest.mark.parametrize("x_size", range(1, 9))
def test_a_block_with_an_error_never_ends(x_size):
    """Not even when the error comes in its very last beat, so that the fault is this instruction's."""
    rng = seeded(6)
    dut = BlockLoader(DEEP, PAIRS[0])

    async def testbench(ctx):
        reader = RangeReader(DEEP, bytes(DRAM_BYTES), rng, bad_beat=24)
        done = False
        ctx.set(dut.start.payload.as_value(), word_of(Load(memory=Memory.INP, x_size=x_size, y_size=1), DEEP))
        ctx.set(dut.start.valid, 1)
        for _ in range(200):
            reader.step(ctx, dut.read)
            accepted = ctx.get(dut.start.ready)
            done |= bool(ctx.get(dut.done))
            await ctx.tick()
            if accepted:
                ctx.set(dut.start.valid, 0)
        assert done != bool(ctx.get(dut.fault.raised))

    simulate(dut, testbench)


def test_address_beyond_the_address_space():
    """base + dram · bytes passes 2³²: a fault, not a read from the bottom of memory."""
    rng = seeded(5)
    config = replace(DEEP, wgt_bits=16)
    dut = BlockLoader(config, PAIRS[0])

    async def testbench(ctx):
        reader = RangeReader(config, bytes(DRAM_BYTES), rng)
        await run(ctx, dut, Load(memory=Memory.WGT, dram=1 << 27, x_size=1, y_size=1), PAIRS[0], reader)
        assert reader.requests == []
        assert ctx.get(dut.fault.cause) == Cause.BUS_ERROR

    simulate(dut, testbench)
