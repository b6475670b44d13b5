"""The epilogue's arithmetic: the reference against exact fractions and numpy, the functional simulator against it."""

import random
from fractions import Fraction

import numpy as np
import pytest
from support.epilogue_runner import Epilogue, send
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import SetRegister, StoreMode
from weft_simulator.functional import FunctionalDevice
from weft_simulator.lockstep.epilogue import add_residual, float_bits, requantise
from weft_simulator.lockstep.extension_values import FLOAT_CORNERS, draw_offset, draw_scale

CONFIG = AcceleratorConfig(acc_depth=65536, param_depth=512, epilogue_lanes=4, residual=True, table=True)
LIMITS = {SetRegister.CLAMP_LO: -128, SetRegister.CLAMP_HI: 127, SetRegister.SUM_LO: -128, SetRegister.SUM_HI: 127}

NEAR = (-3, -2, -1, 0, 1, 2, 3)
ACCUMULATORS = sorted(
    {
        min(max(sign * (1 << k) + near, -(1 << 31)), (1 << 31) - 1)
        for k in (0, 3, 7, 8, 16, 23, 24, 25, 26, 30, 31)
        for sign in (1, -1)
        for near in (*NEAR, *(n * (1 << max(0, k - 24)) for n in NEAR), *(n * (1 << max(0, k - 25)) for n in NEAR))
    }
)
"""Powers of two and what lies around them: integers that float32 has not, ties among them."""

MANTISSAS = (0, 1, 2, 0x200000, 0x2AAAAB, 0x400000, 0x400001, 0x7FFFFE, 0x7FFFFF)
SCALES = [(k + 127) << 23 | m for k in range(-40, 9) for m in MANTISSAS]
SCALES += [1 << 31 | s for s in SCALES[::7]] + list(FLOAT_CORNERS)


def number(bits):
    """A float32 operand as docs/isa.md reads it."""
    field = bits >> 23 & 255
    value = Fraction(1 << 23 | bits & 0x7FFFFF) * Fraction(2) ** (field - 150) if field else Fraction(0)
    return -value if bits >> 31 else value


def round_24(value):
    """The nearest number of 24 significant bits; round() of a Fraction takes ties to even."""
    if not value:
        return value
    exponent = abs(value.numerator).bit_length() - value.denominator.bit_length()
    exponent -= abs(value) < Fraction(2) ** exponent
    unit = Fraction(2) ** (exponent - 23)
    return round(value / unit) * unit


def exact_requantise(total, scale, zero_point=0, low=-128, high=127):
    value = round_24(round_24(Fraction(total)) * number(scale))
    return min(max(round(value) + zero_point, low), high)


def exact_sum(a, sa, b, sb, offset, low=-128, high=127):
    inner = round_24(b * number(sb) + number(offset))
    return min(max(round(round_24(a * number(sa) + inner)), low), high)


def product_ties():
    """(accumulator, scale): products halfway between two float32, next to halfway between two integers.

    ``acc × mantissa = (2k + 1) · 2¹⁷ ± 1`` in units of 2⁻¹⁸ is a tie for k in 64..127.
    """
    cases = []
    for k in range(64, 128):
        for target in ((2 * k + 1) * (1 << 17) - 1, (2 * k + 1) * (1 << 17) + 1):
            for acc in range(3, 200, 2):
                mantissa, rest = divmod(target, acc)
                shift = 24 - mantissa.bit_length()
                if rest == 0:
                    cases.append((acc, (mantissa << shift & 0x7FFFFF) | (127 + 5 - shift) << 23))
    return cases


@pytest.fixture(scope="module")
def device():
    return FunctionalDevice(CONFIG)


def through(device, totals, scales, registers=None, **more):
    """Every total (rows) with every scale (channels), as the device requantises it."""
    tiles = -(-len(scales) // CONFIG.block_out)
    padded = np.zeros(tiles * CONFIG.block_out, np.int64)
    padded[: len(scales)] = scales
    acc = np.broadcast_to(np.array(totals, np.int64)[:, None, None, None], (len(totals), tiles, 1, CONFIG.block_out))
    shape = (tiles, CONFIG.block_out)
    work = Epilogue(np.zeros(shape, np.int64), padded.reshape(shape), LIMITS | (registers or {}), **more)
    return send(device, CONFIG, acc, work).view(np.int8).reshape(len(totals), -1)[:, : len(scales)]


def test_the_reference_is_exact():
    rng = random.Random(0)
    for _ in range(3000):
        total, scale = rng.choice(ACCUMULATORS), rng.choice(SCALES) if rng.random() < 0.5 else draw_scale(rng)
        low, high, zero = rng.randint(-256, 255), rng.randint(-256, 255), rng.randint(-256, 255)
        found = requantise(np.array([total]), scale, zero, low, high).tolist()
        assert found == [exact_requantise(total, scale, zero, low, high)], (total, hex(scale))


def test_the_references_sum_is_exact():
    rng = random.Random(1)
    for _ in range(3000):
        a, b, offset = rng.randint(-256, 255), rng.randint(-128, 255), draw_offset(rng)
        sa, sb = draw_scale(rng, *rng.choice(((-40, 8), (-7, 3)))), draw_scale(rng, *rng.choice(((-40, 8), (-7, 3))))
        found = add_residual(np.array([a]), sa, np.array([b]), sb, offset, -128, 127).tolist()
        assert found == [exact_sum(a, sa, b, sb, offset)], (a, hex(sa), b, hex(sb), hex(offset))


def test_every_corner_of_requantising(device):
    expected = requantise(np.array(ACCUMULATORS)[:, None], np.array(SCALES), 0, -128, 127)
    assert np.array_equal(through(device, ACCUMULATORS, SCALES), expected)


def test_products_that_tie_beside_a_tie(device):
    """float32 rounds such a product to the integer tie itself; arithmetic of one rounding decides otherwise."""
    cases = product_ties()
    found = [through(device, [acc], [scale])[0, 0] for acc, scale in cases]
    once = [round(acc * number(scale)) for acc, scale in cases]
    assert found == [exact_requantise(*case) for case in cases]
    assert sum(f != o for f, o in zip(found, once, strict=True)) > len(cases) // 4 > 10


def test_numpy_float32_is_the_same():
    rng = np.random.default_rng(2)
    totals = rng.integers(-(1 << 31), 1 << 31, 200_000) >> rng.integers(0, 31, 200_000)
    scales = np.exp2(rng.uniform(-40, 8, totals.size)).astype(np.float32)
    product = totals.astype(np.float32) * scales
    expected = np.clip(np.rint(product) + 3, -128, 127).astype(np.int64)
    found = requantise(totals, scales.view(np.uint32).astype(np.int64), 3, -128, 127)
    assert np.array_equal(found, expected)


def test_bias_wraps_and_the_upper_bound_wins(device):
    acc = np.full((1, 1, 1, 16), (1 << 31) - 1)
    bias = np.arange(16)[None] - 3
    for low, high in ((-128, 127), (100, -100), (-256, 255)):
        registers = {SetRegister.CLAMP_LO: low, SetRegister.CLAMP_HI: high, SetRegister.ZERO_POINT: -7}
        work = Epilogue(bias, np.full((1, 16), float_bits(2.0**-24)), registers)
        totals = (acc[0, 0] + bias + (1 << 31)) % (1 << 32) - (1 << 31)
        expected = requantise(totals, float_bits(2.0**-24), -7, low, high)
        assert np.array_equal(send(device, CONFIG, acc, work).reshape(1, 16), expected.astype(np.uint8))


ALL_PAIRS = np.stack(np.meshgrid(np.arange(-128, 128), np.arange(-128, 128), indexing="ij")).reshape(2, -1)


def sum_all_pairs(device, own, other, offset, mode):
    """Every requantised int8 value with every byte as residual operand, shape (65536,)."""
    acc = ALL_PAIRS[0].reshape(16, 256, 1, 16)
    scales = {SetRegister.SCALE: own, SetRegister.RESIDUAL_SCALE: other, SetRegister.OFFSET: offset}
    one = np.full((256, 16), float_bits(1.0))
    operand = ALL_PAIRS[1].astype(np.int8).view(np.uint8)
    work = Epilogue(np.zeros((256, 16), np.int64), one, LIMITS | scales, operand, mode=mode)
    return send(device, CONFIG, acc, work).view(np.int8).reshape(-1)


def expected_sums(own, other, offset, mode):
    q, r = ALL_PAIRS[0], ALL_PAIRS[1] & 255 if mode & StoreMode.UNSIGNED else ALL_PAIRS[1]
    pairs = (r, other, q, own) if mode & StoreMode.SWAP else (q, own, r, other)
    return add_residual(*pairs, offset, -128, 127)


SUMS = [
    (0x3F800000, 0x3F800000, 0),
    (0x3F000000, 0x3F000000, 0x3F000000),  # halves: ties
    (0x3F000001, 0x3F7FFFFF, 0xBF000000),
    (0x3F800001, 0x3F800001, 0x80000000),
    (0x3F800001, 0x3F800001, 0x00800000),  # a tiny offset decides the inner product's ties
    (0x3F800001, 0x3F800001, 0x007FFFFF),  # one with exponent field 0 does not
    (0x3F000000, 0x3F800001, 0x80800000),
    (0x00800000, 0x3F800001, 0x3F000000),
    (0x7F800000, 0xFF800000, 0x43000000),  # what overflows float32 may cancel
    (0x7F7FFFFF, 0xFF7FFFFF, 0x43000000),
    (0x7FFFFFFF, 0x3F800000, 0xC3000000),
]


@pytest.mark.parametrize(
    "mode", [StoreMode(0), StoreMode.SWAP, StoreMode.UNSIGNED, StoreMode.SWAP | StoreMode.UNSIGNED]
)
def test_all_pairs_of_operands(device, mode):
    rng = random.Random(int(mode))
    random_sums = [(draw_scale(rng, -7, 2), draw_scale(rng, -7, 2), draw_offset(rng)) for _ in range(2)]
    for own, other, offset in [*SUMS[int(mode) % 2 :: 2], *random_sums]:
        found = sum_all_pairs(device, own, other, offset, mode)
        assert np.array_equal(found, expected_sums(own, other, offset, mode)), [hex(v) for v in (own, other, offset)]


def test_the_order_of_the_operands_shows(device):
    own, other, offset = float_bits(0.37), float_bits(0.71), float_bits(-3.3)
    found = {mode: sum_all_pairs(device, own, other, offset, mode) for mode in (StoreMode(0), StoreMode.SWAP)}
    for mode, sums in found.items():
        assert np.array_equal(sums, expected_sums(own, other, offset, mode))


@pytest.mark.parametrize(
    ("offset", "total"), [(0x80800000, 1), (0x807FFFFF, 2), (0x80000000, 2), (0x00000000, 2), (0x00800000, 2)]
)
def test_an_offset_with_exponent_field_0_is_zero(device, offset, total):
    """3 · (1 + 2⁻²³) is a tie: to even 3 + 2⁻²¹, below it 3 + 2⁻²². Less 1.5 + 2⁻²¹ that is 1.5 or just less."""
    own, other = float_bits(-1.5 - 2.0**-21), float_bits(1 + 2.0**-23)
    (place,) = np.flatnonzero((ALL_PAIRS[0] == 1) & (ALL_PAIRS[1] == 3))
    assert exact_sum(1, own, 3, other, offset) == total
    assert sum_all_pairs(device, own, other, offset, StoreMode(0))[place] == total


def test_sums_of_any_size(device):
    """Nothing but exact arithmetic: scales far apart, cancelling or not."""
    rng = random.Random(5)
    for _ in range(4):
        own, other = (draw_scale(rng, *rng.choice(((-126, 128), (-30, 8)))) for _ in range(2))
        offset = draw_scale(rng, -126, 128)
        found = sum_all_pairs(device, own, other, offset, StoreMode(0))
        assert np.array_equal(found, expected_sums(own, other, offset, StoreMode(0)))


def test_the_table_comes_last(device):
    table = np.random.default_rng(0).permutation(256).astype(np.uint8)
    totals = list(range(-300, 300))
    found = through(device, totals, [float_bits(1.0)], table=table).view(np.uint8)[:, 0]
    assert np.array_equal(found, table[np.clip(totals, -128, 127) & 255])


@pytest.mark.slow
def test_ten_million_random_values(device):
    """Against numpy float32, and the sums against exact integers."""
    rng = np.random.default_rng(11)
    draws = random.Random(11)
    count = 0
    for _ in range(24):
        acc = rng.integers(-(1 << 31), 1 << 31, (128, 512, 1, 16)) >> rng.integers(0, 31, (128, 512, 1, 16))
        bias = rng.integers(-(1 << 20), 1 << 20, (512, 16))
        scale = np.exp2(rng.uniform(-40, 8, (512, 16))).astype(np.float32)
        zero, low, high = draws.choice(((0, -128, 127), (128, 0, 255), (-5, -128, 100)))
        registers = {SetRegister.ZERO_POINT: zero, SetRegister.CLAMP_LO: low, SetRegister.CLAMP_HI: high}
        work = Epilogue(bias, scale.view(np.uint32).astype(np.int64), registers)
        totals = (acc + bias[:, None] + (1 << 31)) % (1 << 32) - (1 << 31)
        expected = np.clip(np.rint(totals.astype(np.float32) * scale[:, None]) + zero, low, high).astype(np.int64)
        assert np.array_equal(send(device, CONFIG, acc, work), expected.astype(np.uint8))
        count += acc.size
    assert count > 10**7
    for _ in range(160):
        own, other, offset = draw_scale(draws, -8, 3), draw_scale(draws, -8, 3), draw_offset(draws)
        mode = StoreMode(draws.getrandbits(3) & ~StoreMode.RESIDUAL)
        assert np.array_equal(sum_all_pairs(device, own, other, offset, mode), expected_sums(own, other, offset, mode))
        count += 65536
    assert count > 2 * 10**7
