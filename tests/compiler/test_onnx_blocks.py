"""Quantisation in blocks against onnxruntime, byte for byte."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.compiling import compile_model
from support.onnx_models import ModelBuilder
from support.ort import reference
from weft_compiler.errors import CompileError
from weft_hardware.presets import VTA
from weft_runtime.session import Session
from weft_simulator.functional.device import FunctionalDevice

SHAPE, BLOCK = (3, 7, 5), 3
SCALES = (3, 3, 5)
"""The last block of the middle axis has one element."""


def parameters(dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    rng, limits = np.random.default_rng(17), np.iinfo(dtype)
    scale = np.exp(rng.uniform(-5, -2, SCALES)).astype(np.float32)
    return scale, rng.integers(limits.min, limits.max + 1, SCALES).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_a_tensor_quantised_in_blocks(dtype: Any) -> None:
    b, (scale, zero) = ModelBuilder(), parameters(dtype)
    q = b.node("QuantizeLinear", ["x", b.constant(scale), b.constant(zero)], axis=1, block_size=BLOCK)
    y = b.node("DequantizeLinear", [q, b.constant(scale), b.constant(zero)], axis=1, block_size=BLOCK)
    w = np.random.default_rng(18).integers(-100, 100, SHAPE).astype(dtype)
    weights = b.node(
        "DequantizeLinear", [b.constant(w), b.constant(scale), b.constant(zero)], axis=-2, block_size=BLOCK
    )
    z = b.node("Mul", [weights, "x"])
    model = b.build(
        [("x", SHAPE, np.float32)],
        [(q, SHAPE, dtype), (y, SHAPE, np.float32), (z, SHAPE, np.float32)],
        opset=21,
    )
    x = {"x": np.random.default_rng(19).normal(0, 5, SHAPE).astype(np.float32)}
    module = compile_model(model, VTA)
    with FunctionalDevice(VTA) as device, Session(module, device) as session:
        found = session.run(x)
    for mine, wanted in zip(found, reference(model, x), strict=True):
        assert mine.dtype == wanted.dtype
        assert mine.tobytes() == wanted.tobytes()


def test_blocks_that_do_not_fit() -> None:
    b = ModelBuilder()
    scale = b.constant(np.ones((3, 4, 5), np.float32))
    y = b.node("QuantizeLinear", ["x", scale], name="quantiser", axis=1, block_size=BLOCK)
    model = b.build([("x", SHAPE, np.float32)], [(y, SHAPE, np.uint8)], opset=21)
    with pytest.raises(CompileError) as caught:
        compile_model(model, VTA)
    assert str(caught.value) == (
        "node 'quantiser' (QuantizeLinear) has 60 scales and 1 zero points, not the (3, 3, 5) of blocks of 3 along "
        "axis 1 of shape (3, 7, 5); quantise the model again"
    )
