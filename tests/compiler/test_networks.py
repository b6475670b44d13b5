"""The zoo's networks against onnxruntime: the same bytes, but for what floats compute last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from support.compiling import compile_model
from support.ort import reference
from weft.zoo import NETWORKS, network
from weft.zoo.builder import random_input
from weft_hardware.presets import PRESETS
from weft_runtime.session import Session
from weft_simulator.functional.device import FunctionalDevice

VTA = PRESETS["vta"]
SMALL: list[tuple[str, dict[str, Any]]] = [
    ("lenet5", {"activations": "int8", "qdq": False}),
    ("dcgan", {"size": 16, "width": 8}),
    ("bert_block", {"size": 16, "hidden": 64, "heads": 4}),
    ("rnn", {"size": 2, "activations": "int8"}),
    ("rnn_scan", {"size": 3, "inputs": 20, "hidden": 24}),
    ("gru", {"size": 3, "per_channel": False}),
]
FORMATS: list[dict[str, Any]] = [
    {"activations": "uint8", "per_channel": True, "qdq": True},
    {"activations": "int8", "per_channel": False, "qdq": False},
    {"activations": "int8", "per_channel": True, "qdq": True},
    {"activations": "uint8", "per_channel": False, "qdq": False},
]


def both(model: bytes, seed: int = 77) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """onnxruntime's results and ours."""
    proto = onnx.load_model_from_string(model)
    shapes = {x.name: [d.dim_value for d in x.type.tensor_type.shape.dim] for x in proto.graph.input}
    inputs = {name: random_input(shape, seed) for name, shape in shapes.items()}
    module = compile_model(model, VTA)
    with FunctionalDevice(VTA) as device, Session(module, device) as session:
        result = session.run(inputs)
    yield from zip(reference(model, inputs), result if isinstance(result, tuple) else (result,), strict=True)


def check(model: bytes) -> None:
    for expected, found in both(model):
        assert found.shape == expected.shape
        compare(model, expected, found)


def compare(model: bytes, expected: NDArray[Any], found: NDArray[Any]) -> None:
    operators = [node.op_type for node in onnx.load_model_from_string(model).graph.node]
    if operators[-1] == "Tanh":
        # The quantiser's QOperator format leaves transposed convolutions float: five in a row, each within 1e-6.
        floats = 1 + (operators.count("ConvTranspose") if "QuantizeLinear" not in operators[1:] else 0)
        assert np.abs(found - expected).max() <= floats * 1e-6 * np.abs(expected).max()
    else:
        assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize(("name", "options"), SMALL, ids=[name for name, _ in SMALL])
def test_small_networks(name: str, options: dict[str, Any]) -> None:
    check(network(name, **options))


@pytest.mark.slow
@pytest.mark.parametrize("options", FORMATS, ids=["-".join(map(str, f.values())) for f in FORMATS])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name: str, options: dict[str, Any]) -> None:
    check(network(name, **options))


def test_transposed_convolutions_differ_by_one_step_at_most() -> None:
    """onnxruntime computes them in floats: values near a half may go the other way, ≤ 1e-4 of them."""
    proto = onnx.load_model_from_string(network("dcgan", size=32, width=16))
    convolved = [node for node in proto.graph.node if node.op_type == "ConvTranspose"]
    names = [q.output[0] for node in convolved for q in proto.graph.node if node.output[0] in q.input]
    del proto.graph.output[:]
    element = onnx.TensorProto.UINT8
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in proto.graph.value_info}
    for node, name in zip(convolved, names, strict=True):
        proto.graph.output.append(onnx.helper.make_tensor_value_info(name, element, shapes[node.output[0]]))
    model = proto.SerializeToString()
    inputs = {"z": random_input((1, 100, 1, 1), 5)}
    module = compile_model(model, VTA)
    with FunctionalDevice(VTA) as device, Session(module, device) as session:
        found = session.run(inputs)
    steps = np.concatenate(
        [(y.astype(int) - e).reshape(-1) for y, e in zip(found, reference(model, inputs), strict=True)]
    )
    assert np.abs(steps).max() <= 1
    assert (steps != 0).mean() <= 1e-4, (steps != 0).sum()
