"""Whole layers on the functional simulator: too large for the reference model."""

import numpy as np
import pytest
from support.convolution import CONFIGS, place
from weft_compiler.conv_task import ConvTask
from weft_compiler.lowering import lower_conv
from weft_runtime.device import Launch
from weft_runtime.dram import Dram
from weft_simulator.functional.device import FunctionalDevice

LAYERS = {
    "3x3 of 56x56": ConvTask(ic=4, oc=4, ih=56, iw=56, kh=3, kw=3, pads=(1, 1, 1, 1)),
    "3x3 of 7x7, deep": ConvTask(ic=16, oc=8, ih=7, iw=7, kh=3, kw=3, pads=(1, 1, 1, 1)),
    "stem": ConvTask(ic=1, oc=4, ih=112, iw=112, kh=7, kw=7, stride=(2, 2), pads=(3, 3, 3, 3)),
    "projection": ConvTask(ic=4, oc=8, ih=28, iw=28, kh=1, kw=1, stride=(2, 2)),
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
