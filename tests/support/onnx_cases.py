"""Single-operator cases of the ONNX package itself, frozen so that only tensors of data are inputs."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

DATA = {
    **dict.fromkeys(("QLinearMatMul",), (0, 3)),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "MatMul", "Concat"), tuple(range(9))),
    "MatMulInteger": (0, 1),
}
"""Which inputs of an operator stay inputs; of others the first."""


@dataclass(frozen=True)
class OnnxCase:
    """A case with its expected tensors."""

    name: str
    op: str
    model: bytes
    inputs: dict[str, NDArray[Any]]
    expected: list[NDArray[Any]]


@cache
def onnx_cases() -> tuple[OnnxCase, ...]:
    """Every case of one node whose tensors are dense."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {case.name: case for case in collect_testcases(None)}
    cases = []
    for case in found.values():
        graph, (inputs, expected) = case.model.graph, case.data_sets[0]
        if len(graph.node) == 1 and all(isinstance(v, np.ndarray) for v in (*inputs, *expected)):
            cases.append(_frozen(case.name, case.model, inputs, expected))
    return tuple(cases)


def _frozen(name: str, model: onnx.ModelProto, inputs: list[Any], expected: list[Any]) -> OnnxCase:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph, op = copy.graph, model.graph.node[0].op_type
    names = [x.name for x in graph.input]
    kept = {graph.node[0].input[k] for k in DATA.get(op, (0,)) if k < len(graph.node[0].input)}
    values = dict(zip(names, inputs, strict=True))
    for info in list(graph.input):
        if info.name not in kept:
            graph.initializer.append(numpy_helper.from_array(values[info.name], info.name))
            graph.input.remove(info)
    data = {n: v for n, v in values.items() if n in kept}
    return OnnxCase(name, op, copy.SerializeToString(), data, list(expected))
