"""Small quantised ONNX models, built node by node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


@dataclass
class ModelBuilder:
    """Nodes and initializers of one graph; every method returns the name of what it made."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)

    def constant(self, values: ArrayLike) -> str:
        name = f"constant{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(
        self, op: str, inputs: Sequence[str], *, name: str | None = None, domain: str = "", **attributes: Any
    ) -> str:
        name = name or f"{op.lower()}{len(self.nodes)}"
        result = f"{name}_out"
        self.nodes.append(helper.make_node(op, list(inputs), [result], name=name, domain=domain, **attributes))
        return result

    def quantize(self, x: str, scale: float, zero: ArrayLike) -> str:
        return self.node("QuantizeLinear", [x, self.constant(np.float32(scale)), self.constant(zero)])

    def dequantize(self, x: str, scale: ArrayLike, zero: ArrayLike, axis: int = 0) -> str:
        axis_attribute = {"axis": axis} if np.ndim(scale) else {}
        inputs = [x, self.constant(np.asarray(scale, np.float32)), self.constant(zero)]
        return self.node("DequantizeLinear", inputs, **axis_attribute)

    def pair(self, x: str, scale: float, zero: ArrayLike) -> str:
        """``dequantize(quantize(x))``."""
        return self.dequantize(self.quantize(x, scale, zero), scale, zero)

    def build(
        self,
        inputs: Sequence[tuple[str, Sequence[Any], Any]],
        outputs: Sequence[tuple[str, Sequence[Any], Any]],
        opset: int = OPSET,
    ) -> bytes:
        """The serialised model; inputs and outputs are (name, shape, numpy dtype)."""
        graph = helper.make_graph(
            self.nodes, "test", [_info(*x) for x in inputs], [_info(*y) for y in outputs], self.initializers
        )
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10 if opset >= 21 else 9).SerializeToString()


def _info(name: str, shape: Sequence[Any], dtype: Any) -> onnx.ValueInfoProto:
    types = {"float32": TensorProto.FLOAT, "int8": TensorProto.INT8, "uint8": TensorProto.UINT8}
    types |= {"int32": TensorProto.INT32, "int64": TensorProto.INT64}
    return helper.make_tensor_value_info(name, types[np.dtype(dtype).name], list(shape))


@dataclass(frozen=True)
class Case:
    """A model with an input for it."""

    model: bytes
    inputs: dict[str, NDArray[Any]]
    description: str


def _zero(rng: np.random.Generator, dtype: Any) -> NDArray[Any]:
    """A zero point of any value, the usual ones often."""
    limits = np.iinfo(dtype)
    usual = [0, limits.min, (limits.min + limits.max + 1) // 2]
    value = rng.choice(usual) if rng.random() < 0.5 else rng.integers(limits.min, limits.max + 1)
    return np.asarray(value, dtype)


def _quantised_weights(
    b: ModelBuilder,
    rng: np.random.Generator,
    shape: Sequence[int],
    channel_axis: int,
    x_scale: float,
    per_channel: bool,
) -> tuple[str, str, NDArray[Any], NDArray[Any]]:
    """Dequantised weights and bias, with the scales and the zero point of the weights."""
    channels = shape[channel_axis]
    count = (channels,) if per_channel else ()
    scale = rng.uniform(0.002, 0.02, count).astype(np.float32)
    unsigned = not per_channel and rng.random() < 0.2
    dtype = np.uint8 if unsigned else np.int8
    zero = np.asarray(128, dtype) if unsigned else np.zeros(count, dtype)
    values = rng.integers(0, 256, shape).astype(np.uint8).view(dtype)
    bias = rng.integers(-4000, 4000, channels).astype(np.int32)
    w = b.dequantize(b.constant(values), scale, zero, channel_axis)
    bias_scale = (np.float32(x_scale) * scale).astype(np.float32)
    return w, b.dequantize(b.constant(bias), bias_scale, np.zeros(count, np.int32)), scale, zero


GROUPS = ((1, 1), (1, 1), (1, 1), (1, 2), (2, 2), (4, 4), (3, 5), (8, 16), (16, 8), (24, 24), (16, 16))
"""Inputs and outputs of one group: depthwise, with several outputs for a channel, and groups around a block."""


def random_grouped_conv(seed: int) -> Case:
    """As `random_conv`, of several groups."""
    rng = np.random.default_rng(seed)
    inputs, outputs = GROUPS[rng.integers(len(GROUPS))]
    return random_conv(seed, groups=int(rng.integers(2, 40 // max(inputs, outputs) + 3)), channels=(inputs, outputs))


def random_conv(seed: int, groups: int = 0, channels: tuple[int, int] | None = None) -> Case:
    """A QDQ convolution of random geometry and quantisation, with or without ReLU.

    Its groups are random if they are 0, and so are the channels of a group, inputs and outputs, if left out.
    """
    rng = np.random.default_rng(seed)
    b = ModelBuilder()
    unsigned = bool(rng.random() < 0.5)
    dtype = np.uint8 if unsigned else np.int8
    groups = groups or int(rng.choice([1, 1, 1, 1, 2]))
    n, c, o = int(rng.integers(1, 4)), int(rng.integers(1, 40)) * groups, int(rng.integers(1, 40)) * groups
    if channels is not None:
        c, o = channels[0] * groups, channels[1] * groups
    kernel = rng.integers(1, 5, 2)
    strides, dilations = rng.integers(1, 4, 2), rng.integers(1, 3, 2)
    pads = np.array([rng.integers(0, k * d + 1) for k, d in zip([*kernel] * 2, [*dilations] * 2, strict=True)])
    reach = dilations * (kernel - 1) + 1
    size = reach + rng.integers(0, 10, 2)
    x_scale, y_scale = float(rng.uniform(0.01, 0.05)), float(np.exp(rng.uniform(np.log(0.02), np.log(3.0))))
    per_channel = bool(rng.random() < 0.5)
    x = b.pair("x", x_scale, _zero(rng, dtype))
    w, bias, *_ = _quantised_weights(b, rng, (o, c // groups, *kernel), 0, x_scale, per_channel)
    y = b.node(
        "Conv",
        [x, w] if rng.random() < 0.3 else [x, w, bias],
        strides=[int(v) for v in strides],
        pads=[int(v) for v in pads],
        dilations=[int(v) for v in dilations],
        group=groups,
    )
    y_zero = _zero(rng, dtype)
    y = b.quantize(y, y_scale, y_zero)
    relu = rng.random() < 0.4
    if relu:
        y = b.quantize(b.node("Relu", [b.dequantize(y, y_scale, y_zero)]), y_scale, y_zero)
    shape = (n, c, *(int(v) for v in size))
    out = [(v + pads[k] + pads[2 + k] - reach[k]) // strides[k] + 1 for k, v in enumerate(size)]
    model = b.build([("x", shape, np.float32)], [(y, (n, o, *(int(v) for v in out)), dtype)])
    values = rng.uniform(-3, 3, shape).astype(np.float32)
    text = f"conv {shape} o={o} k={kernel} s={strides} d={dilations} p={pads} g={groups} {np.dtype(dtype)} relu={relu}"
    return Case(model, {"x": values}, text)


def random_dense(seed: int) -> Case:
    """A QDQ Gemm or MatMul of random size and quantisation."""
    rng = np.random.default_rng(seed)
    b = ModelBuilder()
    dtype = np.uint8 if rng.random() < 0.5 else np.int8
    m, k, n = int(rng.integers(1, 20)), int(rng.integers(1, 200)), int(rng.integers(1, 50))
    x_scale, y_scale = float(rng.uniform(0.01, 0.05)), float(np.exp(rng.uniform(np.log(0.02), np.log(3.0))))
    x = b.pair("x", x_scale, _zero(rng, dtype))
    gemm = bool(rng.random() < 0.6)
    transposed = gemm and bool(rng.random() < 0.5)
    shape = (n, k) if transposed else (k, n)
    per_channel = gemm and bool(rng.random() < 0.5)
    w, bias, *_ = _quantised_weights(b, rng, shape, 0 if transposed else 1, x_scale, per_channel)
    y = b.node("Gemm", [x, w, bias], transB=int(transposed)) if gemm else b.node("MatMul", [x, w])
    y = b.quantize(y, y_scale, _zero(rng, dtype))
    model = b.build([("x", (m, k), np.float32)], [(y, (m, n), dtype)])
    values = rng.uniform(-3, 3, (m, k)).astype(np.float32)
    return Case(model, {"x": values}, f"{'gemm' if gemm else 'matmul'} {m}x{k}x{n} {np.dtype(dtype)}")


def random_max_pool(seed: int) -> Case:
    """A max-pool of 8-bit values between Q/DQ of one scale."""
    rng = np.random.default_rng(seed)
    b = ModelBuilder()
    dtype = np.uint8 if rng.random() < 0.5 else np.int8
    kernel, strides = rng.integers(1, 4, 2), rng.integers(1, 4, 2)
    pads = np.array([rng.integers(0, k) for k in [*kernel] * 2])
    size = kernel + rng.integers(0, 8, 2)
    ceil = int(rng.integers(0, 2))
    zero = _zero(rng, dtype)
    shape = (int(rng.integers(1, 3)), int(rng.integers(1, 20)), *(int(v) for v in size))
    attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": strides, "pads": pads}
    attributes = {name: [int(v) for v in values] for name, values in attributes.items()}
    y = b.node("MaxPool", [b.pair("x", 0.03, zero)], ceil_mode=ceil, **attributes)
    y = b.quantize(y, 0.03, zero)
    model = b.build([("x", shape, np.float32)], [(y, ("n", "c", "h", "w"), dtype)])
    values = rng.uniform(-3, 3, shape).astype(np.float32)
    return Case(model, {"x": values}, f"max-pool {shape} k={kernel} s={strides} p={pads} ceil={ceil}")


def _sum_case(rng: np.random.Generator, op: str, x_shape: tuple[int, ...], w_shape: tuple[int, ...], bias: Any) -> Case:
    """``op(x, w) + bias`` between quantisers, the bias in units of the sum."""
    b = ModelBuilder()
    dtype = np.uint8 if rng.random() < 0.5 else np.int8
    x = b.pair("x", 0.03, _zero(rng, dtype))
    w = b.dequantize(b.constant(rng.integers(-128, 128, w_shape).astype(np.int8)), 0.01, np.int8(0))
    bias_scale = np.float32(0.03) * np.float32(0.01)
    y = b.node("Add", [b.node(op, [x, w]), b.dequantize(b.constant(bias), bias_scale, np.int32(0))])
    y = b.quantize(y, 0.8, _zero(rng, dtype))
    dimensions = [f"d{k}" for k in range(len(x_shape))]
    model = b.build([("x", x_shape, np.float32)], [(y, dimensions, dtype)])
    return Case(model, {"x": rng.uniform(-3, 3, x_shape).astype(np.float32)}, f"{op} {x_shape} and Add")


def random_bias_addition(seed: int) -> Case:
    """A MatMul or Conv whose bias is a node of its own."""
    rng = np.random.default_rng(seed)
    outputs = int(rng.integers(1, 40))
    bias = rng.integers(-4000, 4000, outputs).astype(np.int32)
    if rng.random() < 0.5:
        return _sum_case(rng, "MatMul", (5, 33), (33, outputs), bias)
    return _sum_case(rng, "Conv", (2, 7, 6, 6), (outputs, 7, 3, 3), bias.reshape(1, -1, 1, 1))


def random_residual(seed: int) -> Case:
    """The sum of two quantised tensors of different scales."""
    rng = np.random.default_rng(seed)
    b = ModelBuilder()
    dtype = np.uint8 if rng.random() < 0.5 else np.int8
    shape = (3, 100)
    y = b.node("Add", [b.pair("x", 0.03, _zero(rng, dtype)), b.pair("z", 0.05, _zero(rng, dtype))])
    y = b.quantize(y, 0.07, _zero(rng, dtype))
    model = b.build([("x", shape, np.float32), ("z", shape, np.float32)], [(y, shape, dtype)])
    return Case(model, {name: rng.uniform(-3, 3, shape).astype(np.float32) for name in ("x", "z")}, "add")
