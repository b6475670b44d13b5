"""The requantising store's datapath, verilated, against the exact model: corner cases, random values, backpressure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from support.bench import TINY, pack, seeded, simulate
from support.verilated import Verilated, storage_bytes
from weft_hardware.config import AcceleratorConfig
from weft_hardware.rtl.epilogue import Epilogue
from weft_simulator.lockstep.epilogue import float_bits, requantise

SMALL = replace(TINY, batch=2, epilogue_lanes=2, param_depth=37)
GEOMETRIES = {
    "a tile a cycle": replace(TINY, epilogue_lanes=4, param_depth=5),
    "one lane on a wide bus": replace(TINY, block_out=8, epilogue_lanes=1, param_depth=5, axi_data_bits=256),
    "tiles narrower than the bus": replace(TINY, epilogue_lanes=2, param_depth=3, axi_data_bits=512),
    "two rows of four steps": replace(TINY, batch=2, block_out=8, epilogue_lanes=2, param_depth=3),
}
BOUNDS = [(0, -128, 127), (7, 0, 255), (-128, -128, 127), (255, -256, 255), (-256, -256, 255), (3, 9, 9), (0, 20, -20)]
"""Zero point, lowest and highest value; the last pair is the wrong way round."""

LOW, HIGH = -(1 << 31), (1 << 31) - 1


class Bench:
    """A verilated epilogue with parameters in its memory."""

    def __init__(self, config: AcceleratorConfig, bias: NDArray, scale: NDArray) -> None:
        """``bias`` and ``scale``, shape (param_depth, block_out): int32 values and encoded float32 numbers."""
        self.config = config
        self.bias, self.scale = bias, scale
        epilogue = Epilogue(config)
        self.latency, self.dut = epilogue.latency, Verilated(epilogue)
        for index in range(config.param_depth):
            for place, part in parameter_writes(config, index, bias[index], scale[index]):
                self.dut.set("write_param__index", place)
                self.dut.set("write_param__tile", part)
                self.dut.set("write_param__enable", 1)
                self.dut.tick()
        self.dut.set("write_param__enable", 0)

    def bounds(self, zero_point: int, low: int, high: int) -> None:
        for name, value in (("zero_point", zero_point), ("clamp_lo", low), ("clamp_hi", high)):
            self.dut.set(name, value)
        self.dut.tick()

    def run(self, acc: NDArray, params: NDArray, **how) -> tuple[NDArray, int]:
        """Tiles (n, batch, block_out) int32 with their parameter tiles; returns bytes of that shape, and cycles."""
        count, elements = len(acc), acc[0].size
        tile = np.zeros((count, storage_bytes(elements * (32 + 8) + 16)), np.uint8)
        tile[:, : 4 * elements] = acc.astype("<i4").view(np.uint8).reshape(count, -1)
        tile[:, 5 * elements : 5 * elements + 2] = params.astype("<u2").view(np.uint8).reshape(count, 2)
        steps = elements // self.config.epilogue_lanes
        results, cycles = self.dut.stream("tiles", tile, "results", count, (count * steps + 100) * 20, **how)
        assert len(results) == count, f"{count - len(results)} of {count} tiles did not come out"
        return results[:, :elements].reshape(acc.shape), cycles

    def expected(self, acc: NDArray, params: NDArray, zero_point: int, low: int, high: int) -> NDArray:
        scale = self.scale[params][:, None, :]
        return (requantise(biased(acc, self.bias[params]), scale, zero_point, low, high) & 255).astype(np.uint8)


def biased(acc: NDArray, bias: NDArray) -> NDArray:
    return (acc.astype(np.int64) + bias[:, None, :] - LOW) % (1 << 32) + LOW


def parameter_writes(config: AcceleratorConfig, index: int, bias: Sequence[int], scale: Sequence[int]):
    """The writes of one parameter tile, beat by beat: place and contents."""
    tile = pack([half for channel in zip(bias, scale, strict=True) for half in map(int, channel)], 32)
    bits = min(config.axi_data_bits, 64 * config.block_out)
    parts = 64 * config.block_out // bits
    return [(index * parts + k, tile >> (bits * k) & ((1 << bits) - 1)) for k in range(parts)]


def encode(mantissa: int, exponent_field: int, negative: int = 0) -> int:
    return negative << 31 | exponent_field << 23 | mantissa & 0x7FFFFF


def corner_integers() -> list[int]:
    """Zero, small ones, and both sides of every rounding boundary of int32 to float32."""
    values = [*range(9), 100, 255, 257, 333, 1000, HIGH, HIGH - 1, HIGH - 63, HIGH - 64, HIGH - 65]
    for bits in range(23, 31):
        unit = 1 << max(0, bits - 23)  # of the last place
        for odd in (0, 1):
            tie = (1 << bits) + odd * unit + unit // 2
            values += [tie - 1, tie, tie + 1]
        values += [(1 << bits) - 1, (1 << (bits + 1)) - 1 - unit // 2]
    return sorted({v for value in values for v in (value, -value)} | {LOW, LOW + 1})


def corner_scales() -> list[int]:
    """From 2⁻⁴⁰ to 2⁸ and beyond both ends, with few and with many bits; every special exponent field."""
    fields = [0, 1, 86, 87, 93, 94, 95, 96, 100, *range(101, 138), 254, 255]
    mantissas = [0, 1, 1 << 22, 0x2AAAAB, 0x7FFFFF, 0x7FFFFE]
    return [encode(mantissa, field, k & 1) for field in fields for k, mantissa in enumerate(mantissas)]


def test_every_corner_of_either_operand_with_every_one_of_the_other():
    integers, scales = corner_integers(), corner_scales()
    channels, depth = SMALL.block_out, SMALL.param_depth
    print(f"{len(integers)} integers, {len(scales)} scales")
    for first in range(0, len(scales), channels * depth):
        some = np.resize(np.array(scales[first:]), (depth, channels))
        # The accumulator wraps on the way to the sum in half of the channels.
        bias = np.resize(np.array([0, 12345, LOW, HIGH]), (depth, channels))
        bench = Bench(SMALL, bias, some)
        sums = np.repeat(np.array(integers), depth).reshape(-1, 1, 1)
        params = np.tile(np.arange(depth), len(integers))
        acc = np.broadcast_to(sums, (len(sums), SMALL.batch, channels)) - bias[params][:, None, :]
        acc = (acc - LOW) % (1 << 32) + LOW
        for bounds in BOUNDS:
            bench.bounds(*bounds)
            results, _ = bench.run(acc, params)
            np.testing.assert_array_equal(results, bench.expected(acc, params, *bounds))


def near_ties(rng: np.random.Generator, config: AcceleratorConfig, count: int):
    """Sums whose float32 product with their channel's scale is a tie of the last rounding, or next to one.

    Returns bias and scale of every parameter tile, and accumulator tiles with their parameter tiles.
    """
    shape = (config.param_depth, config.block_out)
    # Few sums a channel, so that its scale can be made for one of them.
    sums = rng.integers(1, 1 << rng.integers(1, 32, shape)) * rng.choice([-1, 1], shape)
    ties = rng.integers(-300, 300, shape) + 0.5
    ties = np.where(rng.random(shape) < 0.3, rng.choice([0.5, -0.5, 1.5, -1.5, 127.5, 255.5], shape), ties)
    scale = (ties / sums.astype(np.float32)).astype(np.float32).view(np.uint32).astype(np.int64)
    scale += rng.integers(-1, 2, shape)
    bias = rng.integers(LOW, HIGH + 1, shape)
    params = rng.integers(0, config.param_depth, count)
    multiples = rng.choice([1, 1, 1, 1, 3, 5], (count, config.batch, config.block_out))
    wanted = sums[params][:, None, :] * multiples + rng.choice([0, 0, 0, -1, 1], multiples.shape)
    acc = (wanted - bias[params][:, None, :] - LOW) % (1 << 32) + LOW
    return bias, scale, acc, params


def in_one_rounding(sums: NDArray, scale: NDArray) -> NDArray:
    """The exact product rounded to an integer at once: what the epilogue must not compute."""
    exact = sums.astype(np.longdouble) * scale.astype(np.uint32).view(np.float32).astype(np.longdouble)
    return np.clip(np.rint(exact), -1024, 1024).astype(np.int64)


def check_near_ties(config: AcceleratorConfig, seed: int, tiles: int) -> None:
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    bias, scale, acc, params = near_ties(rng, config, tiles)
    bench = Bench(config, bias, scale)
    sums = biased(acc, bias[params])
    plain = np.clip(in_one_rounding(sums, scale[params][:, None, :]), -128, 127)
    decided = plain != requantise(sums, scale[params][:, None, :], 0, -128, 127)
    assert decided.sum() > 500, "too few of these values depend on where float32 rounds"
    for bounds in BOUNDS[:3]:
        bench.bounds(*bounds)
        results, _ = bench.run(acc, params)
        np.testing.assert_array_equal(results, bench.expected(acc, params, *bounds))


def test_sums_next_to_a_tie():
    check_near_ties(SMALL, seed=1, tiles=5000)


def random_tiles(rng: np.random.Generator, config: AcceleratorConfig, count: int):
    """Scales from 2⁻⁴⁰ to 2⁸, sums over the whole range, most of them where the result is not clamped."""
    shape = (config.param_depth, config.block_out)
    scale = encode(rng.integers(0, 1 << 23, shape), rng.integers(87, 136, shape), rng.integers(0, 2, shape))
    bias = rng.integers(LOW, HIGH + 1, shape) >> rng.integers(0, 31, shape)
    params = rng.integers(0, config.param_depth, count)
    tile = (count, config.batch, config.block_out)
    factor = scale.astype(np.uint32).view(np.float32).astype(np.float64)[params][:, None, :]
    aimed = np.clip(np.rint(rng.uniform(-300, 300, tile) / factor), LOW, HIGH).astype(np.int64)
    acc = np.where(rng.random(tile) < 0.8, aimed - bias[params][:, None, :], rng.integers(LOW, HIGH + 1, tile))
    return bias, scale, (acc - LOW) % (1 << 32) + LOW, params


def check_random(config: AcceleratorConfig, seed: int, tiles: int) -> None:
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    bias, scale, acc, params = random_tiles(rng, config, tiles)
    bench = Bench(config, bias, scale)
    expected = bench.expected(acc, params, *BOUNDS[0])
    bench.bounds(*BOUNDS[0])
    assert len(np.unique(expected)) == 256
    # The model is exact integers; numpy's float32 arithmetic says the same.
    products = (
        biased(acc, bias[params]).astype(np.float32) * scale.astype(np.uint32).view(np.float32)[params][:, None, :]
    )
    zero_point, low, high = BOUNDS[0]
    assert np.array_equal(np.clip(np.rint(products) + zero_point, low, high).astype(np.int8).view(np.uint8), expected)
    steps = config.batch * config.block_out // config.epilogue_lanes
    for pauses in ((0, 0), (60, 0), (0, 60), (40, 40)):
        results, cycles = bench.run(acc, params, seed=seed, pauses=pauses)
        np.testing.assert_array_equal(results, expected)
        if pauses == (0, 0):
            assert cycles == tiles * steps + bench.latency


def test_random_values_at_full_rate_and_with_pauses_on_both_sides():
    check_random(SMALL, seed=2, tiles=12_500)  # 10⁵ values


@pytest.mark.slow
@pytest.mark.parametrize("name", GEOMETRIES)
def test_long_runs_of_every_geometry(name):
    check_random(GEOMETRIES[name], seed=3, tiles=200_000)
    check_near_ties(GEOMETRIES[name], seed=4, tiles=200_000)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_channels_and_order_in_every_geometry(name):
    """Tiles come right behind the last parameters, results wait at random; Amaranth's simulator, few tiles."""
    config = GEOMETRIES[name]
    rng = seeded(len(name))
    dut = Epilogue(config)
    channels, elements = config.block_out, config.batch * config.block_out
    one = float_bits(1.0)
    tiles = [[rng.randrange(-100, 100) for _ in range(elements)] for _ in range(12)]
    biases = [[rng.randrange(-25, 25) for _ in range(channels)] for _ in range(config.param_depth)]
    params = [rng.randrange(config.param_depth) for _ in tiles]
    wanted = [
        [tile[e] + biases[p][e % channels] for e in range(elements)] for tile, p in zip(tiles, params, strict=True)
    ]

    async def feed(ctx):
        ctx.set(dut.clamp_lo, -128)
        ctx.set(dut.clamp_hi, 127)
        for index, bias in enumerate(biases):
            for place, part in parameter_writes(config, index, bias, [one] * channels):
                ctx.set(dut.write_param.index, place)
                ctx.set(dut.write_param.tile, part)
                ctx.set(dut.write_param.enable, 1)
                await ctx.tick()
        ctx.set(dut.write_param.enable, 0)
        for tile, param in zip(tiles, params, strict=True):
            ctx.set(dut.tiles.payload.tile, pack(tile, 32))
            ctx.set(dut.tiles.payload.param, param)
            ctx.set(dut.tiles.valid, 1)
            await ctx.tick().until(dut.tiles.ready)
            ctx.set(dut.tiles.valid, 0)
            if rng.random() < 0.3:
                await ctx.tick().repeat(rng.choice((1, 3)))

    async def take(ctx):
        for k, tile in enumerate(wanted):
            while True:
                ctx.set(dut.results.ready, rng.random() < 0.4)
                taken = ctx.get(dut.results.valid) and ctx.get(dut.results.ready)
                payload = ctx.get(dut.results.payload)
                await ctx.tick()
                if taken:
                    break
            assert payload == pack(tile, 8), f"tile {k}"
        ctx.set(dut.results.ready, 0)

    simulate(dut, take, feed)
