"""ONNX models around a Scan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from support.onnx_models import ModelBuilder

Tensor = tuple[str, Sequence[int]]
"""Name and shape of a float32 tensor."""


def body(b: ModelBuilder, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> onnx.GraphProto:
    """What a builder made, as the body of a Scan."""
    infos = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, s) for name, s in x] for x in (inputs, outputs)]
    return helper.make_graph(b.nodes, "body", infos[0], infos[1], b.initializers)


def cell(rng: np.random.Generator, inputs: int, hidden: int, dtype: Any) -> onnx.GraphProto:
    """``h ← tanh(x · W + h · R)``, with quantisers around every operator; gives the body of a Scan."""
    b = ModelBuilder()
    zero = np.asarray(rng.integers(100, 156) if dtype == np.uint8 else rng.integers(-20, 20), dtype)

    def product(x: str, scale: float, depth: int) -> str:
        values = rng.integers(-127, 128, (depth, hidden)).astype(np.int8)
        w = b.dequantize(b.constant(values), np.float32(0.7 / 127 / depth**0.5 * 3), np.int8(0))
        return b.pair(b.node("MatMul", [b.pair(x, scale, zero), w]), 0.03, zero)

    total = b.pair(b.node("Add", [product("x", 0.025, inputs), product("h", 0.008, hidden)]), 0.03, zero)
    state = b.pair(b.node("Tanh", [total]), 0.008, zero)
    y = b.node("Identity", [state])
    h, x = ("h", (1, hidden)), ("x", (1, inputs))
    return body(b, [h, x], [(state, h[1]), (y, h[1])])


def scan_model(
    graph: onnx.GraphProto,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    names: Sequence[str] | None = None,
    b: ModelBuilder | None = None,
    opset: int = 17,
    **attributes: Any,
) -> bytes:
    """A Scan alone, or behind what a builder made; it reads ``names``, or else the inputs in order."""
    b = b or ModelBuilder()
    attributes = {"num_scan_inputs": 1, **attributes}
    reads = [name for name, _ in inputs] if names is None else names
    results = [name for name, _ in outputs]
    b.nodes.append(helper.make_node("Scan", reads, results, name="scan", body=graph, **attributes))
    return b.build(*([(name, shape, np.float32) for name, shape in x] for x in (inputs, outputs)), opset=opset)
