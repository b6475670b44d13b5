"""The residual addition, verilated behind the requantising lanes, against exact integers: every order of magnitude."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray
from support.bench import TINY, pack
from support.verilated import Verilated, storage_bytes
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import StoreMode
from weft_hardware.rtl.epilogue import Epilogue
from weft_simulator.lockstep.epilogue import Dyadic, add_residual, dyadic, float_bits, fma, round_24, to_integer

CONFIG = replace(TINY, epilogue_lanes=2, param_depth=1, residual=True, table=True)
Operands = tuple[int, int, int]
"""Encoded: of the outer product, of the inner product, of the addend."""

FEW_BITS = [0, 1, 2, 1 << 22, 3 << 21, 0x7FFFFF, 0x7FFFFE, 0x2AAAAA, 1 << 12, (1 << 23) - (1 << 12)]


class Bench:
    """An epilogue whose accumulators pass unchanged to the addition."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        epilogue = Epilogue(config)
        self.steps, self.latency, self.dut = epilogue.steps, epilogue.latency, Verilated(epilogue)
        self.dut.set("write_param__enable", 1)
        for channel in range(config.block_out):
            self.dut.set("write_param__index", channel)
            self.dut.set("write_param__tile", pack([0, float_bits(1.0)], 32))
            self.dut.tick()
        self.dut.set("write_param__enable", 0)
        for name, value in (("clamp_lo", -256), ("clamp_hi", 255)):
            self.dut.set(name, value)

    def write_table(self, table: NDArray) -> None:
        self.dut.set("write_table__enable", 1)
        for row in range(32):
            self.dut.set("write_table__index", row)
            self.dut.set("write_table__tile", pack(table[8 * row : 8 * row + 8].tolist(), 8))
            self.dut.tick()
        self.dut.set("write_table__enable", 0)

    def run(self, values: NDArray, residuals: NDArray, mode: int, registers: dict[str, int], **how) -> NDArray:
        """One byte for each pair of a 9-bit value and an 8-bit residual operand."""
        for name, value in registers.items():
            self.dut.set(name, value)
        self.dut.set("mode", mode)
        elements = self.config.batch * self.config.block_out
        values, residuals = (
            np.resize(values, (-(-len(values) // elements), elements)),
            np.resize(residuals, len(values)),
        )
        tiles = np.zeros((len(values), storage_bytes(elements * 40 + 16)), np.uint8)
        tiles[:, : 4 * elements] = values.astype("<i4").view(np.uint8)
        tiles[:, 4 * elements : 5 * elements] = np.resize(residuals, values.shape).astype(np.int8).view(np.uint8)
        results, self.cycles = self.dut.stream("tiles", tiles, "results", len(tiles), 40 * len(tiles) + 1000, **how)
        assert len(results) == len(tiles), f"{len(tiles) - len(results)} of {len(tiles)} tiles did not come out"
        return results[:, :elements].reshape(-1)


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(CONFIG)


def random_float(rng: np.random.Generator, low: int, high: int, few_bits: float = 0.5) -> int:
    """A float32 with an exponent field in ``[low, high]``, and a mantissa of few bits as often as that says."""
    mantissa = int(rng.choice(FEW_BITS)) if rng.random() < few_bits else int(rng.integers(1 << 23))
    return int(rng.integers(2)) << 31 | int(np.clip(rng.integers(low, high + 1), 0, 255)) << 23 | mantissa


def plausible(rng: np.random.Generator) -> Operands:
    """What a network has: factors about 1, an offset of some hundreds at most."""
    return random_float(rng, 115, 130), random_float(rng, 115, 130), random_float(rng, 110, 136)


def anywhere(rng: np.random.Generator) -> Operands:
    """Exponents from end to end, zeros and the largest among them."""
    outer, inner, addend = (random_float(rng, -10, 265) for _ in range(3))
    return outer, inner, addend


def neighbours(rng: np.random.Generator) -> Operands:
    """Somewhere, and not far from each other: sums lose their leading bits, or their last ones."""
    middle = int(rng.integers(0, 256))
    outer, inner, addend = (random_float(rng, middle - 40, middle + 40, few_bits=0.8) for _ in range(3))
    return outer, inner, addend


def opposed(rng: np.random.Generator) -> Operands:
    """Two of the three terms cancel for some pairs of small integers."""
    inner = random_float(rng, 90, 200)
    twin = (inner ^ 1 << 31) + int(rng.integers(-2, 3)) + (int(rng.integers(-3, 4)) << 23)
    other = random_float(rng, (inner >> 23 & 255) - 60, (inner >> 23 & 255) + 5, few_bits=0.8)
    return (twin, inner, other) if rng.random() < 0.6 else (other, inner, twin)


KINDS = (plausible, anywhere, neighbours, opposed)


def pairs_for(rng: np.random.Generator, count: int) -> tuple[NDArray, NDArray]:
    """9-bit values and signed bytes, extremes and small ones often."""
    values, residuals = rng.integers(-256, 256, count), rng.integers(-128, 128, count)
    small = rng.random(count) < 0.4
    values = np.where(small, rng.choice([0, 0, 1, -1, 2, 3, -256, 255, 128], count), values)
    residuals = np.where(rng.random(count) < 0.4, rng.choice([0, 0, 1, -1, 2, -128, 127, 64], count), residuals)
    return values, residuals


def aimed(rng: np.random.Generator) -> tuple[Operands, int, int]:
    """Operands, and a pair for which the outer sum is at or next to what float32 rounds to a tie k + ½."""
    while True:
        a, b = (int(rng.integers(1, 129)) * int(rng.choice([-1, 1])) for _ in range(2))
        tie = Fraction(int(rng.choice([0, 0, 1, 2, 63, 127, rng.integers(0, 255)]))) + Fraction(1, 2)
        half_unit = Fraction(2) ** (max(-1, math.floor(math.log2(tie))) - 24)
        away = rng.choice([0, 1, -1, Fraction(1, 2), Fraction(-1, 2), Fraction(3, 2), Fraction(-3, 2)])
        target = (tie + away * half_unit) * int(rng.choice([-1, 1]))
        target += int(rng.choice([0, 0, -1, 1])) * half_unit / 2 ** int(rng.integers(1, 40))
        if rng.random() < 0.5:  # the outer product is most of it, else the inner sum
            outer = nearest(target / a, int(rng.integers(-2, 3)))
            inner_sum = nearest(target - a * value_of(outer))
        else:
            inner_sum = nearest(target, int(rng.integers(-2, 3)))
            outer = nearest((target - value_of(inner_sum)) / a)
        size = value_of(inner_sum)
        if not size or not value_of(outer):
            continue
        # The inner product: as large as the sum, larger, or about the sum's last place.
        scale = Fraction(2) ** int(rng.choice([0, 2, -1, -3, -20, -23, -24, -25, -26, -30, -60]))
        inner = nearest(scale * size / b, int(rng.integers(-1, 2)))
        if rng.random() < 0.5:
            inner &= 0xFF800000 | int(rng.choice(FEW_BITS))
        addend = nearest(size - b * value_of(inner), int(rng.choice([0, 0, 0, -1, 1])))
        if inner & 0x7F800000 and outer & 0x7F800000:
            return (outer, inner, addend), a, b


def value_of(bits: int) -> Fraction:
    mantissa, exponent = dyadic(bits)
    return mantissa * Fraction(2) ** exponent


def nearest(value: Fraction, steps: int = 0) -> int:
    """The encoding of the float32 next to a number, or so many further from zero; 0 if it is out of range."""
    if not value:
        return 0
    exponent = math.frexp(float(abs(value)))[1] - 24
    mantissa = round(abs(value) / Fraction(2) ** exponent) + steps
    if mantissa >= 1 << 24:
        mantissa, exponent = mantissa // 2, exponent + 1
    field = exponent + 150
    return (value < 0) << 31 | field << 23 | mantissa & 0x7FFFFF if 1 <= field <= 254 else 0


def around(rng: np.random.Generator, a: int, b: int, count: int) -> tuple[NDArray, NDArray]:
    """A pair and its neighbours."""
    values, residuals = np.full(count, a), np.full(count, b)
    values[1:] += rng.integers(-1, 2, count - 1)
    residuals[1:] += rng.integers(-1, 2, count - 1)
    return values, np.clip(residuals, -128, 127)


def exact_sum(factor: int, scale: Dyadic, addend: Dyadic) -> Dyadic:
    (m, e), (n, f) = (factor * scale[0], scale[1]), addend
    low = min(e, f)
    return (m << (e - low)) + (n << (f - low)), low


def unfused(factor: int, scale: Dyadic, addend: Dyadic) -> Dyadic:
    return round_24(exact_sum(1, round_24((factor * scale[0], scale[1])), addend))


NEARLY_RIGHT = {
    "inner sum not rounded": (fma, exact_sum),
    "outer sum not rounded": (exact_sum, fma),
    "inner product rounded": (fma, unfused),
    "outer product rounded": (unfused, fma),
}
"""Outer and inner operation of what the hardware must not compute."""


def told_apart(operands: Operands, a: int, b: int) -> set[str]:
    """Which of these have another result for a pair."""
    outer, inner, addend = map(dyadic, operands)
    right = to_integer(fma(a, outer, fma(b, inner, addend)))
    wrong = {
        name: to_integer(first(a, outer, second(b, inner, addend))) for name, (first, second) in NEARLY_RIGHT.items()
    }
    return {name for name, result in wrong.items() if result != right}


def check(bench: Bench, rng: np.random.Generator, operands: Operands, values: NDArray, residuals: NDArray) -> NDArray:
    """Run pairs in a random mode, ``values`` the outer factors; returns the expected sums."""
    outer, inner, addend = operands
    swapped, is_unsigned = bool(rng.integers(2)), bool(rng.integers(2))
    mode = StoreMode.RESIDUAL | swapped * StoreMode.SWAP | is_unsigned * StoreMode.UNSIGNED
    low, high = (int(v) for v in rng.choice([(-128, 127), (-256, 255), (-256, 255), (0, 255), (-7, 9), (5, -5)]))
    # The residual operand is a byte; the outer factor if swapped.
    byte = values if swapped else residuals
    byte = np.clip(byte, 0, 255) if is_unsigned else np.clip(byte, -128, 127)
    first, second = (byte, residuals) if swapped else (values, byte)
    scale, residual_scale = (inner, outer) if swapped else (outer, inner)
    registers = {"scale": scale, "residual_scale": residual_scale, "offset": addend, "sum_lo": low, "sum_hi": high}
    results = bench.run(second if swapped else first, byte, mode, registers)[: len(values)]
    expected = add_residual(first, outer, second, inner, addend, low, high)
    wrong = np.flatnonzero(results != (expected & 255))
    assert not len(wrong), (
        f"fma({first[wrong[0]]}, {outer:#x}, fma({second[wrong[0]]}, {inner:#x}, {addend:#x})) in {low}..{high} is "
        f"{expected[wrong[0]]}, not {results[wrong[0]]} modulo 256; {len(wrong)} of {len(values)} pairs"
    )
    return expected


def check_every_kind(bench: Bench, seed: int, operands: int, pairs: int) -> None:
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    kinds = [KINDS[k % len(KINDS)](rng) for k in range(operands)]
    results = [check(bench, rng, kind, *pairs_for(rng, pairs)) for kind in kinds]
    assert len(np.unique(results)) > 450, "too few different results"


def check_aimed(bench: Bench, seed: int, count: int) -> None:
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    apart = Counter[str]()
    for _ in range(count):
        operands, a, b = aimed(rng)
        apart.update(told_apart(operands, a, b))
        check(bench, rng, operands, *around(rng, a, b, 8))
    print(apart)
    assert apart.keys() == NEARLY_RIGHT.keys(), f"only {set(apart)} would have been noticed"


def test_operands_of_every_kind(bench):
    check_every_kind(bench, seed=5, operands=500, pairs=200)


def test_sums_next_to_a_tie(bench):
    check_aimed(bench, seed=6, count=1500)


@pytest.mark.parametrize("mode", [0, StoreMode.RESIDUAL, StoreMode.RESIDUAL | StoreMode.SWAP | StoreMode.TABLE])
def test_tiles_follow_each_other_without_a_gap(bench, mode):
    registers = {"scale": float_bits(1.5), "residual_scale": float_bits(-0.5), "offset": 0, "sum_lo": 0, "sum_hi": 9}
    values = np.arange(4000) % 512 - 256
    bench.run(values, values >> 1, mode, registers)
    elements = CONFIG.batch * CONFIG.block_out
    assert bench.cycles == len(values) // elements * bench.steps + bench.latency


@pytest.mark.parametrize("mode", range(StoreMode.PARAM_X))
def test_every_mode_with_every_value(bench, mode):
    """Without RESIDUAL values pass the addition unchanged; the table is written right before."""
    rng = np.random.default_rng(mode)
    table = rng.permutation(256)
    values = np.arange(-256, 256)
    residuals = rng.integers(-128, 128, len(values))
    operands = [float_bits(v) for v in (0.75, -1.25, 3.0)]
    registers = dict(zip(("scale", "residual_scale", "offset"), operands, strict=True)) | {"sum_lo": -100, "sum_hi": 99}
    bench.write_table(table)
    results = bench.run(values, residuals, mode, registers, seed=mode, pauses=(20, 50))
    expected = values
    if mode & StoreMode.RESIDUAL:
        operand = residuals & 255 if mode & StoreMode.UNSIGNED else residuals
        pairs = [(values, operands[0]), (operand, operands[1])]
        (first, outer), (second, inner) = reversed(pairs) if mode & StoreMode.SWAP else pairs
        expected = add_residual(first, outer, second, inner, operands[2], -100, 99)
    expected = expected & 255
    np.testing.assert_array_equal(results, table[expected] if mode & StoreMode.TABLE else expected)


@pytest.mark.slow
def test_long_runs(bench):
    check_every_kind(bench, seed=7, operands=20_000, pairs=200)
    check_aimed(bench, seed=8, count=100_000)
