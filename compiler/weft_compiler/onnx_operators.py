"""One importer for each ONNX operator: what it becomes in `qgraph`, and what of it is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from xdsl.ir import SSAValue

from . import onnx_floats, onnx_movement, onnx_quantised
from .dialects import qgraph
from .onnx_blocks import dequantize_blocks, is_blocked, quantize_blocks
from .onnx_floats import matmul
from .onnx_graph import Graph, Node, result_type, single
from .onnx_scan import scan
from .onnx_windows import conv_geometry, pool_geometry

Importer = Callable[[Graph, Node], SSAValue | Sequence[SSAValue | NDArray[Any]]]
"""Gives the node's result, or its results in order."""


# Quantisation ------------------------------------------------------------------------------------------------


def _scale_parameters(
    graph: Graph, node: Node, x: SSAValue, of: np.dtype[Any] | None = None
) -> tuple[NDArray[np.float32], NDArray[Any], int]:
    """Scale, zero point and axis; ``of`` is the type that the zero point must have, if that is known."""
    scale = graph.scale(node, 1, "scale")
    zero = graph.zero_point(node, 2, "zero point", of)
    shape = qgraph.shape_of(x)
    axis = int(node.attributes.get("axis", 1))
    axis = axis + len(shape) if axis < 0 else axis
    if zero.size == 1 and scale.size > 1:
        zero = np.repeat(zero, scale.size)
    if zero.size != scale.size:
        node.refuse(f"has {scale.size} scales and {zero.size} zero points; quantise the model again")
    if scale.size > 1 and (not 0 <= axis < len(shape) or shape[axis] != scale.size):
        node.refuse(f"has {scale.size} scales, which do not fit axis {axis} of shape {shape}; quantise the model again")
    return scale, zero, axis if scale.size > 1 else 0


def _quantize(graph: Graph, node: Node) -> SSAValue:
    x = graph.value(node, 0)
    if qgraph.dtype_of(x) != np.float32:
        node.refuse(f"quantises {qgraph.dtype_of(x)} values; only float32 is supported")
    output = node.attributes.get("output_dtype", onnx.TensorProto.UNDEFINED)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(output) if output else None
    if is_blocked(node):
        return quantize_blocks(graph, node, x, dtype)
    scale, zero, axis = _scale_parameters(graph, node, x, dtype)
    y = result_type(qgraph.shape_of(x), zero, node)
    return graph.emit(qgraph.QuantizeOp(x, scale, zero, y, axis), node)


def _dequantize(graph: Graph, node: Node) -> SSAValue:
    x = graph.value(node, 0)
    if qgraph.dtype_of(x) == np.float32:
        node.refuse("dequantises float32 values; its input must be int8, uint8 or int32")
    if node.attributes.get("output_dtype", onnx.TensorProto.FLOAT) not in (0, onnx.TensorProto.FLOAT):
        node.refuse("dequantises to another type than float32, which is not supported; use float32")
    if is_blocked(node):
        return dequantize_blocks(graph, node, x)
    scale, zero, axis = _scale_parameters(graph, node, x, qgraph.dtype_of(x))
    y = qgraph.tensor_type(qgraph.shape_of(x), np.float32)
    return graph.emit(qgraph.DequantizeOp(x, scale, zero, y, axis), node)


# Float operators, quantised later by their neighbours -----------------------------------------------------------


def _bias(graph: Graph, node: Node, index: int, channels: int) -> SSAValue | None:
    """The optional bias: one value for each output channel."""
    bias = graph.optional(node, index)
    if bias is not None:
        shape = qgraph.shape_of(bias)
        if shape[-1:] != (channels,) or int(np.prod(shape)) != channels:
            node.refuse(f"has a bias of shape {shape}; only one value for each of its {channels} outputs is supported")
    return bias


def _conv(graph: Graph, node: Node) -> SSAValue:
    x, w = graph.value(node, 0), graph.value(node, 1)
    window, groups, shape = conv_geometry(node, x, qgraph.shape_of(w))
    y = qgraph.tensor_type(shape, np.float32)
    return graph.emit(qgraph.ConvOp(x, w, _bias(graph, node, 2, shape[1]), window, groups, y), node)


def _dense(graph: Graph, node: Node, transposed: bool) -> SSAValue:
    x, w = graph.float_input(node, 0), graph.float_input(node, 1)
    w_shape, x_shape = qgraph.shape_of(w), qgraph.shape_of(x)
    if len(w_shape) != 2 or not x_shape:
        node.refuse(f"multiplies shapes {x_shape} and {w_shape}; the second factor must be a matrix of constants")
    outputs, depth = w_shape if transposed else w_shape[::-1]
    if x_shape[-1] != depth:
        node.refuse(f"multiplies shapes {x_shape} and {w_shape}, whose inner sizes differ; correct the model")
    y = qgraph.tensor_type((*x_shape[:-1], outputs), np.float32)
    return graph.emit(qgraph.DenseOp(x, w, _bias(graph, node, 2, outputs), transposed, y), node)


def _gemm(graph: Graph, node: Node) -> SSAValue:
    _refuse_scaled_gemm(node)
    transposed = bool(node.attributes.get("transB", 0))
    return _dense(graph, node, transposed)


def _refuse_scaled_gemm(node: Node) -> None:
    for name, neutral in (("alpha", 1.0), ("beta", 1.0), ("transA", 0)):
        if node.attributes.get(name, neutral) != neutral:
            node.refuse(f"has {name} = {node.attributes[name]}; only {name} = {neutral:g} is supported, fold it away")


def _matmul(graph: Graph, node: Node) -> SSAValue:
    a, b = graph.float_input(node, 0), graph.float_input(node, 1)
    if _is_constant(b) and len(qgraph.shape_of(b)) == 2 and qgraph.shape_of(a):
        return _dense(graph, node, False)
    return matmul(graph, node, a, b)


def _is_constant(value: SSAValue) -> bool:
    """Whether a value depends on one constant alone."""
    while isinstance(value.owner, qgraph.DequantizeOp | qgraph.QuantizeOp | qgraph.TransposeOp | qgraph.ReshapeOp):
        value = value.owner.x
    return isinstance(value.owner, qgraph.ConstantOp)


def _relu(graph: Graph, node: Node) -> SSAValue:
    return graph.emit(qgraph.ReluOp(graph.float_input(node, 0)), node)


def _clip(graph: Graph, node: Node) -> SSAValue:
    x = graph.float_input(node, 0)
    low, high = -np.inf, np.inf
    if node.has_input(1):
        low = float(graph.constant(node, 1, "minimum").reshape(-1)[0])
    if node.has_input(2):
        high = float(graph.constant(node, 2, "maximum").reshape(-1)[0])
    low, high = node.attributes.get("min", low), node.attributes.get("max", high)
    if not low <= high:
        node.refuse(f"clips to {low}..{high}, an empty range; correct its bounds")
    return graph.emit(qgraph.ClipOp(x, low, high), node)


# Operators on any type -----------------------------------------------------------------------------------------


def _max_pool(graph: Graph, node: Node) -> SSAValue:
    x = graph.value(node, 0)
    if len(node.outputs) > 1 and node.outputs[1]:
        node.refuse("returns the indices of its maxima; only the values are supported")
    kernel, window, shape = pool_geometry(node, x)
    y = qgraph.tensor_type(shape, qgraph.dtype_of(x))
    return graph.emit(qgraph.MaxPoolOp(x, kernel, window, y), node)


def _flatten(graph: Graph, node: Node) -> SSAValue:
    x = graph.value(node, 0)
    shape = qgraph.shape_of(x)
    axis = int(node.attributes.get("axis", 1))
    if not -len(shape) <= axis <= len(shape):
        node.refuse(f"has axis = {axis}, outside the {len(shape)} dimensions of its input; correct it")
    axis = axis + len(shape) if axis < 0 else axis
    return graph.emit(qgraph.ReshapeOp(x, (int(np.prod(shape[:axis])), int(np.prod(shape[axis:])))), node)


def _reshape(graph: Graph, node: Node) -> SSAValue:
    x = graph.value(node, 0)
    shape = qgraph.shape_of(x)
    target = [int(size) for size in graph.constant(node, 1, "shape")]
    if not node.attributes.get("allowzero", 0):
        target = [shape[k] if size == 0 and k < len(shape) else size for k, size in enumerate(target)]
    known = int(np.prod([size for size in target if size != -1]))
    elements = int(np.prod(shape))
    if target.count(-1) == 1 and known > 0 and elements % known == 0:
        target[target.index(-1)] = elements // known
    if min(target, default=1) < 1 or int(np.prod(target)) != elements:
        node.refuse(
            f"reshapes {shape} to {tuple(target)}, which holds another number of elements; check the batch size"
        )
    return graph.emit(qgraph.ReshapeOp(x, target), node)


def _transpose(graph: Graph, node: Node) -> SSAValue:
    x = graph.value(node, 0)
    rank = len(qgraph.shape_of(x))
    permutation = tuple(node.attributes.get("perm", range(rank)[::-1]))
    if sorted(permutation) != list(range(rank)):
        node.refuse(f"has perm = {permutation}, no permutation of {rank} axes; correct it")
    return graph.emit(qgraph.TransposeOp(x, permutation), node)


# Quantised operators -------------------------------------------------------------------------------------------


def _weights(graph: Graph, node: Node, index: int) -> NDArray[Any]:
    values = graph.constant(node, index, "weights")
    if values.dtype not in (np.int8, np.uint8):
        node.refuse(f"has weights of type {values.dtype}; quantise them to int8 or uint8")
    return values


def _add_constant(graph: Graph, node: Node, values: NDArray[Any]) -> SSAValue:
    return graph.emit(qgraph.ConstantOp(values), node)


def _quantised_parameters(
    graph: Graph, node: Node, x: SSAValue, weights: NDArray[Any], indices: Sequence[int]
) -> tuple[NDArray[np.float32], int, NDArray[Any], NDArray[Any]]:
    """Combined scale, x_zero, w_zero, y_zero; ``indices`` names the inputs with scale and zero of x, w and y."""
    x_scale = single(node, graph.scale(node, indices[0], "input scale"), "input scale")
    y_scale = single(node, graph.scale(node, indices[4], "output scale"), "output scale")
    scale = qgraph.combined_scale(x_scale, graph.scale(node, indices[2], "weight scale"), y_scale)
    x_zero = graph.zero_point(node, indices[1], "input zero point", qgraph.dtype_of(x))
    w_zero = graph.zero_point(node, indices[3], "weight zero point", weights.dtype)
    y_zero = graph.zero_point(node, indices[5], "output zero point")
    single(node, y_zero, "output zero point")
    return scale, int(single(node, x_zero, "input zero point")), w_zero, y_zero


def _sum_bias(graph: Graph, node: Node, index: int, channels: int) -> SSAValue | None:
    """The bias of a quantised operator, int32 in units of the sum."""
    bias = _bias(graph, node, index, channels)
    if bias is not None and qgraph.dtype_of(bias) != np.int32:
        node.refuse(f"has a bias of type {qgraph.dtype_of(bias)}; store it as int32")
    return bias


def _qlinear_conv(graph: Graph, node: Node) -> SSAValue:
    x, weights = graph.quantised_input(node, 0), _weights(graph, node, 3)
    window, groups, shape = conv_geometry(node, x, weights.shape)
    scale, x_zero, w_zero, y_zero = _quantised_parameters(graph, node, x, weights, (1, 2, 4, 5, 6, 7))
    y = result_type(shape, y_zero, node)
    properties = qgraph.requantising_properties(x_zero, w_zero, scale, int(y_zero[0]), y)
    properties |= {**window, "groups": qgraph.integer(groups)}
    w = _add_constant(graph, node, weights)
    return graph.emit(qgraph.QConvOp(x, w, _sum_bias(graph, node, 8, shape[1]), properties, y), node)


def _qdense(graph: Graph, node: Node, transposed: bool, indices: Sequence[int], bias_index: int) -> SSAValue:
    x, weights = graph.quantised_input(node, 0), _weights(graph, node, 3)
    if weights.ndim != 2:
        node.refuse(f"has weights of shape {weights.shape}; only a matrix is supported")
    weights = weights if transposed else weights.T
    x_shape = qgraph.shape_of(x)
    if not x_shape or x_shape[-1] != weights.shape[1]:
        node.refuse(
            f"multiplies shapes {x_shape} and {weights.shape[::-1]}, whose inner sizes differ; correct the model"
        )
    scale, x_zero, w_zero, y_zero = _quantised_parameters(graph, node, x, weights, indices)
    y = result_type((*x_shape[:-1], weights.shape[0]), y_zero, node)
    properties = qgraph.requantising_properties(x_zero, w_zero, scale, int(y_zero[0]), y)
    w = _add_constant(graph, node, np.ascontiguousarray(weights))
    bias = _sum_bias(graph, node, bias_index, weights.shape[0])
    return graph.emit(qgraph.QDenseOp(x, w, bias, properties, y), node)


def _qlinear_matmul(graph: Graph, node: Node) -> SSAValue:
    weights = graph.known(node.inputs[3]) if node.has_input(3) else None
    if node.has_input(3) and (weights is None or weights.ndim != 2):
        return onnx_quantised.matmul(graph, node)
    return _qdense(graph, node, False, (1, 2, 4, 5, 6, 7), 8)


def _qgemm(graph: Graph, node: Node) -> SSAValue:
    _refuse_scaled_gemm(node)
    if not node.has_input(7):
        node.refuse("gives float32; add its output scale and zero point")
    transposed = bool(node.attributes.get("transB", 0))
    return _qdense(graph, node, transposed, (1, 2, 4, 5, 7, 8), 6)


IMPORTERS: dict[str, Importer] = {
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Relu": _relu,
    "Clip": _clip,
    "MaxPool": _max_pool,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "QLinearConv": _qlinear_conv,
    "QLinearMatMul": _qlinear_matmul,
    "QGemm": _qgemm,
    "Scan": scan,
    **onnx_floats.IMPORTERS,
    **onnx_movement.IMPORTERS,
    **onnx_quantised.IMPORTERS,
}
"""Every operator that is supported, by ONNX name."""
