"""Small helpers around Amaranth's own simulator, for tests of single units."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

from amaranth.sim import Simulator
from weft_hardware.config import AcceleratorConfig

TINY = AcceleratorConfig(block_in=4, block_out=4, inp_depth=11, wgt_depth=7, acc_depth=13, uop_depth=21)
"""Few lanes, so that Amaranth's simulator is quick; odd depths, so that no index fits by accident."""


def simulate(dut: Any, *testbenches: Callable[[Any], Awaitable[None]], background: bool = False) -> None:
    """Run testbenches until all end; with ``background`` all but the first are stopped when the first ends."""
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    for k, testbench in enumerate(testbenches):
        simulator.add_testbench(testbench, background=background and k > 0)
    simulator.run()


def seeded(seed: int) -> random.Random:
    """A generator whose seed a failing test shows."""
    print(f"seed {seed}")
    return random.Random(seed)


def signed(value: int, bits: int) -> int:
    """Two's complement of the low bits."""
    value &= (1 << bits) - 1
    return value - (value >> (bits - 1) << bits)


def pack(elements: list[int], bits: int) -> int:
    """Elements as one tile, the first at the least significant bits."""
    return sum((e & ((1 << bits) - 1)) << (bits * k) for k, e in enumerate(elements))


def unpack(tile: int, count: int, bits: int) -> list[int]:
    """The signed elements of a tile."""
    return [signed(tile >> (bits * k), bits) for k in range(count)]
