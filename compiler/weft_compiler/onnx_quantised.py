"""Importers of onnxruntime's quantised operators (QOperator format) beside convolution and matrix product."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from xdsl.ir import SSAValue

from .dialects import movement, qgraph, quantised
from .onnx_graph import Graph, Node, axis_of, result_type, single
from .onnx_windows import conv_geometry, pool_geometry
from .tables import function_table, requantisation_table
from .te.functions import FUNCTIONS


def _pair(graph: Graph, node: Node) -> tuple[SSAValue, SSAValue, tuple[Any, Any], tuple[int, int], Any, Any]:
    """Both inputs, their scales and zero points, and those of the result."""
    a, b = graph.quantised_input(node, 0), graph.quantised_input(node, 3)
    a_scale, a_zero = graph.quantisation(node, 1, "first", qgraph.dtype_of(a))
    b_scale, b_zero = graph.quantisation(node, 4, "second", qgraph.dtype_of(b))
    y_scale, y_zero = graph.quantisation(node, 6, "output")
    return a, b, (a_scale, b_scale), (int(a_zero), int(b_zero)), y_scale, y_zero


def _broadcast(node: Node, a: SSAValue, b: SSAValue) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(qgraph.shape_of(a), qgraph.shape_of(b))
    except ValueError:
        node.refuse(f"combines shapes {qgraph.shape_of(a)} and {qgraph.shape_of(b)}, which do not broadcast")


def _qadd(graph: Graph, node: Node) -> SSAValue:
    a, b, scales, zeros, y_scale, y_zero = _pair(graph, node)
    y = result_type(_broadcast(node, a, b), np.atleast_1d(y_zero), node)
    return graph.emit(quantised.qadd(a, b, scales, zeros, y_scale, int(y_zero), y), node)


def _qmul(graph: Graph, node: Node) -> SSAValue:
    a, b, scales, zeros, y_scale, y_zero = _pair(graph, node)
    y = result_type(_broadcast(node, a, b), np.atleast_1d(y_zero), node)
    scale = qgraph.combined_scale(scales[0], scales[1], y_scale)
    return graph.emit(quantised.QMulOp(a, b, scale, zeros, int(y_zero), y), node)


def matmul(graph: Graph, node: Node) -> SSAValue:
    """QLinearMatMul of two tensors that are computed, or of stacks of matrices."""
    a, b, scales, zeros, y_scale, y_zero = _pair(graph, node)
    left, right = qgraph.shape_of(a), qgraph.shape_of(b)
    if len(left) < 2 or len(right) < 2 or left[-1] != right[-2]:
        node.refuse(f"multiplies shapes {left} and {right}, whose inner sizes differ; correct the model")
    try:
        shape = (*np.broadcast_shapes(left[:-2], right[:-2]), left[-2], right[-1])
    except ValueError:
        node.refuse(f"multiplies shapes {left} and {right}, whose leading axes do not broadcast; correct the model")
    y = result_type(shape, np.atleast_1d(y_zero), node)
    scale = qgraph.combined_scale(scales[0], scales[1], y_scale)
    return graph.emit(quantised.QMatMulOp(a, b, np.atleast_1d(scale), zeros, int(y_zero), y), node)


def _integer_zeros(graph: Graph, node: Node, a: SSAValue, b: SSAValue) -> tuple[int, Any]:
    """Zero points of an integer operator's inputs: one of the first, one or several of the second."""
    first = graph.zero_point(node, 2, "input zero point", qgraph.dtype_of(a))
    second = graph.zero_point(node, 3, "weight zero point", qgraph.dtype_of(b))
    return int(single(node, first, "input zero point")), second


def _conv_integer(graph: Graph, node: Node) -> SSAValue:
    x, w = graph.quantised_input(node, 0), graph.quantised_input(node, 1)
    window, groups, shape = conv_geometry(node, x, qgraph.shape_of(w))
    zeros = _integer_zeros(graph, node, x, w)
    return graph.emit(quantised.ConvIntegerOp(x, w, window, groups, zeros, shape), node)


def _matmul_integer(graph: Graph, node: Node) -> SSAValue:
    a, b = graph.quantised_input(node, 0), graph.quantised_input(node, 1)
    left, right = qgraph.shape_of(a), qgraph.shape_of(b)
    if len(left) < 2 or len(right) < 2:
        node.refuse(f"multiplies shapes {left} and {right}; only matrices are supported, reshape them")
    return graph.emit(quantised.MatMulIntegerOp(a, b, _integer_zeros(graph, node, a, b)), node)


def _function(name: str, *attributes: tuple[str, float]) -> Callable[[Graph, Node], SSAValue]:
    """An importer of a function of one tensor, with the defaults of its attributes."""

    def importer(graph: Graph, node: Node) -> SSAValue:
        x = graph.quantised_input(node, 0)
        source = graph.quantisation(node, 1, "input", qgraph.dtype_of(x))
        target = graph.quantisation(node, 3, "output")
        result_type((), np.atleast_1d(target[1]), node)
        numbers = [float(node.attributes.get(key, default)) for key, default in attributes]
        table = function_table(lambda v: FUNCTIONS[name](v, *numbers), qgraph.dtype_of(x), source, target)
        return graph.emit(quantised.LookupOp(x, table), node)

    return importer


def _concat(graph: Graph, node: Node) -> SSAValue:
    y_scale, y_zero = graph.quantisation(node, 0, "output")
    result_type((), np.atleast_1d(y_zero), node)
    parts = []
    for k in range(2, len(node.inputs), 3):
        x = graph.quantised_input(node, k)
        source = graph.quantisation(node, k + 1, f"part {len(parts)}", qgraph.dtype_of(x))
        if not quantised.same_quantisation(source, (y_scale, y_zero)):
            table = requantisation_table(qgraph.dtype_of(x), source, (y_scale, y_zero))
            x = graph.emit(quantised.LookupOp(x, table), node)
        parts.append(x)
    if "axis" not in node.attributes:
        node.refuse("has no axis; name one")
    return graph.emit(movement.ConcatOp(parts, axis_of(node, len(qgraph.shape_of(parts[0])), 0)), node)


def _channels_first(node: Node) -> None:
    if node.attributes.get("channels_last", 0):
        node.refuse("has channels_last = 1; only channels behind the batch are supported, transpose around it")


def _global_average_pool(graph: Graph, node: Node) -> SSAValue:
    _channels_first(node)
    x = graph.quantised_input(node, 0)
    x_scale, x_zero = graph.quantisation(node, 1, "input", qgraph.dtype_of(x))
    y_scale, y_zero = graph.quantisation(node, 3, "output")
    result_type((), np.atleast_1d(y_zero), node)
    return graph.emit(quantised.qglobal_average_pool(x, (x_scale, x_zero), (y_scale, y_zero)), node)


def _average_pool(graph: Graph, node: Node) -> SSAValue:
    _channels_first(node)
    x = graph.quantised_input(node, 0)
    x_scale, x_zero = graph.quantisation(node, 1, "input", qgraph.dtype_of(x))
    y_scale, y_zero = graph.quantisation(node, 3, "output")
    kernel, window, shape = pool_geometry(node, x)
    y = result_type(shape, np.atleast_1d(y_zero), node)
    include_pad = bool(node.attributes.get("count_include_pad", 0))
    zeros = int(x_zero), int(y_zero)
    return graph.emit(quantised.QAveragePoolOp(x, kernel, window, include_pad, (x_scale, y_scale), zeros, y), node)


def _softmax(graph: Graph, node: Node) -> SSAValue:
    x = graph.quantised_input(node, 0)
    x_scale, _ = graph.quantisation(node, 1, "input", qgraph.dtype_of(x))
    y_scale, y_zero = graph.quantisation(node, 3, "output")
    flattened = int(node.attributes.get("opset", 13)) < 13
    axis = axis_of(node, len(qgraph.shape_of(x)), 1 if flattened else -1)

    def along_last(z: SSAValue) -> SSAValue:
        y = result_type(qgraph.shape_of(z), np.atleast_1d(y_zero), node)
        return graph.emit(quantised.QSoftmaxOp(z, x_scale, y_scale, int(y_zero), y), node)

    return softmax_along(graph, node, x, axis, flattened, along_last)


def softmax_along(
    graph: Graph, node: Node, x: SSAValue, axis: int, flattened: bool, along_last: Callable[[SSAValue], SSAValue]
) -> SSAValue:
    """A softmax along any axis, or over all from it on with ``flattened``, by one along the last."""
    shape = qgraph.shape_of(x)
    if flattened:
        matrix = (int(np.prod(shape[:axis])), int(np.prod(shape[axis:])))
        made = along_last(graph.emit(qgraph.ReshapeOp(x, matrix), node))
        return graph.emit(qgraph.ReshapeOp(made, shape), node)
    if axis == len(shape) - 1:
        return along_last(x)
    permutation: Sequence[int] = list(range(len(shape)))
    permutation = [len(shape) - 1 if k == axis else axis if k == len(shape) - 1 else k for k in permutation]
    made = along_last(graph.emit(qgraph.TransposeOp(x, permutation), node))
    return graph.emit(qgraph.TransposeOp(made, permutation), node)


IMPORTERS: dict[str, Callable[[Graph, Node], SSAValue]] = {
    "QLinearAdd": _qadd,
    "QLinearMul": _qmul,
    "QLinearSigmoid": _function("sigmoid"),
    "QLinearLeakyRelu": _function("leaky_relu", ("alpha", 0.01)),
    "QLinearConcat": _concat,
    "QLinearGlobalAveragePool": _global_average_pool,
    "QLinearAveragePool": _average_pool,
    "QLinearSoftmax": _softmax,
    "ConvInteger": _conv_integer,
    "MatMulInteger": _matmul_integer,
}
"""Importers by operator."""
