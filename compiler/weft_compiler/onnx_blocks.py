"""QuantizeLinear and DequantizeLinear in blocks: a scale for so many elements along an axis, as float operations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.ir import SSAValue

from .dialects import floats, qgraph
from .onnx_graph import Graph, Node, axis_of, result_type


def is_blocked(node: Node) -> bool:
    """Whether a quantiser has a scale for each block."""
    return bool(node.attributes.get("block_size", 0))


def _each(
    graph: Graph, node: Node, x: SSAValue, of: np.dtype[Any] | None
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[Any]]:
    """Scale and zero point of each element as floats, and the zero points as they are stored."""
    scale, zero = graph.scale(node, 1, "scale"), graph.zero_point(node, 2, "zero point", of)
    shape, size = list(qgraph.shape_of(x)), int(node.attributes["block_size"])
    axis = axis_of(node, len(shape), 1)
    if size < 1:
        node.refuse(f"has block_size = {size}; it must be at least 1, quantise the model again")
    blocks = [*shape[:axis], -(-shape[axis] // size), *shape[axis + 1 :]]
    if graph.constant(node, 1, "scale").shape != tuple(blocks) or zero.size not in (1, scale.size):
        node.refuse(
            f"has {scale.size} scales and {zero.size} zero points, not the {tuple(blocks)} of blocks of {size} along "
            f"axis {axis} of shape {tuple(shape)}; quantise the model again"
        )

    def spread(values: NDArray[Any]) -> NDArray[np.float32]:
        whole = np.broadcast_to(values, scale.size) if values.size == 1 else values
        repeated = np.repeat(whole.reshape(blocks).astype(np.float32), size, axis)
        return np.take(repeated, range(shape[axis]), axis)

    return spread(scale), spread(zero), zero


def quantize_blocks(graph: Graph, node: Node, x: SSAValue, dtype: np.dtype[Any] | None) -> SSAValue:
    """``saturate(rne(x / scale) + zero)``."""
    scale, zero, stored = _each(graph, node, x, dtype)
    y = result_type(qgraph.shape_of(x), stored, node)
    value = _combined(graph, node, "div", x, scale)
    value = graph.emit(floats.UnaryOp("round", value), node)
    if zero.any():
        value = _combined(graph, node, "add", value, zero)
    return graph.emit(qgraph.QuantizeOp(value, [1.0], [0], y), node)


def dequantize_blocks(graph: Graph, node: Node, x: SSAValue) -> SSAValue:
    """``(x − zero) · scale``; weights become constants."""
    scale, zero, _ = _each(graph, node, x, qgraph.dtype_of(x))
    if isinstance(x.owner, qgraph.ConstantOp):
        known = (x.owner.values.astype(np.float32) - zero) * scale
        return graph.emit(qgraph.ConstantOp(known), node)
    y = qgraph.tensor_type(qgraph.shape_of(x), np.float32)
    value = graph.emit(qgraph.DequantizeOp(x, [1.0], [0], y), node)
    if zero.any():
        value = _combined(graph, node, "sub", value, zero)
    return _combined(graph, node, "mul", value, scale)


def _combined(graph: Graph, node: Node, function: str, x: SSAValue, values: NDArray[np.float32]) -> SSAValue:
    return graph.emit(floats.BinaryOp(function, x, graph.emit(qgraph.ConstantOp(values), node)), node)
