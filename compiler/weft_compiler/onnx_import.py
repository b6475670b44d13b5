"""ONNX files to `qgraph`: one function ``@main`` over static tensors."""

from __future__ import annotations

import math
from collections import ChainMap, Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FunctionType, ModuleOp, StringAttr, TensorType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Region, SSAValue

from .dialects import qgraph
from .errors import CompileError
from .onnx_graph import MAX_TENSOR_BYTES, Graph, Node, constants_of
from .onnx_operators import IMPORTERS

FOLDED = ("Cast", "ConstantOfShape", "Equal", "Mod", "NonZero", "Range", "Shape", "Size", "Where")
"""Operators that compute shapes: of constants they become constants, otherwise they are refused."""

DOMAINS = ("", "ai.onnx", "com.microsoft")
"""Operator domains that nodes may come from."""


def import_onnx(source: str | Path | bytes, *, batch: int = 1) -> ModuleOp:
    """Read an ONNX model.

    Parameters
    ----------
    source : path or bytes
        A file, or its content.
    batch : int
        Takes the place of a symbolic first dimension of the inputs.

    Raises
    ------
    CompileError
        If the file is no ONNX model, has dynamic shapes beyond the batch, or a node that is not supported.
    """
    if batch < 1:
        raise CompileError(f"batch = {batch} is no batch size; choose 1 or more")
    model = _load(source)
    graph = model.graph
    constants = constants_of(graph)
    inputs = [info for info in graph.input if info.name not in constants]
    types = [_input_type(info, batch) for info in inputs]
    block = Block(arg_types=types)
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)
    arguments = {info.name: arg for info, arg in zip(inputs, block.args, strict=True)}
    state = Graph(block, ChainMap({**constants, **arguments}), opset, _import_nodes)
    _refuse_unknown(graph)
    _import_nodes(state, graph)
    outputs = [_output(state, info.name) for info in graph.output]
    _check_types(model)
    block.add_op(ReturnOp(*outputs))
    function = FuncOp(
        "main",
        FunctionType.from_lists(types, [value.type for value in outputs]),
        Region(block),
        arg_attrs=_names(inputs),
        res_attrs=_names(graph.output),
    )
    return ModuleOp([function])


def _output(state: Graph, name: str) -> SSAValue:
    value = state.find(name)
    if value is None:
        raise CompileError(f"output {name!r} is not computed by any node; remove it or add its node")
    return value


def _names(infos: Any) -> ArrayAttr[DictionaryAttr]:
    return ArrayAttr([DictionaryAttr({"name": StringAttr(info.name)}) for info in infos])


def _load(source: str | Path | bytes) -> onnx.ModelProto:
    subject = "the ONNX model" if isinstance(source, bytes) else f"{source}"
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError as error:
        raise CompileError(f"{subject} cannot be read: {error.strerror}; check the path") from None
    try:
        model = onnx.load_model_from_string(data)
        onnx.checker.check_model(model)
    except DecodeError:
        raise CompileError(f"{subject} is not an ONNX file ({len(data)} bytes do not parse); export it again") from None
    except (onnx.checker.ValidationError, ValueError, TypeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CompileError(f"{subject} is not a valid ONNX model ({reason}); export it again") from None
    if (damaged := _undecodable(model)) is not None:
        raise CompileError(f"{subject} is not a valid ONNX model (text {damaged!r} is not UTF-8); export it again")
    if not model.graph.node:
        raise CompileError(f"{subject} holds no nodes; export it again")
    for graph in _graphs(model.graph):
        names = Counter(node.name for node in graph.node if node.name)
        if repeated := [name for name, count in names.items() if count > 1]:
            raise CompileError(f"{subject} has several nodes named {repeated[0]!r}; give each its own name, or none")
    return model


def _undecodable(message: Message) -> bytes | None:
    """A text of a message that is not UTF-8: protobuf then gives the bytes in place of a string."""
    for field, value in message.ListFields():
        values = value if field.is_repeated else (value,)
        if field.type == FieldDescriptor.TYPE_STRING:
            found = next((text for text in values if isinstance(text, bytes)), None)
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            found = next((text for part in values if (text := _undecodable(part)) is not None), None)
        else:
            continue
        if found is not None:
            return found
    return None


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and the bodies in it that are imported, too."""
    yield graph
    for node in graph.node:
        if node.op_type == "Scan":
            for attribute in node.attribute:
                if attribute.name == "body":
                    yield from _graphs(attribute.g)


def _check_types(model: onnx.ModelProto) -> None:
    """Refuse nodes whose inputs have types that their operator does not take, which importers may not have noticed."""
    try:
        onnx.shape_inference.infer_shapes(model, check_type=True)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CompileError(f"the ONNX model has inputs of the wrong type ({reason}); export it again") from None


def _input_type(info: onnx.ValueInfoProto, batch: int) -> TensorType:
    tensor = info.type.tensor_type
    try:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    except KeyError:
        dtype = None
    if dtype is None or not qgraph.has_dtype(dtype):
        raise CompileError(f"input {info.name!r} has type {dtype}; use float32, int8 or uint8")
    if not tensor.HasField("shape"):
        raise CompileError(f"input {info.name!r} has no shape; export the model with a fixed one")
    shape = []
    for axis, dim in enumerate(tensor.shape.dim):
        if dim.WhichOneof("value") == "dim_value" and dim.dim_value > 0:
            shape.append(dim.dim_value)
        elif axis == 0:
            shape.append(batch)
        else:
            size = dim.dim_param or "?"
            raise CompileError(
                f"input {info.name!r} has the dynamic dimension {size!r} at axis {axis}; only the first one, the "
                "batch, may be symbolic, fix the others in the model"
            )
    if math.prod(shape) * dtype.itemsize > MAX_TENSOR_BYTES:
        raise CompileError(f"input {info.name!r} of shape {tuple(shape)} exceeds {MAX_TENSOR_BYTES} bytes; reduce it")
    return qgraph.tensor_type(shape, dtype)


def _refuse_unknown(graph: onnx.GraphProto) -> None:
    """Name every node whose operator there is no importer for."""
    known = {*IMPORTERS, "Constant", "Identity", *FOLDED}
    unknown = [Node.of(n) for g in _graphs(graph) for n in g.node if n.domain not in DOMAINS or n.op_type not in known]
    if unknown:
        first, *others = unknown
        also = f", nor are {', '.join(str(node) for node in others)}" if others else ""
        first.refuse(
            f"is not supported{also}; cut the model there or express it with the supported operators "
            + ", ".join(sorted(IMPORTERS))
        )


def _fold(graph: Graph, proto: onnx.NodeProto, node: Node) -> bool:
    """Compute a node of constants, or the shape of a tensor, here and now; quantisation is left to the passes."""
    if proto.domain not in ("", "ai.onnx") or node.op in ("QuantizeLinear", "DequantizeLinear", "Scan"):
        return False
    of = graph.names.get(node.inputs[0]) if node.inputs else None
    if node.op == "Shape" and isinstance(of, SSAValue):
        shape = qgraph.shape_of(of)
        bounds = slice(int(node.attributes.get("start", 0)), node.attributes.get("end"))
        graph.names[node.outputs[0]] = np.array(shape[bounds], np.int64)
        return True
    names = [name for name in node.inputs if name]
    known = {name: values for name in names if (values := graph.known(name)) is not None}
    if not names or len(known) < len(set(names)):
        return False
    model = onnx.helper.make_model(
        onnx.helper.make_graph([proto], "constant", [], [onnx.ValueInfoProto(name=name) for name in node.outputs]),
        opset_imports=[onnx.helper.make_opsetid("", graph.opset)],
    )
    for name in known:
        model.graph.input.append(onnx.ValueInfoProto(name=name))
    from onnx.reference import ReferenceEvaluator

    try:
        results = ReferenceEvaluator(model).run(None, known)
    except Exception:  # whatever the evaluator meets, the importer says better
        return False
    graph.names.update((name, np.asarray(value)) for name, value in zip(node.outputs, results, strict=True) if name)
    return True


def _import_nodes(graph: Graph, proto: onnx.GraphProto) -> None:
    for node in proto.node:
        _import_node(graph, node)


def _import_node(graph: Graph, proto: onnx.NodeProto) -> None:
    node = Node.of(proto, graph.prefix)
    if node.op == "Constant":
        if graph.known(node.outputs[0]) is None:
            node.refuse("holds no tensor; store it as the attribute 'value'")
        return
    if _fold(graph, proto, node):
        return
    if node.op == "Identity" and proto.domain in DOMAINS:
        graph.names[node.outputs[0]] = graph.operand(node, 0)
        return
    if node.op in FOLDED:
        node.refuse("computes something at run time; only of constants and of shapes is it supported")
    try:
        made = IMPORTERS[node.op](graph, node)
        results = [made] if isinstance(made, SSAValue) else list(made)
        graph.names.update((name, value) for name, value in zip(node.outputs, results, strict=False) if name)
        if len(results) < len([name for name in node.outputs if name]):
            node.refuse(f"has {len(node.outputs)} results; only the first {len(results)} are supported")
    except (IndexError, ValueError, TypeError, KeyError) as error:
        # Attributes of other lengths or types than the operator's own; what is likely is refused where it is read.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        node.refuse(f"has attributes or inputs of the wrong kind ({reason}); export the model again")
