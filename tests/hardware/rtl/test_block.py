"""BlockLoader against a plain model: random 2-D padded blocks, tile sizes, alignments, latencies, backpressure."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest
from support.bench import TINY, pack, seeded, simulate
from support.range_memory import RangeReader
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import encode
from weft_hardware.isa import Load, Memory, scratchpad_depth, tile_bytes
from weft_hardware.registers import Cause
from weft_hardware.rtl.block import BlockLoader
from weft_hardware.rtl.rows import BLOCKS_AHEAD

DRAM_BYTES = 1 << 14
DEEP = replace(TINY, inp_depth=150, wgt_depth=90, acc_depth=101, uop_depth=300)
CONFIGS = {
    "tiles of one and two beats": DEEP,
    "tiles of half a beat and 64 bytes": replace(DEEP, wgt_bits=16, batch=2, block_out=8, axi_data_bits=128),
    "two-byte tiles on 64 bytes": replace(DEEP, inp_bits=4, wgt_bits=4, axi_data_bits=512),
}
WIDE = replace(DEEP, wgt_bits=16)
BEYOND = Load(memory=Memory.WGT, dram=1 << 27, x_size=1, y_size=1)
"""Behind a 32-bit address space, in `WIDE`."""
PAIRS = [(Memory.INP, Memory.WGT), (Memory.UOP, Memory.ACC)]
EXTENDED = {name: replace(config, pad_value=True, widening_load=True) for name, config in CONFIGS.items()}
BY_BEAT = {name: replace(config, epilogue_lanes=1, table=True, param_depth=23) for name, config in CONFIGS.items()}
WIDENED = [(Memory.INP, Memory.WGT), (Memory.UOP, Memory.ACC, Memory.ACC_8BIT)]


def word_of(load: Load, config: AcceleratorConfig) -> int:
    return int.from_bytes(encode([load], config).tobytes(), "little")


def pad_tile(memory: int, pad: int, config: AcceleratorConfig) -> int:
    """A tile of padding elements; that of ACC_8BIT is an accumulator tile."""
    if memory == Memory.INP:
        return pack([pad] * (config.batch * config.block_in), config.inp_bits)
    if memory in (Memory.ACC, Memory.ACC_8BIT):
        return pack([pad] * (config.batch * config.block_out), config.acc_bits)
    return 0


def loaded_tile(memory: int, raw: bytes, config: AcceleratorConfig, *, unsigned: bool) -> int:
    """What DRAM's bytes become in the scratchpad; those of ACC_8BIT are widened."""
    if memory != Memory.ACC_8BIT:
        return int.from_bytes(raw, "little")
    return pack([byte if unsigned or byte < 128 else byte - 256 for byte in raw], config.acc_bits)


def expected_tiles(
    load: Load, base: int, data: bytes, config: AcceleratorConfig, pad: int = 0, *, unsigned: bool = False
) -> dict[int, int]:
    """Scratchpad index to tile, for every tile that the block writes; for PARAM and TABLE beat by beat."""
    blank = pad_tile(load.memory, pad, config)
    size = tile_bytes(Memory(load.memory), config)
    tiles: list[int] = []
    if load.x_size == 0:
        return {}
    width = load.x_pad0 + load.x_size + load.x_pad1
    tiles += [blank] * (load.y_pad0 * width)
    for y in range(load.y_size):
        start = base + (load.dram + y * load.x_stride) * size
        row = [data[start + x * size : start + (x + 1) * size] for x in range(load.x_size)]
        row = [loaded_tile(load.memory, tile, config, unsigned=unsigned) for tile in row]
        tiles += [blank] * load.x_pad0 + row + [blank] * load.x_pad1
    tiles += [blank] * (load.y_pad1 * width)
    if load.memory not in (Memory.PARAM, Memory.TABLE):
        return {load.sram + k: tile for k, tile in enumerate(tiles)}
    bits = min(config.axi_data_bits, 8 * size)
    parts = 8 * size // bits
    split = [tile >> (bits * part) & ((1 << bits) - 1) for tile in tiles for part in range(parts)]
    return {load.sram * parts + k: part for k, part in enumerate(split)}


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


def step(ctx, dut: BlockLoader, memories, reader: RangeReader) -> list[tuple[Memory, int, int]]:
    """Drive the memory port for this cycle; returns what is written in it: memory, index, tile."""
    reader.step(ctx, dut.read)
    ports = [
        (memory, getattr(dut, f"write_{memory.name.lower()}")) for memory in memories if memory is not Memory.ACC_8BIT
    ]
    return [(memory, ctx.get(p.index), ctx.get(p.tile)) for memory, p in ports if ctx.get(p.enable)]


async def run(ctx, dut: BlockLoader, load: Load, memories, reader: RangeReader, limit: int = 4000):
    """Run one LOAD; returns what was written, by index, and the cycles from ``start`` to ``done``."""
    written: dict[int, int] = {}
    ctx.set(dut.start.payload.as_value(), word_of(load, dut._config))
    ctx.set(dut.start.valid, 1)
    ended = None
    for cycle in range(limit):
        accepted = ctx.get(dut.start.ready)
        for memory, index, tile in step(ctx, dut, memories, reader):
            named = Memory.ACC if load.memory == Memory.ACC_8BIT else load.memory
            assert memory == named, "a scratchpad that the instruction does not name is written"
            assert index not in written, f"tile {index} is written twice"
            written[index] = tile
        last, ended = ended, cycle if ctx.get(dut.done) or ctx.get(dut.fault.raised) else None
        await ctx.tick()
        if last is not None:  # the last tile is written in the cycle after
            return written, last
        if accepted:
            ctx.set(dut.start.valid, 0)
    raise AssertionError(f"{load} does not end within {limit} cycles")


@pytest.mark.parametrize(
    ("config", "memories"),
    [
        *(pytest.param(c, m, id=f"{n}-{m[0].name}") for m in PAIRS for n, c in CONFIGS.items()),
        *(pytest.param(c, (Memory.PARAM, Memory.TABLE), id=f"{n}-PARAM") for n, c in BY_BEAT.items()),
    ],
)
def test_random_blocks(config, memories):
    rng = seeded(7)
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


@pytest.mark.parametrize("memories", WIDENED, ids=["inp-wgt", "uop-acc-acc_8bit"])
@pytest.mark.parametrize("name", EXTENDED)
def test_random_blocks_with_chosen_padding(name, memories):
    config, rng = EXTENDED[name], seeded(8)
    dut = BlockLoader(config, memories)
    data = rng.randbytes(DRAM_BYTES)

    async def testbench(ctx):
        bases = {memory: 64 * rng.randrange(4) for memory in memories}
        for memory, base in bases.items():
            ctx.set(getattr(dut, f"base_{memory.name.lower()}"), base)
        for _ in range(24):
            pad = rng.getrandbits(32) | 1 << 31
            unsigned = rng.random() < 0.5
            ctx.set(dut.pad, pad)
            if Memory.ACC_8BIT in memories:
                ctx.set(dut.widen, unsigned)
            memory = rng.choice(memories)
            load = random_load(rng, memory, bases[memory], config)
            reader = RangeReader(config, data, rng, latency=rng.choice((0, 3, 50)), stall=rng.choice((0, 0, 0.4)))
            written, _ = await run(ctx, dut, load, memories, reader)
            assert written == expected_tiles(load, bases[memory], data, config, pad, unsigned=unsigned), load
            assert reader.outstanding == 0, f"{load} leaves beats on the bus"

    simulate(dut, testbench)


@pytest.mark.parametrize(("block_out", "beats", "cycles"), [(4, 25, 50), (8, 50, 50), (16, 100, 100)])
def test_narrow_accumulators_take_a_beat_or_a_tile_a_cycle(block_out, beats, cycles):
    """Fifty tiles of 4, 8 and 16 bytes on a bus of 8."""
    config, rng = replace(EXTENDED["tiles of one and two beats"], block_out=block_out), seeded(9)
    dut = BlockLoader(config, WIDENED[1])

    async def testbench(ctx):
        reader = RangeReader(config, rng.randbytes(DRAM_BYTES), rng)
        load = Load(memory=Memory.ACC_8BIT, x_size=50, y_size=1)
        _, taken = await run(ctx, dut, load, WIDENED[1], reader)
        assert reader.beats_taken == beats
        assert cycles < taken <= cycles + 12

    simulate(dut, testbench)


@pytest.mark.parametrize("memories", PAIRS, ids=["inp-wgt", "uop-acc"])
@pytest.mark.parametrize("name", CONFIGS)
def test_loads_one_behind_the_other(name, memories):
    """Started as soon as the loader takes them, LOADs still write in order, each its own tiles, and end in order."""
    config, rng = CONFIGS[name], seeded(8)
    dut = BlockLoader(config, memories)
    data = rng.randbytes(DRAM_BYTES)
    loads = [random_load(rng, rng.choice(memories), 0, config) for _ in range(24)]
    expected = [[(load.memory, *tile) for tile in expected_tiles(load, 0, data, config).items()] for load in loads]

    async def testbench(ctx):
        reader = RangeReader(config, data, rng, latency=50, stall=0.1)
        waiting, written, ended, overlaps = list(loads), [], 0, 0
        while ended < len(loads):
            started = len(loads) - len(waiting)
            assert ended <= started <= ended + BLOCKS_AHEAD + 2
            ctx.set(dut.start.valid, bool(waiting))
            if waiting:
                ctx.set(dut.start.payload.as_value(), word_of(waiting[0], config))
                if ctx.get(dut.start.ready):
                    waiting.pop(0)
                    overlaps += started > ended
            written += step(ctx, dut, memories, reader)
            if ctx.get(dut.done):
                ended += 1
            await ctx.tick()
        written += step(ctx, dut, memories, reader)
        assert written == [tile for tiles in expected for tile in tiles]
        assert reader.outstanding == 0
        assert overlaps > len(loads) // 2

    simulate(dut, testbench)


def test_later_loads_wait_for_their_beats_only():
    """Four LOADs of 40 beats take one latency, not four."""
    config, rng = DEEP, seeded(9)
    dut = BlockLoader(config, PAIRS[0])

    async def testbench(ctx):
        reader = RangeReader(config, rng.randbytes(DRAM_BYTES), rng, latency=100)
        ctx.set(dut.start.payload.as_value(), word_of(Load(memory=Memory.INP, x_size=80, y_size=1), config))
        ctx.set(dut.start.valid, 1)
        ends: list[int] = []
        cycle = 0
        while len(ends) < 4:
            step(ctx, dut, PAIRS[0], reader)
            if ctx.get(dut.done):
                ends.append(cycle)
            await ctx.tick()
            cycle += 1
        assert [b - a for a, b in pairwise(ends)] == [80] * 3, "a tile of half a beat takes a cycle"

    simulate(dut, testbench)


@pytest.mark.parametrize("load", [Load(memory=Memory.INP, x_size=9, y_size=1), Load(memory=Memory.INP)])
def test_a_held_load_asks_but_does_not_write(load):
    dut, rng = BlockLoader(DEEP, PAIRS[0]), seeded(11)

    async def testbench(ctx):
        data = rng.randbytes(DRAM_BYTES)
        reader = RangeReader(DEEP, data, rng)
        ctx.set(dut.hold, 1)
        ctx.set(dut.start.payload.as_value(), word_of(load, DEEP))
        ctx.set(dut.start.valid, 1)
        for _ in range(30):
            assert step(ctx, dut, PAIRS[0], reader) == []
            assert not ctx.get(dut.done)
            await ctx.tick()
            ctx.set(dut.start.valid, 0)
        assert reader.beats_taken == (load.x_size + 1) // 2
        ctx.set(dut.hold, 0)
        written = []
        for cycle in range(20):
            written += step(ctx, dut, PAIRS[0], reader)
            assert ctx.get(dut.done) == (cycle == max(load.x_size, 1) - 1)
            await ctx.tick()
        assert written == [(load.memory, *tile) for tile in expected_tiles(load, 0, data, DEEP).items()]

    simulate(dut, testbench)


@pytest.mark.parametrize("load", [Load(memory=Memory.INP, sram=149, x_size=2, y_size=1), BEYOND], ids=["sram", "dram"])
def test_a_fault_waits_for_the_loads_before(load):
    """It would be taken for theirs: who reads it counts what retired."""
    dut, rng = BlockLoader(WIDE, PAIRS[0]), seeded(10)

    async def testbench(ctx):
        reader = RangeReader(WIDE, bytes(DRAM_BYTES), rng, latency=40)
        loads = [Load(memory=Memory.INP, x_size=8, y_size=1), load]
        done_at = None
        ctx.set(dut.start.valid, 1)
        for cycle in range(100):
            ctx.set(dut.start.payload.as_value(), word_of(loads[0], WIDE))
            if ctx.get(dut.start.ready) and len(loads) > 1:
                loads.pop(0)
            step(ctx, dut, PAIRS[0], reader)
            if ctx.get(dut.done):
                assert done_at is None
                done_at = cycle
            if ctx.get(dut.fault.raised):
                break
            await ctx.tick()
        assert ctx.get(dut.fault.raised)
        assert done_at is not None
        assert cycle == done_at + 2, "it waited"
        assert len(reader.requests) == 1

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
    dut = BlockLoader(WIDE, PAIRS[0])

    async def testbench(ctx):
        reader = RangeReader(WIDE, bytes(DRAM_BYTES), rng)
        await run(ctx, dut, BEYOND, PAIRS[0], reader)
        assert reader.requests == []
        assert ctx.get(dut.fault.cause) == Cause.WINDOW

    simulate(dut, testbench)
