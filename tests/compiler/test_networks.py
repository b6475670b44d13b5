"""The zoo's networks against onnxruntime: the same bytes, but for what floats compute last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from support.compiling import compile_model
from support.ort import reference, session
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


@pytest.mark.parametrize("activations", ["uint8", "int8"])
def test_transposed_convolutions_differ_by_one_step_at_most(activations: str) -> None:
    """onnxruntime computes them in floats: values near a half may go the other way, ≤ 1e-4 of them.

    Each is given onnxruntime's own values: what one of them turns the other way, those behind it spread.
    """
    proto = onnx.load_model_from_string(network("dcgan", activations=activations))
    layers, read = taken_apart(proto)
    del proto.graph.output[:]
    proto.graph.output.extend(read)
    module, fused = compile_model(layers.SerializeToString(), VTA), session(layers.SerializeToString())
    count = len(read)
    differ, sizes = np.zeros(count), np.zeros(count)
    with FunctionalDevice(VTA) as device, Session(module, device) as ours:
        for seed in range(6):
            values = reference(proto.SerializeToString(), {"z": random_input((1, 100, 1, 1), seed)})
            inputs = {x.name: value for x, value in zip(layers.graph.input, values, strict=True)}
            for k, (e, y) in enumerate(zip(fused.run(None, inputs), ours.run(inputs), strict=True)):
                steps = y.astype(int) - np.asarray(e)
                assert np.abs(steps).max() <= 1, (k, seed)
                differ[k] += np.count_nonzero(steps)
                sizes[k] += steps.size
    assert count == 5
    assert (differ <= 1e-4 * sizes).all(), (differ, sizes)


def taken_apart(proto: onnx.ModelProto) -> tuple[onnx.ModelProto, list[onnx.ValueInfoProto]]:
    """The transposed convolutions side by side, each from an input to an output; and what each reads in the network."""
    made = onnx.ModelProto()
    made.CopyFrom(proto)
    graph, producers = made.graph, {node.output[0]: node for node in proto.graph.node}
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in (*graph.value_info, *graph.input)}
    types = {x.name: x.data_type for x in graph.initializer}

    def info(name: str, quantised: str) -> onnx.ValueInfoProto:
        values, _, zero = producers[quantised].input
        return onnx.helper.make_tensor_value_info(name, types[zero], shapes[values])

    nodes, inputs, outputs, read = [], [], [], []
    for node in proto.graph.node:
        if node.op_type != "ConvTranspose":
            continue
        before, *constants = (producers[name] for name in node.input)
        (behind,) = (n for n in proto.graph.node if n.op_type == "QuantizeLinear" and n.input[0] == node.output[0])
        name = f"x{len(inputs)}"
        inputs.append(info(name, before.input[0]))
        read.append(info(before.input[0], before.input[0]))
        outputs.append(info(behind.output[0], behind.output[0]))
        nodes += [onnx.helper.make_node("DequantizeLinear", [name, *before.input[1:]], before.output)]
        nodes += [*constants, node, behind]
    for field, values in ((graph.node, nodes), (graph.input, inputs), (graph.output, outputs)):
        del field[:]
        field.extend(values)
    return made, read
