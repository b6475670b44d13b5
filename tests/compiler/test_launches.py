"""Which operations are one launch, and what it copies."""

from importlib.resources import files

import numpy as np
import pytest
import weft_compiler.launches
from support.compiling import compile_model
from weft_compiler import CompileOptions
from weft_compiler.accel.link import Linked
from weft_compiler.errors import CompileError
from weft_hardware.presets import VTA
from weft_runtime.module_model import AcceleratorStep
from weft_simulator.functional import FunctionalDevice

DIGITS = files("weft.models").joinpath("digits.onnx")


def launched(module):
    return [module.content.name_of(step) for step in module.content.steps if isinstance(step, AcceleratorStep)]


@pytest.fixture(scope="module")
def alone():
    return compile_model(DIGITS.read_bytes(), VTA, CompileOptions(overlap=False))


def test_layers_without_a_host_step_between_them_are_one_launch(alone):
    """What lies between them is neither read nor written by the host."""
    module = compile_model(DIGITS.read_bytes(), VTA)
    assert launched(module) == ["conv1..conv3", "dense"]
    assert launched(alone) == ["conv1", "conv2", "pool", "conv3", "dense"]
    first, *_ = (step for step in module.content.steps if isinstance(step, AcceleratorStep))
    steps = [step for step in alone.content.steps if isinstance(step, AcceleratorStep)]
    assert (first.reads, first.writes) == (steps[0].reads, steps[3].writes)
    assert [part.layer for part in first.parts] == [step.layer for step in steps[:4]]
    image = np.random.default_rng(1).standard_normal(module.content.inputs[0].shape).astype(np.float32)
    with FunctionalDevice(VTA) as device:
        assert np.array_equal(module.run(device, image), alone.run(device, image))


def test_where_token_queues_are_too_short_each_is_alone(alone, monkeypatch):
    class Short(Linked):
        def __init__(self, parts, config):
            if len(parts) > 1:
                raise CompileError("token_queue_depth = 1 is too few")
            super().__init__(parts, config)

    monkeypatch.setattr(weft_compiler.launches, "Linked", Short)
    content = compile_model(DIGITS.read_bytes(), VTA).content
    assert content.steps == alone.content.steps
    assert set(content.constants) == set(alone.content.constants)
