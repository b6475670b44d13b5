"""Elementwise kernels against numpy, at the values where rounding and saturation decide."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from support.host_code import call
from weft_compiler.dialects import qgraph
from weft_compiler.host import elementwise
from xdsl.ir import Block, SSAValue

EDGES = np.float32(
    [0.0, -0.0, 0.5, 1.5, 2.5, -0.5, -1.5, 126.5, 127.5, -128.5, 1e9, -1e9, np.inf, -np.inf, 3e38, 1e-40]
)


def argument(shape: Sequence[int], dtype: type) -> SSAValue:
    return Block(arg_types=[qgraph.tensor_type(shape, dtype)]).args[0]


@pytest.mark.parametrize(
    ("dtype", "zero"), [(np.int8, 0), (np.int8, -128), (np.int8, 77), (np.uint8, 0), (np.uint8, 200)]
)
def test_quantize(dtype: type, zero: int) -> None:
    rng = np.random.default_rng(zero + 1000)
    x = np.concatenate([EDGES, rng.normal(0, 60, 1000).astype(np.float32)])
    op = qgraph.QuantizeOp(argument(x.shape, np.float32), [0.7], [zero], qgraph.tensor_type(x.shape, dtype))
    y = call(elementwise.quantize(op, "f"), [x, *elementwise.scale_parameters(op)], x.shape, dtype)
    limits = np.iinfo(dtype)
    with np.errstate(over="ignore"):
        expected = np.clip(np.rint(x / np.float32(0.7)) + np.float64(zero), limits.min, limits.max).astype(dtype)
    assert y.tolist() == expected.tolist()


def test_quantize_of_no_number_gives_the_lowest_value() -> None:
    op = qgraph.QuantizeOp(argument((1,), np.float32), [1.0], [0], qgraph.tensor_type((1,), np.int8))
    inputs = [np.float32([np.nan]), *elementwise.scale_parameters(op)]
    assert call(elementwise.quantize(op, "f"), inputs, (1,), np.int8).tolist() == [-128]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32])
def test_dequantize_along_an_axis(dtype: type) -> None:
    rng = np.random.default_rng(3)
    x = rng.integers(0, 100, (2, 3, 4)).astype(dtype)
    scale, zero = np.float32([0.1, 0.2, 0.3]), np.array([1, 2, 3])
    y_type = qgraph.tensor_type(x.shape, np.float32)
    op = qgraph.DequantizeOp(argument(x.shape, dtype), scale, zero, y_type, axis=1)
    y = call(elementwise.dequantize(op, "f"), [x, *elementwise.scale_parameters(op)], x.shape, np.float32)
    expected = (x.astype(np.int32) - zero[:, None]).astype(np.float32) * scale[:, None]
    assert y.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_clamp_reads_the_sign_of_its_type(dtype: type) -> None:
    x = np.arange(256, dtype=np.uint8).view(dtype)
    y = call(elementwise.clamp(qgraph.ClampOp(argument((256,), dtype), 3, 100), "f"), [x], (256,), dtype)
    assert y.tolist() == np.clip(x, 3, 100).tolist()


def test_relu_and_clip() -> None:
    x = argument(EDGES.shape, np.float32)
    relu = call(elementwise.relu(qgraph.ReluOp(x), "f"), [EDGES], EDGES.shape, np.float32)
    assert relu.tolist() == np.maximum(EDGES, 0).tolist()
    clip = call(elementwise.clip(qgraph.ClipOp(x, -1.25, 6.0), "f"), [EDGES], EDGES.shape, np.float32)
    assert clip.tolist() == np.clip(EDGES, np.float32(-1.25), np.float32(6)).tolist()


@pytest.mark.parametrize("dtype", [np.int8, np.float32])
def test_transpose(dtype: type) -> None:
    x = np.arange(24).astype(dtype).reshape(2, 3, 4)
    op = qgraph.TransposeOp(argument(x.shape, dtype), (2, 0, 1))
    assert call(elementwise.transpose(op, "f"), [x], (4, 2, 3), dtype).tolist() == x.transpose(2, 0, 1).tolist()
