"""Modules as tables of C: text that cannot break out of its literals, every step, and functions of the user's."""

from dataclasses import replace

import pytest
from support.module_mutants import VALUES
from weft_hardware.config import AcceleratorConfig
from weft_runtime.errors import ModuleError
from weft_runtime.export.library import header
from weft_runtime.export.tables import constants_of, network_source, quoted
from weft_runtime.module_model import (
    AcceleratorStep,
    Buffer,
    Constant,
    ExternalStep,
    HostStep,
    Layer,
    ModuleContent,
    TensorInfo,
)

X, Y, STREAM = Buffer("host", 0, 8), Buffer("device", 128, 4), Buffer("device", 64, 32)
CONTENT = ModuleContent(
    config=AcceleratorConfig(),
    inputs=(TensorInfo("x", (2, 1), "float32", X),),
    outputs=(TensorInfo("y", (4,), "int8", Y),),
    region_bytes={"device": 192, "host": 64},
    constants=(Constant("stream", STREAM, bytes(range(32))), Constant("one", Buffer("host", 64, 1), b"\x01")),
    layers=(Layer("conv", "Conv", "accelerator", "", 1000), Layer('po"ol\n', "MaxPool", "host", "it pools", 0)),
    steps=(AcceleratorStep(0, STREAM, 2, (X,), (Y,)), HostStep(1, "step1_pool", (X, Y))),
)


def test_constants_begin_at_multiples_of_64():
    assert constants_of(CONTENT) == bytes(range(32)) + bytes(32) + b"\x01" + bytes(63)
    text = network_source(CONTENT)
    assert "{{WEFT_DEVICE_REGION, 64u, 32u}, weft_constants + 0u}," in text
    assert "{{WEFT_HOST_REGION, 64u, 1u}, weft_constants + 64u}," in text


def test_steps():
    text = network_source(CONTENT)
    assert '{WEFT_ACCELERATOR_STEP, "conv", 0, 64u, 2u, buffers0, 2u, 1u},' in text
    assert '{WEFT_HOST_STEP, "po\\042ol\\012", step1_pool, 0u, 0u, buffers1, 2u, 0u},' in text
    assert "static void *pointers[2];" in text
    assert f"0x{CONTENT.config.digest[:8]}u," in text


def test_functions_of_c_are_called_with_their_tensors():
    tensors = (TensorInfo("a", (2, 1), "float32", X),), (TensorInfo("b", (4,), "int8", Y),)
    text = network_source(replace(CONTENT, steps=(ExternalStep(0, "mine", "c", *tensors),)))
    assert "extern void mine(void *, void *);" in text
    assert "{ (void)buffers; mine(buffers[0], buffers[1]); }" in text
    assert '{WEFT_HOST_STEP, "conv", call_mine, 0u, 0u, buffers0, 2u, 0u},' in text


def test_functions_of_python_are_refused():
    with pytest.raises(ModuleError, match=r"^module calls the Python function 'mine', which no library can; write it"):
        network_source(replace(CONTENT, steps=(ExternalStep(0, "mine", "python", (), ()),)))


@pytest.mark.parametrize("text", [value for value in VALUES if isinstance(value, str) and value.isprintable()])
def test_literals_hold_nothing_but_themselves(text):
    literal = quoted(text)[1:-1]
    assert literal.encode().decode("unicode_escape").encode("latin-1").decode() == text
    assert not set('"\\\n?') & set(literal.replace("\\", "", literal.count("\\")))


def test_names_that_are_equal_in_capitals_define_one_macro():
    twins = tuple(TensorInfo(name, (2, 1), "float32", X) for name in ("in.put", "IN:PUT"))
    assert header(replace(CONTENT, inputs=twins)).count("#ifndef WEFT_INPUT_IN_PUT\n") == 2
