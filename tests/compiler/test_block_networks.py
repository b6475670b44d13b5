"""Networks of residual blocks: all on the accelerator, byte for byte onnxruntime's."""

import numpy as np
import pytest
from support.block_networks import block_network
from support.compiling import compile_model
from support.ort import reference
from weft_hardware.presets import VTA
from weft_runtime.check import check_module
from weft_runtime.module_model import HostStep
from weft_runtime.session import Session
from weft_simulator.functional.device import FunctionalDevice


def compare(seed, config=VTA):
    model, inputs = block_network(seed)
    (wanted,) = reference(model, inputs)
    assert len(np.unique(wanted)) >= 12
    module = compile_model(model, config)
    assert not [finding for _, report in check_module(module.content) for finding in report.findings]
    with FunctionalDevice(config) as device, Session(module, device) as session:
        assert np.array_equal(session.run(inputs["x"]), wanted)
    return module


@pytest.mark.parametrize("seed", range(4))
def test_residual_blocks(seed):
    print(f"seed {seed}")
    module = compare(seed)
    on_host = {layer.op for layer in module.content.layers if layer.placement != "accelerator"}
    # A view is nobody's work; the host packs the image and unpacks the result, of several images before the view, too.
    assert on_host <= {"Flatten"}
    steps = [step.function for step in module.content.steps if isinstance(step, HostStep)]
    assert {step.split("_")[1] for step in steps} <= {"pack", "unpack"}
    if block_network(seed)[1]["x"].shape[0] == 1:
        assert len(steps) == 2


@pytest.mark.slow
@pytest.mark.parametrize("part", range(5))
def test_many_residual_blocks(part):
    for seed in range(100 + 20 * part, 120 + 20 * part):
        print(f"seed {seed}")
        compare(seed)
