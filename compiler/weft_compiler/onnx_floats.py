"""Importers of ONNX's float operators, which their neighbours may quantise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from xdsl.ir import SSAValue

from .dialects import floats, movement, qgraph
from .onnx_graph import Graph, Node, axis_of
from .onnx_quantised import softmax_along
from .onnx_windows import pool_geometry, transpose_geometry

Importer = Callable[[Graph, Node], SSAValue]


def _function(name: str, *attributes: tuple[str, float]) -> Importer:
    """An importer of a function of each element, with the defaults of its attributes."""

    def importer(graph: Graph, node: Node) -> SSAValue:
        numbers = [float(node.attributes.get(key, default)) for key, default in attributes]
        return graph.emit(floats.UnaryOp(name, graph.float_input(node, 0), numbers), node)

    return importer


def _gelu(graph: Graph, node: Node) -> SSAValue:
    name = "gelu_tanh" if node.text("approximate", "none") == "tanh" else "gelu"
    return graph.emit(floats.UnaryOp(name, graph.float_input(node, 0)), node)


def _biased_gelu(name: str) -> Importer:
    def importer(graph: Graph, node: Node) -> SSAValue:
        x = graph.float_input(node, 0)
        if node.has_input(1):
            x = graph.emit(floats.BinaryOp("add", x, graph.float_input(node, 1)), node)
        return graph.emit(floats.UnaryOp(name, x), node)

    return importer


def _binary(name: str) -> Importer:
    def importer(graph: Graph, node: Node) -> SSAValue:
        result = graph.float_input(node, 0)
        for k in range(1, len(node.inputs)):
            result = _combined(graph, node, name, result, graph.float_input(node, k))
        return result

    return importer


def _combined(graph: Graph, node: Node, name: str, a: SSAValue, b: SSAValue) -> SSAValue:
    try:
        np.broadcast_shapes(qgraph.shape_of(a), qgraph.shape_of(b))
    except ValueError:
        node.refuse(f"combines shapes {qgraph.shape_of(a)} and {qgraph.shape_of(b)}; one must broadcast to the other")
    return graph.emit(floats.BinaryOp(name, a, b), node)


def matmul(graph: Graph, node: Node, a: SSAValue, b: SSAValue) -> SSAValue:
    """MatMul of two tensors that are computed, or of stacks of matrices; vectors become matrices around it."""
    left, right = qgraph.shape_of(a), qgraph.shape_of(b)
    if not left or not right or left[-1] != right[-2 if len(right) > 1 else 0]:
        node.refuse(f"multiplies shapes {left} and {right}, whose inner sizes differ; correct the model")
    if len(left) == 1:
        a = graph.emit(qgraph.ReshapeOp(a, (1, *left)), node)
    if len(right) == 1:
        b = graph.emit(qgraph.ReshapeOp(b, (*right, 1)), node)
    try:
        made = graph.emit(floats.MatMulOp(a, b), node)
    except ValueError:
        node.refuse(f"multiplies shapes {left} and {right}, whose leading axes do not broadcast; correct the model")
    shape = list(qgraph.shape_of(made))
    if len(left) == 1:
        del shape[-2]
    if len(right) == 1:
        del shape[-1]
    return made if tuple(shape) == qgraph.shape_of(made) else graph.emit(qgraph.ReshapeOp(made, shape), node)


def _reduction(name: str) -> Importer:
    def importer(graph: Graph, node: Node) -> SSAValue:
        x = graph.float_input(node, 0)
        shape = qgraph.shape_of(x)
        given = node.attributes.get("axes")
        if given is None and node.has_input(1):
            given = graph.constant(node, 1, "axes").reshape(-1).tolist()
        if not given and node.attributes.get("noop_with_empty_axes", 0):
            return x
        axes = sorted({int(axis) % len(shape) for axis in given}) if given else list(range(len(shape)))
        keep = bool(node.attributes.get("keepdims", 1))
        kept = [1 if k in axes else n for k, n in enumerate(shape) if keep or k not in axes]
        return graph.emit(floats.ReduceOp(name, x, axes, qgraph.tensor_type(kept, np.float32)), node)

    return importer


def _softmax(graph: Graph, node: Node) -> SSAValue:
    x = graph.float_input(node, 0)
    flattened = graph.opset < 13
    axis = axis_of(node, len(qgraph.shape_of(x)), 1 if flattened else -1)
    return softmax_along(graph, node, x, axis, flattened, lambda z: graph.emit(floats.SoftmaxOp(z), node))


def _scaled(graph: Graph, node: Node, x: SSAValue, scale: SSAValue | None, bias: SSAValue | None) -> SSAValue:
    """``x · scale + bias``."""
    if scale is not None:
        x = _combined(graph, node, "mul", x, scale)
    return x if bias is None else _combined(graph, node, "add", x, bias)


def _layer_normalization(graph: Graph, node: Node) -> SSAValue:
    return normalized(graph, node, graph.float_input(node, 0), 1, 2)


def normalized(graph: Graph, node: Node, x: SSAValue, scale: int, bias: int) -> SSAValue:
    """Layer normalisation over the axes from the attribute's on; ``scale`` and ``bias`` are input numbers."""
    shape = qgraph.shape_of(x)
    axis = axis_of(node, len(shape), -1)
    rows = (*shape[:axis], int(np.prod(shape[axis:])))
    if rows != shape:
        x = graph.emit(qgraph.ReshapeOp(x, rows), node)
    affine = [graph.optional(node, index) for index in (scale, bias)]
    given = [value for value in affine if value is not None]
    size = int(np.prod(shape[axis:]))
    if any(int(np.prod(qgraph.shape_of(value))) != size for value in given):
        node.refuse(f"has scales or biases of other shapes than its rows of {size} elements; broadcast them")
    if len(given) == 1:
        # A scale alone: adding 0 changes nothing.
        given.append(graph.emit(qgraph.ConstantOp(np.zeros(size, np.float32)), node))
    x = graph.emit(floats.NormalizeOp(x, float(node.attributes.get("epsilon", 1e-5)), given), node)
    return x if rows == shape else graph.emit(qgraph.ReshapeOp(x, shape), node)


def _skip_layer_normalization(graph: Graph, node: Node) -> SSAValue:
    x = _combined(graph, node, "add", graph.float_input(node, 0), graph.float_input(node, 1))
    if node.has_input(4):
        x = _combined(graph, node, "add", x, graph.float_input(node, 4))
    return normalized(graph, node, x, 2, 3)


def _instance_normalization(graph: Graph, node: Node) -> SSAValue:
    x = graph.float_input(node, 0)
    images, channels, *plane = shape = qgraph.shape_of(x)
    x = graph.emit(qgraph.ReshapeOp(x, (images, channels, int(np.prod(plane)))), node)
    x = graph.emit(floats.NormalizeOp(x, float(node.attributes.get("epsilon", 1e-5))), node)
    x = graph.emit(qgraph.ReshapeOp(x, shape), node)
    column = (channels, *(1 for _ in plane))
    scale, bias = (graph.emit(qgraph.ReshapeOp(graph.float_input(node, k), column), node) for k in (1, 2))
    return _scaled(graph, node, x, scale, bias)


def _batch_normalization(graph: Graph, node: Node) -> SSAValue:
    """A scale and a shift of each channel."""
    x = graph.float_input(node, 0)
    if node.attributes.get("training_mode", 0):
        node.refuse("has training_mode = 1; export the model for inference")
    scale, bias, mean, variance = (
        graph.constant(node, k, name).astype(np.float32)
        for k, name in ((1, "scale"), (2, "bias"), (3, "mean"), (4, "variance"))
    )
    factor = scale / np.sqrt(variance + np.float32(node.attributes.get("epsilon", 1e-5)))
    shift = (bias - mean * factor).astype(np.float32)
    column = (-1, *(1 for _ in qgraph.shape_of(x)[2:]))
    constants = [graph.emit(qgraph.ConstantOp(v.astype(np.float32).reshape(column)), node) for v in (factor, shift)]
    return _scaled(graph, node, x, constants[0], constants[1])


def _average_pool(graph: Graph, node: Node) -> SSAValue:
    x = graph.float_input(node, 0)
    kernel, window, shape = pool_geometry(node, x)
    y = qgraph.tensor_type(shape, np.float32)
    include_pad = bool(node.attributes.get("count_include_pad", 0))
    return graph.emit(floats.AveragePoolOp(x, kernel, window, include_pad, y), node)


def _global_average_pool(graph: Graph, node: Node) -> SSAValue:
    return graph.emit(floats.GlobalAveragePoolOp(graph.float_input(node, 0)), node)


def _conv_transpose(graph: Graph, node: Node) -> SSAValue:
    x, w = graph.float_input(node, 0), graph.float_input(node, 1)
    geometry, groups, shape = transpose_geometry(node, x, qgraph.shape_of(w))
    bias = graph.optional(node, 2)
    y = qgraph.tensor_type(shape, np.float32)
    return graph.emit(floats.ConvTransposeOp(x, w, bias, geometry, groups, y), node)


def _zeros(graph: Graph, node: Node, index: int, shape: Sequence[int]) -> SSAValue:
    """An optional input, or zeros."""
    if node.has_input(index):
        return graph.float_input(node, index)
    return graph.emit(qgraph.ConstantOp(np.zeros(shape, np.float32)), node)


_ACTIVATIONS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def _recurrent(graph: Graph, node: Node) -> Sequence[SSAValue]:
    """An LSTM, GRU or RNN: all steps' hidden states, the last one, and an LSTM's last cell state."""
    x, w, r = (graph.float_input(node, k) for k in range(3))
    cell, direction = node.op, node.text("direction", "forward")
    _refuse_recurrent_extras(node)
    (steps, batch, _), (directions, _, hidden) = qgraph.shape_of(x), qgraph.shape_of(r)
    state = (directions, batch, hidden)
    operands: list[Any] = [x, w, r, _zeros(graph, node, 3, (directions, 2 * _GATES[cell] * hidden))]
    operands += [_zeros(graph, node, 5, state), _zeros(graph, node, 6, state) if cell == "LSTM" else None]
    y = qgraph.tensor_type((steps, directions, batch, hidden * (1 if cell == "RNN" else 2)), np.float32)
    linear = bool(node.attributes.get("linear_before_reset", 0))
    made = graph.emit(floats.RecurrentOp(cell, operands, direction, y, linear), node)
    hidden_states = made if cell == "RNN" else _part(graph, node, made, 3, 0, hidden)
    results = [hidden_states, _last(graph, node, hidden_states, direction)]
    if cell == "LSTM":
        results.append(_last(graph, node, _part(graph, node, made, 3, hidden, hidden), direction))
    return results


def _refuse_recurrent_extras(node: Node) -> None:
    expected = _ACTIVATIONS[node.op] * (2 if node.text("direction", "forward") == "bidirectional" else 1)
    activations = tuple(a.decode() for a in node.attributes.get("activations", ())) or expected
    if activations != expected:
        node.refuse(f"has activations {', '.join(activations)}; only {', '.join(expected)} are supported")
    for name, neutral in (("clip", None), ("input_forget", 0), ("layout", 0)):
        if node.attributes.get(name, neutral) != neutral:
            node.refuse(f"has {name} = {node.attributes[name]}, which is not supported; leave it out")
    if node.has_input(4):
        node.refuse("has sequence_lens; only sequences of full length are supported, leave it out")
    if node.has_input(7):
        node.refuse("has peepholes, which are not supported; leave them out")


def _part(graph: Graph, node: Node, x: SSAValue, axis: int, first: int, count: int) -> SSAValue:
    """``count`` indices of one axis."""
    shape = list(qgraph.shape_of(x))
    starts, shape[axis] = [0] * len(shape), count
    starts[axis] = first
    return graph.emit(movement.SliceOp(x, starts, [1] * len(shape), shape), node)


def _last(graph: Graph, node: Node, states: SSAValue, direction: str) -> SSAValue:
    """Each direction's state after its last step: of a reverse one, that is the first in time."""
    steps, directions, batch, hidden = qgraph.shape_of(states)
    ends = {"forward": [steps - 1], "reverse": [0], "bidirectional": [steps - 1, 0]}[direction]
    parts = []
    for k, end in enumerate(ends):
        part = _part(graph, node, _part(graph, node, states, 0, end, 1), 1, k, 1)
        parts.append(graph.emit(qgraph.ReshapeOp(part, (1, batch, hidden)), node))
    return parts[0] if directions == 1 else graph.emit(movement.ConcatOp(parts, 0), node)


IMPORTERS: dict[str, Callable[[Graph, Node], SSAValue | Sequence[SSAValue]]] = {
    "Abs": _function("abs"),
    "Ceil": _function("ceil"),
    "Elu": _function("elu", ("alpha", 1.0)),
    "Erf": _function("erf"),
    "Exp": _function("exp"),
    "Floor": _function("floor"),
    "HardSigmoid": _function("hard_sigmoid", ("alpha", 0.2), ("beta", 0.5)),
    "HardSwish": _function("hard_swish"),
    "LeakyRelu": _function("leaky_relu", ("alpha", 0.01)),
    "Log": _function("log"),
    "Mish": _function("mish"),
    "Neg": _function("neg"),
    "Reciprocal": _function("reciprocal"),
    "Round": _function("round"),
    "Sigmoid": _function("sigmoid"),
    "Softplus": _function("softplus"),
    "Softsign": _function("softsign"),
    "Sqrt": _function("sqrt"),
    "Swish": _function("swish", ("alpha", 1.0)),
    "QuickGelu": _function("swish", ("alpha", 1.702)),
    "Tanh": _function("tanh"),
    "Gelu": _gelu,
    "BiasGelu": _biased_gelu("gelu"),
    "FastGelu": _biased_gelu("gelu_tanh"),
    "Add": _binary("add"),
    "Sub": _binary("sub"),
    "Mul": _binary("mul"),
    "Div": _binary("div"),
    "Pow": _binary("pow"),
    "Min": _binary("min"),
    "Max": _binary("max"),
    "Sum": _binary("add"),
    "ReduceMean": _reduction("mean"),
    "ReduceSum": _reduction("sum"),
    "ReduceMax": _reduction("max"),
    "ReduceMin": _reduction("min"),
    "Softmax": _softmax,
    "LayerNormalization": _layer_normalization,
    "SkipLayerNormalization": _skip_layer_normalization,
    "InstanceNormalization": _instance_normalization,
    "BatchNormalization": _batch_normalization,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _global_average_pool,
    "ConvTranspose": _conv_transpose,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
}
"""Importers by operator."""
