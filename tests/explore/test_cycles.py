"""Cycles of a design are those of ``weft profile --device timing``, to the cycle."""

from dataclasses import replace

import pytest
from weft.models import digits_onnx
from weft.profile import profile_module
from weft_compiler.network import Network
from weft_explore.cycles import READ_LATENCY, layers, measure
from weft_hardware.presets import PRESETS
from weft_simulator.tsim.model import MemoryTiming

import weft

CONFIGS = {
    "vta": PRESETS["vta"],
    "narrow": replace(PRESETS["pynq"], block_in=8, block_out=8, inp_depth=96, wgt_depth=80, acc_depth=72),
    "no epilogue": PRESETS["base"],
    "tiny8": PRESETS["tiny8"],
    "wide": replace(PRESETS["zcu104"], reads_in_flight=2, max_burst=4),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_cycles_and_layers_are_those_of_a_profile(name):
    config = CONFIGS[name]
    content = Network(digits_onnx()).programs(config)
    module = weft.compile(digits_onnx(), config)
    with weft.open_device("timing", config, memory=MemoryTiming(read_latency=READ_LATENCY)) as device:
        profile = profile_module(module, device)
    measured = measure(content)
    assert measured.cycles == profile.total.cycles
    assert measured.accesses.dram_bytes == profile.total.work.read_bytes + profile.total.work.write_bytes
    assert [(x.name, x.macs, x.bytes, x.cycles) for x in layers(content)] == [
        (row.name, row.macs, row.work.read_bytes + row.work.write_bytes, row.cycles)
        for row in profile.rows
        if row.cycles
    ]


def test_a_network_serves_one_configuration_after_another():
    network = Network(digits_onnx())
    first = [network.programs(CONFIGS[name]) for name in ("vta", "narrow", "vta")]
    assert first[0] == first[2] != first[1]
