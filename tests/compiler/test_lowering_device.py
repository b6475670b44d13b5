"""Whole layers on the functional simulator, too large for the reference model, and small ones on the RTL."""

import random
from collections.abc import Iterator

import numpy as np
import pytest
from support.convolution import CONFIGS, place, random_phases, random_task
from weft_compiler.conv_task import ConvTask
from weft_compiler.lowering import lower_conv
from weft_hardware.presets import VTA
from weft_runtime.device import Launch
from weft_runtime.dram import Dram
from weft_simulator.functional.device import FunctionalDevice
from weft_simulator.tsim.device import TsimDevice
from weft_simulator.tsim.model import MemoryTiming

LAYERS = {
    "3x3 of 56x56": ConvTask(ic=4, oc=4, ih=56, iw=56, kh=3, kw=3, pads=(1, 1, 1, 1)),
    "3x3 of 7x7, deep": ConvTask(ic=16, oc=8, ih=7, iw=7, kh=3, kw=3, pads=(1, 1, 1, 1)),
    "stem": ConvTask(ic=1, oc=4, ih=112, iw=112, kh=7, kw=7, stride=(2, 2), pads=(3, 3, 3, 3)),
    "projection": ConvTask(ic=4, oc=8, ih=28, iw=28, kh=1, kw=1, stride=(2, 2)),
    "depthwise": ConvTask(groups=8, ic=1, oc=1, ih=28, iw=28, kh=3, kw=3, stride=(2, 2), pads=(1, 1, 1, 1)),
    "dense": ConvTask(n=2, ic=64, oc=63, ih=1, iw=1, kh=1, kw=1),
}


@pytest.mark.parametrize("order_seed", [None, 1, 2])
@pytest.mark.parametrize("name", LAYERS)
def test_whole_layers_are_exact_in_any_order(name, order_seed):
    placed = place(lower_conv(LAYERS[name], CONFIGS["vta"]))
    program = placed.program
    image = program.image.copy()
    with FunctionalDevice(program.config, dram=Dram(image), order_seed=order_seed) as device:
        device.launch(Launch(program.insn_address, len(program.instructions), program.bases))
    assert np.array_equal(placed.result(image), placed.expected)
    assert placed.untouched(image)


def random_tasks() -> Iterator[ConvTask]:
    """Groups and phases with every extension, small enough for the RTL."""
    rng = random.Random("groups and phases")
    for _ in range(6):
        yield random_task(rng, requantises=True, groups=rng.randint(2, 7))
        yield random_phases(rng, requantises=True)


@pytest.mark.rtl
def test_groups_and_phases_on_the_rtl_with_random_stalls():
    for seed, task in enumerate(random_tasks()):
        print(f"seed {seed}: {task}")
        placed = place(lower_conv(task, VTA), seed)
        program = placed.program
        image = program.image.copy()
        memory = MemoryTiming(read_latency=20, stall_seed=seed + 1)
        with TsimDevice(VTA, dram=Dram(image), memory=memory) as device:
            device.launch(Launch(program.insn_address, len(program.instructions), program.bases))
        assert np.array_equal(placed.result(image), placed.expected)
        assert placed.untouched(image)
