"""The zoo's networks: what they are made of, and that they use their range and depend on their input."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from support.command import weft
from support.ort import reference
from weft.zoo import NETWORKS, ZooError, float_network, network
from weft.zoo.builder import random_input

SMALL = {
    "vgg11": {"size": 32, "width": 16},
    "resnet18": {"size": 32, "width": 16},
    "resnet50": {"size": 32, "width": 16},
    "mobilenet_v1": {"size": 32, "width": 0.25},
    "mobilenet_v2": {"size": 32, "width": 0.25},
    "dcgan": {"size": 32, "width": 8},
    "unet": {"size": 32, "width": 8},
    "bert_block": {"size": 16, "hidden": 64, "heads": 4},
    "rnn": {"size": 4},
}
"""Variants that take little time; the others are small already."""


def shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    return {x.name: tuple(d.dim_value for d in x.type.tensor_type.shape.dim) for x in model.graph.input}


def test_the_operators_of_resnet18() -> None:
    model = onnx.load_model_from_string(float_network("resnet18", width=8))
    assert shapes(model) == {"image": (1, 3, 224, 224)}
    counts = Counter(node.op_type for node in model.graph.node)
    assert (counts["Conv"], counts["Add"], counts["Relu"], counts["MaxPool"], counts["Gemm"]) == (20, 8, 17, 1, 1)


def test_the_macs_of_mobilenet_v1() -> None:
    """569 million, as its paper says."""
    model = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(float_network("mobilenet_v1")))
    weights = {t.name: tuple(t.dims) for t in model.graph.initializer}
    values = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.value_info}
    macs = sum(
        int(np.prod(values[node.output[0]])) * int(np.prod(weights[node.input[1]][1:]))
        for node in model.graph.node
        if node.op_type == "Conv"
    )
    assert macs + 1024 * 1000 == 568_740_352


def dull_layers(model: bytes, floor: int = 64) -> list[str]:
    """8-bit tensors of at least 4,096 elements that take fewer than ``floor`` values, and outputs of few values."""
    proto = onnx.load_model_from_string(model)
    last = {value.name for value in proto.graph.output}
    inner = [
        node.output[0] for node in proto.graph.node if node.op_type == "QuantizeLinear" and node.output[0] not in last
    ]
    del proto.graph.output[:]
    proto.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in inner)
    inputs = {name: random_input(shape, 99) for name, shape in shapes(proto).items()}
    values = reference(proto.SerializeToString(), inputs)
    return [
        f"{name}: {len(np.unique(v))} values"
        for name, v in zip(inner, values, strict=True)
        if len(np.unique(v)) < min(floor, v.size // 64)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("activations", ["uint8", "int8"])
@pytest.mark.parametrize("name", NETWORKS)
def test_no_layer_saturates_and_the_output_depends_on_the_input(name: str, activations: str) -> None:
    model = network(name, activations=activations)
    assert dull_layers(model) == []
    sizes = shapes(onnx.load_model_from_string(model))
    first, second = ([random_input(s, seed) for s in sizes.values()] for seed in (5, 6))
    a, b = (reference(model, dict(zip(sizes, x, strict=True)))[0] for x in (first, second))
    assert (a != b).mean() > 0.3


def test_a_small_network_uses_its_range() -> None:
    assert dull_layers(network("resnet18", **SMALL["resnet18"])) == []


def test_a_network_that_takes_bytes() -> None:
    model = onnx.load_model_from_string(network("mlp", bytes_in=True, activations="int8"))
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.INT8
    assert model.graph.node[0].op_type == "DequantizeLinear"


def test_the_same_seed_gives_the_same_network() -> None:
    assert network("mlp", seed=3) == network("mlp", seed=3) != network("mlp", seed=4)


def test_a_quantised_scan() -> None:
    model = onnx.load_model_from_string(network("rnn_scan", size=5))
    (scan,) = model.graph.node
    inner = Counter(node.op_type for node in scan.attribute[0].g.node)
    assert (scan.op_type, inner["MatMul"], shapes(model)) == ("Scan", 3, {"sequence": (5, 1, 64)})
    assert inner["QuantizeLinear"] >= 5
    (plain,) = onnx.load_model_from_string(float_network("rnn_scan", size=5)).graph.node
    assert {node.op_type for node in plain.attribute[0].g.node} == {"Tanh", "MatMul", "Add"}
    with pytest.raises(ZooError, match=r"^rnn_scan quantises its sequence step by step; leave bytes_in out$"):
        network("rnn_scan", bytes_in=True)


def test_what_is_not_in_the_zoo() -> None:
    with pytest.raises(ZooError) as caught:
        float_network("alexnet")
    assert str(caught.value) == f"'alexnet' is no network of the zoo; choose one of {', '.join(NETWORKS)}"
    with pytest.raises(ZooError, match=r"^unet halves its image three times, which 100 pixels do not allow; choose a"):
        float_network("unet", size=100)
    with pytest.raises(ZooError, match=r"^activations = 'int4'; choose 'uint8' or 'int8'$"):
        network("mlp", activations="int4")


def test_the_command(tmp_path) -> None:
    target = tmp_path / "mlp.onnx"
    done = weft("zoo", "mlp", "-o", target)
    assert done.code == 0, done.err
    assert target.read_bytes() == network("mlp")
    assert weft("zoo").out.split()[0] == "lenet5"
    assert weft("zoo", "mlp").err == "weft: weft zoo mlp has no output; name a file: -o mlp.onnx\n"
