"""ONNX Scan: its body once for each element of the sequences that it reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from xdsl.ir import SSAValue

from .dialects import movement, qgraph
from .onnx_graph import Graph, Node, constants_of

Operand = SSAValue | NDArray[Any]
"""A value, or a tensor that is known at compile time."""

MAX_UNROLLED_NODES = 4_000
"""Nodes that the body of one Scan may become: compiling takes ten milliseconds and more for each."""


@dataclass(frozen=True)
class _Sequence:
    """A tensor that is read, or written, one element after another along an axis."""

    axis: int
    reverse: bool

    def element(self, graph: Graph, node: Node, x: Operand, k: int) -> Operand:
        """What iteration ``k`` reads."""
        shape = _shape(x)
        at = shape[self.axis] - 1 - k if self.reverse else k
        if isinstance(x, np.ndarray):
            return np.asarray(np.take(x, at, self.axis))
        starts, size = [0] * len(shape), list(shape)
        starts[self.axis], size[self.axis] = at, 1
        part = graph.emit(movement.SliceOp(x, starts, [1] * len(shape), size), node)
        return graph.emit(qgraph.ReshapeOp(part, _without(shape, self.axis)), node)

    def stack(self, graph: Graph, node: Node, elements: Sequence[Operand]) -> Operand:
        """The elements that the iterations wrote, in their order."""
        if self.reverse:
            elements = elements[::-1]
        arrays = [x for x in elements if isinstance(x, np.ndarray)]
        if len(arrays) == len(elements):
            return np.stack(arrays, self.axis)
        parts: list[SSAValue] = []
        for x in elements:
            value = graph.emit(qgraph.ConstantOp(x), node) if isinstance(x, np.ndarray) else x
            shape = qgraph.shape_of(value)
            parts.append(graph.emit(qgraph.ReshapeOp(value, (*shape[: self.axis], 1, *shape[self.axis :])), node))
        return parts[0] if len(parts) == 1 else graph.emit(movement.ConcatOp(parts, self.axis), node)


def scan(graph: Graph, node: Node) -> list[Operand]:
    """Unroll a Scan; the types of its sequences say how often.

    The nodes of iteration k are named ``scan/k/node``. A body sees the names around it, and what is constant in it is
    folded as outside.

    Returns
    -------
    list of SSAValue or numpy.ndarray
        The last states, then the stacked outputs.

    Raises
    ------
    CompileError
        If it has the form of opset 8, contradicts itself, or becomes more than `MAX_UNROLLED_NODES`.

    Source
    ------
    ONNX operator specification, Scan-9 and later.
    """
    if graph.opset < 9:
        node.refuse(
            f"has the form of opset {graph.opset}, with a batch of its own; convert the model to opset 9 or later"
        )
    body, count = node.attributes["body"], int(node.attributes["num_scan_inputs"])
    _check_counts(node, body, count)
    operands = [graph.operand(node, k) for k in range(len(node.inputs))]
    states, inputs = operands[:-count], operands[-count:]
    reads = _sequences(node, "scan_input", [len(_shape(x)) for x in inputs])
    length = _length(graph, node, body, [_shape(x)[read.axis] for x, read in zip(inputs, reads, strict=True)])
    around = graph.inner(constants_of(body), copies=graph.copies * length)
    written: list[list[Operand]] = []
    for k in range(length):
        elements = [read.element(graph, node, x, k) for x, read in zip(inputs, reads, strict=True)]
        results = _iteration(around, node, body, k, [*states, *elements])
        _check_states(node, body, states, results)
        states = results[: len(states)]
        written.append(results[len(states) :])
    writes = _sequences(node, "scan_output", [len(_shape(x)) + 1 for x in written[0]])
    stacked = [write.stack(graph, node, x) for write, x in zip(writes, zip(*written, strict=True), strict=True)]
    return [*states, *stacked]


def _iteration(around: Graph, node: Node, body: onnx.GraphProto, k: int, given: Sequence[Operand]) -> list[Operand]:
    """Import the body once; gives what its outputs are."""
    names = {info.name: x for info, x in zip(body.input, given, strict=True)}
    scope = around.inner(names, prefix=f"{node.name}/{k}/")
    scope.import_nodes(scope, body)
    return [scope.names[info.name] for info in body.output]


def _check_counts(node: Node, body: onnx.GraphProto, count: int) -> None:
    inputs, states = len(node.inputs), len(node.inputs) - count
    if count < 1 or states < 0:
        node.refuse(f"has num_scan_inputs = {count} of {inputs} inputs; it must be 1..{inputs}, correct it")
    if len(body.input) != inputs:
        node.refuse(f"has {inputs} inputs and a body of {len(body.input)}; give both the same number")
    if len(body.output) < states:
        node.refuse(f"has {states} states and a body of {len(body.output)} outputs; let the body give every state")


def _sequences(node: Node, what: str, ranks: Sequence[int]) -> list[_Sequence]:
    """Axis and direction of each sequence, ``what`` being scan_input or scan_output."""
    axes = node.attributes.get(f"{what}_axes", [0] * len(ranks))
    directions = node.attributes.get(f"{what}_directions", [0] * len(ranks))
    for name, values in (("axes", axes), ("directions", directions)):
        if len(values) != len(ranks):
            node.refuse(f"has {len(values)} {what}_{name} for {len(ranks)} sequences; give each its own")
    for axis, rank in zip(axes, ranks, strict=True):
        if not -rank <= axis < rank:
            node.refuse(f"has a {what}_axes of {axis}, outside the {rank} dimensions of its sequence; correct it")
    for direction in directions:
        if direction not in (0, 1):
            node.refuse(f"has a {what}_directions of {direction}; use 0 for forward or 1 for reverse")
    return [_Sequence(axis % rank, bool(way)) for axis, rank, way in zip(axes, ranks, directions, strict=True)]


def _length(graph: Graph, node: Node, body: onnx.GraphProto, lengths: Sequence[int]) -> int:
    """How many iterations there are."""
    length = lengths[0]
    if set(lengths) != {length}:
        node.refuse(f"reads sequences of {', '.join(map(str, lengths))} elements; give them one length")
    if length < 1:
        node.refuse("reads sequences of 0 elements; give them 1 or more, or leave it out")
    nodes = graph.copies * len(body.node)
    if nodes * length > MAX_UNROLLED_NODES:
        node.refuse(
            f"becomes {nodes * length} nodes, {nodes} for each of its {length} elements, which exceeds "
            f"{MAX_UNROLLED_NODES}; scan shorter sequences, or compile its body as a network and run that in a loop"
        )
    return length


def _check_states(node: Node, body: onnx.GraphProto, states: Sequence[Operand], results: Sequence[Operand]) -> None:
    for info, before, after in zip(body.input, states, results, strict=False):
        if _type(before) != _type(after):
            node.refuse(
                f"has a state {info.name!r} that begins as {_type(before)} and becomes {_type(after)}; "
                "a state keeps its type, correct the body or what it begins with"
            )


def _shape(x: Operand) -> tuple[int, ...]:
    return x.shape if isinstance(x, np.ndarray) else qgraph.shape_of(x)


def _type(x: Operand) -> str:
    dtype = x.dtype if isinstance(x, np.ndarray) else qgraph.dtype_of(x)
    return f"{dtype} of shape {_shape(x)}"


def _without(shape: Sequence[int], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], *shape[axis + 1 :])
