"""Modules of functions of several levels, built, printed, compiled and run."""

from __future__ import annotations

import re

import numpy as np
import pytest
from support.onnx_models import random_conv
from support.tiles_kernels import matmul, narrowing
from weft_compiler import compile_module
from weft_compiler.errors import CompileError
from weft_compiler.graph import External, Graph
from weft_compiler.text import parse_ir, print_ir
from weft_hardware.config import AcceleratorConfig
from weft_hardware.presets import VTA
from weft_runtime.errors import ModuleError
from weft_runtime.module import Module

import weft

WEIGHTS = np.random.default_rng(1).integers(-128, 128, (32, 64), np.int8)


def halve(x: np.ndarray, out: np.ndarray) -> None:
    np.right_shift(x, 7, out=out)


def mixed(config: AcceleratorConfig = VTA, target: str | None = None) -> Graph:
    """Tiles through a kernel of the accelerator, a function of numpy, and a tensor function of the host."""
    graph = Graph(config)
    x = graph.input("x", (16, 64), "int8")
    w = graph.transpose(graph.reshape(graph.constant(WEIGHTS, "weights"), (2, 16, 4, 16)), (0, 2, 1, 3))
    y = graph.call(matmul(config, 16, 4, 2), graph.reshape(x, (16, 4, 1, 16)), w, name="matmul", target=target)
    z = graph.call(External("halve", [((16, 2, 1, 16), "int32")], halve), y)
    graph.output("y", graph.reshape(graph.call(narrowing((16, 2, 1, 16)), z, name="narrow"), (16, 32)))
    return graph


def expected(x: np.ndarray) -> np.ndarray:
    return np.clip((x.astype(np.int32) @ WEIGHTS.T.astype(np.int32)) >> 7, -128, 127).astype(np.int8)


def inputs(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-128, 128, (16, 64), np.int8)


@pytest.mark.parametrize("target", [None, "host"])
def test_levels_call_each_other(target: str | None) -> None:
    module = mixed(target=target).compile()
    placed = {layer.name: layer.placement for layer in module.content.layers}
    assert placed["matmul"] == (target or "accelerator")
    assert (placed["halve"], placed["narrow"]) == ("host", "host")
    with weft.open_device("functional", VTA) as device:
        for seed in range(3):
            assert np.array_equal(module.run(device, inputs(seed)), expected(inputs(seed)))


def test_text_gives_the_same_module_and_a_file_the_same_results(tmp_path) -> None:
    graph = mixed()
    text, module = graph.text(), graph.compile()
    assert print_ir(parse_ir(text)) == text
    again = compile_module(text, VTA, functions={"halve": halve})
    assert again.content == module.content
    module.save(tmp_path / "m.weft")
    with weft.open_device("functional", VTA) as device:
        loaded = weft.load(tmp_path / "m.weft", functions={"halve": halve})
        assert np.array_equal(loaded.run(device, inputs(4)), expected(inputs(4)))
        with pytest.raises(ModuleError, match=r"^module calls the external function 'halve', which is not given; "):
            weft.load(tmp_path / "m.weft").run(device, inputs(4))


def test_a_file_of_ir_compiles(tmp_path) -> None:
    (tmp_path / "m.mlir").write_text(mixed().text())
    module = weft.compile(tmp_path / "m.mlir", functions={"halve": halve})
    assert module.content == mixed().compile().content


def test_one_function_called_twice_is_there_once() -> None:
    graph, kernel = Graph(VTA), matmul(VTA, 2, 1, 1)
    x, w = graph.input("x", (2, 1, 1, 16), "int8"), graph.input("w", (1, 1, 16, 16), "int8")
    first, second = graph.call(kernel, x, w, name="k"), graph.call(kernel, x, w)
    third = graph.call("k", x, w)
    for k, value in enumerate((first, second, third)):
        graph.output(f"y{k}", value)
    assert str(graph).count("te.func") == 1
    rng = np.random.default_rng(0)
    a, b = rng.integers(-128, 128, (2, 1, 1, 16), np.int8), rng.integers(-128, 128, (1, 1, 16, 16), np.int8)
    with weft.open_device("functional", VTA) as device:
        results = graph.compile().run(device, {"x": a, "w": b})
    wanted = np.einsum("mkbi,nkoi->mnbo", a.astype(np.int32), b.astype(np.int32))
    assert [np.array_equal(result, wanted) for result in results] == [True] * 3


def test_several_results() -> None:
    def split(x: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
        low[...], high[...] = x & 15, x >> 4

    graph = Graph(VTA)
    x = graph.input("x", (8,), "int32")
    low, high = graph.call(External("split", [((8,), "int32"), ((8,), "int32")], split), x)
    graph.output("high", high)
    graph.output("low", low)
    with weft.open_device("functional", VTA) as device:
        high_values, low_values = graph.compile().run(device, np.arange(30, 38, dtype=np.int32))
    assert (high_values.tolist(), low_values.tolist()) == ([1, 1, 2, 2, 2, 2, 2, 2], [14, 15, 0, 1, 2, 3, 4, 5])


def test_a_network_is_a_function() -> None:
    """The network alone and inside a graph give the same bytes, before and after a function of numpy."""
    case = random_conv(0)
    alone = weft.compile(case.model, VTA)
    (given,), (result,) = alone.content.inputs, alone.content.outputs
    graph = Graph(VTA)
    x = graph.input("x", given.shape, given.dtype)
    same = External("same", [(given.shape, given.dtype)], _copy)
    graph.output("y", graph.call(case.model, graph.call(same, x), name="net"))
    assert {layer.name.split(".")[0] for layer in graph.compile().content.layers} >= {"same", "net"}
    rng = np.random.default_rng(0)
    values = rng.integers(-100, 100, given.shape).astype(given.dtype)
    with weft.open_device("functional", VTA) as device:
        assert np.array_equal(graph.compile().run(device, values), alone.run(device, values))
    assert result.dtype == graph.compile().content.outputs[0].dtype


def _copy(x: np.ndarray, out: np.ndarray) -> None:
    out[...] = x


def other_graph(graph: Graph) -> None:
    graph.call(narrowing((4,)), Graph(VTA).input("x", (4,), "int32"), name="f")


def wrong_type(graph: Graph) -> None:
    graph.call(narrowing((4,)), graph.input("x", (5,), "int32"), name="f")


def too_few(graph: Graph) -> None:
    graph.call(narrowing((4,)), name="f")


def twice(graph: Graph) -> None:
    graph.input("x", (4,), "int8")
    graph.input("x", (4,), "int8")


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        (other_graph, "@f: input 0 is of another graph; make it in this one"),
        (wrong_type, "@f: input 0 is tensor<5xsi32>, it takes tensor<4xsi32>; convert it"),
        (too_few, "@f takes 1 inputs, 0 are given; pass all of them"),
        (twice, "input 'x' is there already; choose another name"),
        (lambda graph: graph.compile(), "the graph gives nothing; call output(name, value)"),
        (
            lambda graph: graph.input("x", (4,), "int64"),
            "'x' is int64, a graph has int8, uint8, int32 and float32; convert it",
        ),
        (lambda graph: graph.input("x", (0,), "int8"), "'x' has shape (0,); each size is at least 1"),
        (
            lambda graph: graph.call(External("a b", [((1,), "int8")])),
            "external function 'a b': a name is letters, digits and underscores",
        ),
        (
            lambda graph: graph.call(External("f", [((1,), "int8")], language="go")),
            "external function: language 'go' is none of python, c; correct it",
        ),
        (lambda graph: graph.call(3), "int cannot be called; pass a schedule, weft.external(…) or an ONNX network"),
        (
            lambda graph: graph.reshape(graph.input("x", (4,), "int8"), (3,)),
            "reshape of (4,) to (3,) changes the number of elements; correct it",
        ),
        (
            lambda graph: graph.transpose(graph.input("x", (4,), "int8"), (1,)),
            "(1,) is no permutation of 1 axes; name each once",
        ),
    ],
)
def test_mistakes(mistake, sentence: str) -> None:
    with pytest.raises(CompileError, match=f"^{re.escape(sentence)}$"):
        mistake(Graph(VTA))


def test_a_module_without_main_is_refused() -> None:
    with pytest.raises(
        CompileError, match=r"^the module has no graph function @main; name the function to compile so$"
    ):
        compile_module("builtin.module {\n}", VTA)


@pytest.mark.rtl
def test_the_rtl_runs_it_too() -> None:
    module: Module = mixed().compile()
    with weft.open_device("tsim", VTA) as device:
        assert np.array_equal(module.run(device, inputs(0)), expected(inputs(0)))
