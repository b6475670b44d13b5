"""Random values for the extensions: queue registers, float32 numbers with their corners, parameter tiles."""

from __future__ import annotations

import random
import struct

from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import SetRegister as R

FLOAT_CORNERS = (
    0x0000_0000,
    0x8000_0000,
    0x0000_0001,  # exponent field 0: zero
    0x807F_FFFF,
    0x0080_0000,  # least normal number
    0x7F7F_FFFF,
    0x7F80_0000,  # exponent field 255: finite
    0xFF80_0000,
    0x7FC0_0000,
    0xFFFF_FFFF,
    0x3F80_0000,  # 1
    0x3F00_0000,  # 0.5: ties
    0xBF00_0000,
    0x3F7F_FFFF,  # the number before 1
    0x3F80_0001,
    0x3400_0000,  # 2^-23
)
BOUNDS = (-256, -128, -127, -1, 0, 1, 127, 128, 254, 255)


def float_bits(value: float) -> int:
    return struct.unpack("<I", struct.pack("<f", value))[0]


def draw_scale(rng: random.Random, low: int = -40, high: int = 8) -> int:
    """An encoded float32: mostly positive and of an exponent in ``[low, high)``, now and then a corner."""
    if rng.random() < 0.1:
        return rng.choice(FLOAT_CORNERS) if rng.random() < 0.8 else rng.getrandbits(32)
    mantissa = rng.choice((0, 0, rng.getrandbits(23), rng.getrandbits(23), rng.getrandbits(23), 1, 0x7FFFFF, 0x400000))
    sign = rng.random() < 0.1
    return sign << 31 | rng.randrange(low, high) + 127 << 23 | mantissa


def draw_offset(rng: random.Random) -> int:
    """An encoded float32 around what 8-bit sums are: integers, ties, anything, corners."""
    if rng.random() < 0.1:
        return rng.choice(FLOAT_CORNERS)
    whole = rng.randint(-300, 300)
    return float_bits(rng.choice((float(whole), whole + 0.5, rng.uniform(-300, 300))))


def draw_register(rng: random.Random, register: R, config: AcceleratorConfig) -> int:
    """A value for SET; bits that the register does not hold may be anything."""
    if register in (R.LOAD_PAD, R.COMPUTE_PAD):
        half = 1 << ((config.inp_bits if register is R.LOAD_PAD else 32) - 1)
        value = rng.choice((0, -128, 127, 1, -1, -half, half - 1, rng.getrandbits(32)))
    elif register in (R.WIDEN, R.OVERWRITE):
        value = rng.getrandbits(4)
    elif register == R.PARAM:
        value = rng.randrange(config.param_depth)
    elif register in (R.SCALE, R.RESIDUAL_SCALE):
        value = draw_scale(rng, -7, 4)
    elif register == R.OFFSET:
        value = draw_offset(rng)
    elif register == R.RESIDUAL:
        value = rng.choice((0, rng.getrandbits(32)))
    elif register == R.ZERO_POINT:
        value = rng.choice((*BOUNDS, rng.getrandbits(9)))
    else:
        low = register in (R.CLAMP_LO, R.SUM_LO)
        value = rng.choice((-128, -128, 0, 0, -256) if low else (127, 127, 255, 255))
        if rng.random() < 0.2:
            value = rng.choice((*BOUNDS, rng.getrandbits(9)))
    if register in (R.ZERO_POINT, R.CLAMP_LO, R.CLAMP_HI, R.SUM_LO, R.SUM_HI) and rng.random() < 0.2:
        value = value & 511 | rng.getrandbits(23) << 9
    return value & 0xFFFFFFFF


def parameter_bytes(rng: random.Random, count: int) -> bytes:
    """``count`` channels of bias and scale, such that small and large accumulators alike come out in range."""
    words = []
    for _ in range(count):
        bias = rng.choice((0, rng.randint(-300, 300), rng.randint(-100_000, 100_000), rng.getrandbits(32)))
        low, high = rng.choice(((-40, 8), (-8, 1), (-26, -20), (-14, -4)))
        words += [bias & 0xFFFFFFFF, draw_scale(rng, low, high)]
    return struct.pack(f"<{len(words)}I", *words)
