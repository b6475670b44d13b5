"""Exact cycle counts of the whole accelerator: streams of GEMM and ALU, and VTA's programs beside VTA's RTL."""

from __future__ import annotations

import pytest
from support.devices import shared_device
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Gemm

from benchmarks.rtl_rate import LATENCIES, STREAMS, VTA_CYCLES, cycles_each, run_program, stream_cycles, vta_programs

VTA = AcceleratorConfig()
pytestmark = pytest.mark.rtl

BEATS = {
    "gemm of 2": 2,
    "gemm of 9": 9,
    "gemm of 16": 16,
    "gemm of 8192": 8192,
    "alu immediate of 16": 16,
    "alu of two accumulators of 16": 32,
}


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


@pytest.mark.parametrize("latency", LATENCIES)
@pytest.mark.parametrize("name", VTA_CYCLES)
def test_vta_programs(name, latency):
    device, dram = shared_device("tsim", VTA, read_latency=latency)
    assert run_program(device, dram.base, vta_programs(VTA)[name]) <= VTA_CYCLES[name][LATENCIES.index(latency)]
