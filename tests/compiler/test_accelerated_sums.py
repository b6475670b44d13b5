"""Sums with constants: a convolution adds a tensor on its way out, one number is part of a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.compiling import compile_model
from support.onnx_models import ModelBuilder
from support.ort import reference
from weft_hardware.presets import VTA
from weft_runtime.module_model import HostStep
from weft_runtime.session import Session
from weft_simulator.functional.device import FunctionalDevice

TYPES = {"uint8": np.uint8(119), "int8": np.int8(-3)}


def placements(model: bytes, x: np.ndarray) -> dict[str, str]:
    """Where each layer runs of which anything is left, the bytes compared."""
    (wanted,) = reference(model, {"x": x})
    assert len(np.unique(wanted)) >= 32
    module = compile_model(model, VTA)
    with FunctionalDevice(VTA) as device, Session(module, device) as session:
        y = session.run(x)
    assert isinstance(y, np.ndarray)
    assert y.tobytes() == wanted.tobytes()
    functions = {step.function.split("_", 1)[1] for step in module.content.steps if isinstance(step, HostStep)}
    assert functions <= {"quantize", "dequantize", "pack", "unpack", "lookup"}, functions
    return {layer.op: layer.placement for layer in module.content.layers}


@pytest.mark.parametrize("zero", TYPES.values(), ids=TYPES)
@pytest.mark.parametrize("second", [False, True], ids=["sum", "reversed"])
def test_a_constant_is_a_residual_operand(zero: Any, second: bool) -> None:
    rng = np.random.default_rng(7)
    b = ModelBuilder()
    w = b.dequantize(b.constant(rng.integers(-127, 128, (21, 20)).astype(np.int8)), 0.01, np.int8(0))
    y = b.pair(b.node("MatMul", [b.pair("x", 0.02, zero), b.node("Transpose", [w], perm=[1, 0])]), 0.06, zero)
    added = b.dequantize(b.constant(rng.integers(0, 120, 21).astype(type(zero))), 0.03, zero)
    y = b.pair(b.node("Add", [added, y] if second else [y, added]), 0.06, zero)
    model = b.build([("x", (5, 20), np.float32)], [(y, (5, 21), np.float32)])
    assert "Add" not in placements(model, rng.normal(0, 1, (5, 20)).astype(np.float32))


@pytest.mark.parametrize("zero", TYPES.values(), ids=TYPES)
def test_a_constant_for_each_channel_of_images(zero: Any) -> None:
    rng = np.random.default_rng(8)
    b = ModelBuilder()
    w = b.dequantize(b.constant(rng.integers(-127, 128, (18, 3, 3, 3)).astype(np.int8)), 0.01, np.int8(0))
    y = b.pair(b.node("Conv", [b.pair("x", 0.02, zero), w], pads=[1, 1, 1, 1]), 0.06, zero)
    added = b.dequantize(b.constant(rng.integers(0, 120, (18, 1, 1)).astype(type(zero))), 0.03, zero)
    y = b.pair(b.node("Add", [y, added]), 0.06, zero)
    model = b.build([("x", (2, 3, 5, 6), np.float32)], [(y, (2, 18, 5, 6), np.float32)])
    assert "Add" not in placements(model, rng.normal(0, 1, (2, 3, 5, 6)).astype(np.float32))


@pytest.mark.parametrize("zero", TYPES.values(), ids=TYPES)
@pytest.mark.parametrize("op", ["Add", "Mul"])
@pytest.mark.parametrize("second", [False, True], ids=["number second", "number first"])
def test_one_number_is_part_of_a_table(zero: Any, op: str, second: bool) -> None:
    rng = np.random.default_rng(9)
    b = ModelBuilder()
    number = b.dequantize(b.constant(np.asarray(zero + 90, type(zero))), 0.013, zero)
    x = b.pair("x", 0.02, zero)
    y = b.pair(b.node(op, [number, x] if second else [x, number]), 0.023, zero)
    model = b.build([("x", (3, 1000), np.float32)], [(y, (3, 1000), np.float32)])
    placements(model, rng.normal(0, 1, (3, 1000)).astype(np.float32))
