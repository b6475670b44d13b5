"""What the importer knows while it walks an ONNX graph: values, constants, and how to complain about a node."""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import numpy as np
import onnx
from numpy.typing import NDArray
from xdsl.dialects.builtin import TensorType
from xdsl.ir import Block, Operation, SSAValue
from xdsl.utils.exceptions import VerifyException

from .dialects import qgraph
from .errors import CompileError

MAX_TENSOR_BYTES = 1 << 31
"""Bytes of one tensor: sizes, offsets and counts of operations then stay far from the limits of 64 bits."""


@dataclass(frozen=True)
class Node:
    """One ONNX node with its attributes decoded."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]

    @classmethod
    def of(cls, proto: onnx.NodeProto, prefix: str = "") -> Node:
        name = prefix + (proto.name or (proto.output[0] if proto.output else "?"))
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
        return cls(proto.op_type, name, tuple(proto.input), tuple(proto.output), attributes)

    def __str__(self) -> str:
        return f"node {self.name!r} ({self.op})"

    def refuse(self, reason: str) -> NoReturn:
        """Raise a `CompileError` about this node; ``reason`` continues the sentence."""
        raise CompileError(f"{self} {reason}")

    def text(self, name: str, default: str) -> str:
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else str(value)

    def has_input(self, index: int) -> bool:
        """Whether an optional input is connected."""
        return index < len(self.inputs) and self.inputs[index] != ""


@dataclass
class Graph:
    """The growing function body, as one ONNX graph sees it.

    Parameters
    ----------
    block : Block
        The body of ``@main``.
    names : ChainMap
        What every ONNX name stands for so far, this graph's own first, then those around it: an SSA value, or the
        tensor where it is known at compile time.
    opset : int
        Version of ONNX's own operators.
    import_nodes : callable
        Appends the nodes of an ONNX graph to a `Graph`; for operators that have bodies.
    prefix : str
        Stands before the names of nodes: one body may be imported many times.
    copies : int
        How many times this graph is imported in all.
    emitted : dict
        The `qgraph.constant` of each tensor, by ``id``, beside the tensor, which keeps its ``id`` its own.
    """

    block: Block
    names: ChainMap[str, SSAValue | NDArray[Any]]
    opset: int
    import_nodes: Callable[[Graph, onnx.GraphProto], None]
    prefix: str = ""
    copies: int = 1
    emitted: dict[int, tuple[NDArray[Any], SSAValue]] = field(default_factory=dict)

    def inner(self, names: dict[str, SSAValue | NDArray[Any]], **changes: Any) -> Graph:
        """The scope of a body, which sees all names of this one."""
        return replace(self, names=self.names.new_child(names), **changes)

    def known(self, name: str) -> NDArray[Any] | None:
        """The tensor of a name, if it is known at compile time."""
        what = self.names.get(name)
        return what if isinstance(what, np.ndarray) else None

    def emit(self, op: Operation, node: Node) -> SSAValue:
        """Append an operation that belongs to a node.

        Raises
        ------
        CompileError
            If its types and parameters contradict each other, or its result exceeds `MAX_TENSOR_BYTES`.
        """
        try:
            op.verify()
        except VerifyException as error:
            node.refuse(f"is inconsistent ({str(error).splitlines()[-1].strip()}); export the model again")
        shape, dtype = qgraph.shape_of(op.results[0]), qgraph.dtype_of(op.results[0])
        if math.prod(shape) * dtype.itemsize > MAX_TENSOR_BYTES:
            node.refuse(f"gives a tensor of shape {shape}, which exceeds {MAX_TENSOR_BYTES} bytes; reduce it")
        self.block.add_op(qgraph.describe(op, node.name, node.op))
        return op.results[0]

    def value(self, node: Node, index: int) -> SSAValue:
        """The SSA value of a node's input; constants become `qgraph.constant` where first used.

        Raises
        ------
        CompileError
            If the input is missing, or as `find`.
        """
        if not node.has_input(index):
            node.refuse(f"has no input {index}; complete the node")
        name = node.inputs[index]
        value = self.find(name)
        if value is None:
            node.refuse(f"reads {name!r}, which nothing before it produces; sort the graph or add the tensor")
        return value

    def find(self, name: str) -> SSAValue | None:
        """The SSA value of an ONNX name, or None if nothing produced it yet.

        Raises
        ------
        CompileError
            If it is a constant of an element type that the dialect has no tensors of.
        """
        what = self.names.get(name)
        if not isinstance(what, np.ndarray):
            return what
        if id(what) not in self.emitted:
            if not qgraph.has_dtype(what.dtype):
                raise CompileError(
                    f"tensor {name!r} has type {what.dtype}; convert it to int8, uint8, int32 or float32"
                )
            constant = qgraph.ConstantOp(what)
            self.block.add_op(qgraph.describe(constant, name, "Constant"))
            self.emitted[id(what)] = what, constant.y
        return self.emitted[id(what)][1]

    def operand(self, node: Node, index: int) -> SSAValue | NDArray[Any]:
        """As `value`, but a tensor that is known stays what it is."""
        known = self.known(node.inputs[index]) if node.has_input(index) else None
        return self.value(node, index) if known is None else known

    def optional(self, node: Node, index: int) -> SSAValue | None:
        """As `value`, or None where the input is not connected."""
        return self.value(node, index) if node.has_input(index) else None

    def float_input(self, node: Node, index: int) -> SSAValue:
        """As `value`, of float32."""
        x = self.value(node, index)
        if qgraph.dtype_of(x) != np.float32:
            node.refuse(f"works on {qgraph.dtype_of(x)} values; only float32 between quantisers is supported")
        return x

    def quantised_input(self, node: Node, index: int) -> SSAValue:
        """As `value`, of int8 or uint8."""
        x = self.value(node, index)
        if not qgraph.is_quantised(x):
            node.refuse(f"takes {qgraph.dtype_of(x)} values; its input must be int8 or uint8")
        return x

    def quantisation(self, node: Node, index: int, what: str, of: np.dtype[Any] | None = None) -> tuple[Any, Any]:
        """Scale and zero point of a tensor, inputs ``index`` and ``index + 1``; the zero point keeps its type."""
        scale = single(node, self.scale(node, index, f"{what} scale"), f"{what} scale")
        return scale, single(node, self.zero_point(node, index + 1, f"{what} zero point", of), f"{what} zero point")

    def constant(self, node: Node, index: int, what: str) -> NDArray[Any]:
        """The values of an input that must be known at compile time."""
        values = self.known(node.inputs[index]) if node.has_input(index) else None
        if values is None:
            node.refuse(f"computes its {what} at run time; make {what} a constant of the model")
        return values

    def scale(self, node: Node, index: int, what: str) -> NDArray[np.float32]:
        """A positive float32 scale, of one value or one for each channel."""
        values = self.constant(node, index, what).reshape(-1)
        if values.dtype == np.float16:
            values = values.astype(np.float32)
        if values.dtype != np.float32:
            node.refuse(f"has {what} of type {values.dtype}; store it as float32")
        bad = values[~(np.isfinite(values) & (values > 0))]
        if bad.size or not values.size:
            shown = bad[0] if bad.size else "nothing"
            node.refuse(f"has {what} = {shown}, which is not a positive number; quantise the model again")
        return values

    def zero_point(self, node: Node, index: int, what: str, of: np.dtype[Any] | None = None) -> NDArray[Any]:
        """A zero point with the type it is stored in; uint8 0 where it is not connected, as ONNX says.

        ``of`` is the type of the values it belongs to, where they have one already.
        """
        if not node.has_input(index):
            return np.zeros(1, np.uint8 if of is None else of)
        zero = self.constant(node, index, what).reshape(-1)
        if of is not None and zero.dtype != of:
            node.refuse(f"has a {what} of type {zero.dtype} for {of} values; store it as {of}")
        return zero


def axis_of(node: Node, rank: int, default: int, name: str = "axis") -> int:
    """An attribute that names an axis, counted from the front."""
    axis = int(node.attributes.get(name, default))
    if not -rank <= axis < rank:
        node.refuse(f"has {name} = {axis}, outside the {rank} dimensions of its input; correct it")
    return axis % rank


def single(node: Node, values: Sequence[Any] | NDArray[Any], what: str) -> Any:
    """The one value of a per-tensor parameter."""
    if len(values) != 1:
        node.refuse(f"has {len(values)} values of {what}; activations take one scale and one zero point")
    return values[0]


def result_type(shape: Sequence[int], zero_point: NDArray[Any], node: Node) -> TensorType:
    """The tensor type of a quantised result: its zero point's type decides."""
    if zero_point.dtype not in (np.int8, np.uint8):
        node.refuse(f"quantises to {zero_point.dtype}; use int8 or uint8")
    return qgraph.tensor_type(shape, zero_point.dtype)


def constants_of(graph: onnx.GraphProto) -> dict[str, SSAValue | NDArray[Any]]:
    """The tensors that an ONNX graph holds, by name.

    Raises
    ------
    CompileError
        If one is sparse, lies in another file or cannot be decoded.
    """
    constants: dict[str, SSAValue | NDArray[Any]] = {}
    if graph.sparse_initializer:
        raise CompileError("the model has sparse initializers; store them as dense tensors")
    for tensor in graph.initializer:
        constants[tensor.name] = _to_array(tensor)
    for node in graph.node:
        if node.op_type == "Constant" and len(node.output) == 1:
            for attribute in node.attribute:
                if attribute.name == "value":
                    constants[node.output[0]] = _to_array(attribute.t)
    return constants


def _to_array(tensor: onnx.TensorProto) -> NDArray[Any]:
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise CompileError(f"tensor {tensor.name!r} lies in another file; save the model with its data inside")
    try:
        return onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise CompileError(f"tensor {tensor.name!r} cannot be decoded ({error}); export the model again") from None
