"""Exact cycle counts of the whole accelerator: streams of GEMM, ALU and STORE, and VTA's programs beside VTA's RTL."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.devices import shared_device
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Gemm
from weft_hardware.presets import load_config

from benchmarks.rtl_rate import (
    LATENCIES,
    STORES,
    STREAMS,
    VTA_CYCLES,
    WORKS,
    costs_beside,
    cycles_a_tile,
    cycles_each,
    run_program,
    stores_each,
    stream_cycles,
    vta_programs,
)

VTA = AcceleratorConfig()
EXTENDED = load_config("vta")
pytestmark = pytest.mark.rtl

BEATS = {
    "gemm of 2": 2,
    "gemm of 9": 9,
    "gemm of 16": 16,
    "gemm of 8192": 8192,
    "alu immediate of 16": 16,
    "alu of two accumulators of 16": 32,
}


REACHED = {
    "16x16": (195, 384),
    "32x32": (646, 835),
    "lenet5_conv1": (7188, 7377),
    "lenet5_conv1_relu": (7975, 8162),
    "lenet5_layer1": (8218, 8368),
}
"""Cycles of VTA's programs at each of `LATENCIES`."""


def cycles(instructions):
    device, dram = shared_device("tsim", VTA)
    return stream_cycles(device, dram.base, instructions)


@pytest.mark.parametrize("name", STREAMS)
def test_instructions_follow_each_other_without_a_gap(name):
    device, dram = shared_device("tsim", VTA)
    assert cycles_each(device, dram.base, STREAMS[name]) == BEATS[name]


@pytest.mark.parametrize("name", ["gemm of 9", "gemm of 16", "gemm of 8192"])
def test_one_gemm_of_n_micro_ops_takes_at_most_n_and_6_cycles(name):
    assert cycles([STREAMS[name]]) - cycles([]) <= BEATS[name] + 6


def test_consecutive_hits_on_one_accumulator_cost_nothing():
    one, many = (Gemm(uop_end=1, iter_out=1, iter_in=1000, dst_in=step) for step in (0, 1))
    assert cycles([one] * 3) == cycles([many] * 3)


def test_255_of_256_macs_a_cycle():
    insn = STREAMS["gemm of 8192"]
    assert 64 * 8192 * 256 / cycles([insn] * 64) >= 255


def test_stores_beside_gemm_and_alu_cost_nothing():
    """Those of the other bank, requantising or not."""
    device, dram = shared_device("tsim", EXTENDED)
    costs = costs_beside(device, dram.base)
    assert costs == {(work, store): 0 for work in WORKS for store in STORES}


def test_stores_follow_each_other_at_the_rate_of_the_bus():
    """Two beats a tile: a STORE costs nothing but its beats."""
    for config in (VTA, EXTENDED):
        device, dram = shared_device("tsim", config)
        assert stores_each(device, dram.base, replace(STORES["store"], x_size=1)) == 2
        assert cycles_a_tile(device, dram.base, STORES["store"]) == 2


@pytest.mark.parametrize(
    ("lanes", "cycles"),
    [pytest.param(1, 16, marks=pytest.mark.slow), (4, 4), pytest.param(16, 2, marks=pytest.mark.slow)],
)
def test_requantising_stores(lanes, cycles):
    """Sixteen elements a tile; with a lane for each, its two beats decide."""
    device, dram = shared_device("tsim", replace(EXTENDED, epilogue_lanes=lanes))
    assert cycles_a_tile(device, dram.base, STORES["requantising store"]) == cycles


@pytest.mark.parametrize("latency", LATENCIES)
def test_vta_programs(latency):
    """As many cycles as ever, fewer than VTA's RTL; also where every extension is built."""
    position = LATENCIES.index(latency)
    for config in (VTA, EXTENDED):
        device, dram = shared_device("tsim", config, read_latency=latency)
        cycles = {name: run_program(device, dram.base, program) for name, program in vta_programs(config).items()}
        assert all(cycles[name] <= goal[position] for name, goal in VTA_CYCLES.items())
        if config is VTA:
            assert cycles == {name: reached[position] for name, reached in REACHED.items()}
