"""Operators that stay float on the host, against onnxruntime: |error| ≤ 1e-6 · max|y| each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.compiling import compile_model
from support.onnx_models import ModelBuilder
from support.ort import reference
from weft_hardware.presets import PRESETS
from weft_runtime.session import Session
from weft_simulator.functional.device import FunctionalDevice

VTA = PRESETS["vta"]


@dataclass
class Model:
    """Independent float operators in one model."""

    b: ModelBuilder = field(default_factory=ModelBuilder)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(21))
    inputs: dict[str, NDArray[Any]] = field(default_factory=dict)
    outputs: list[tuple[str, int, str]] = field(default_factory=list)

    def values(self, *shape: int, spread: float = 1.0, mean: float = 0.0) -> NDArray[np.float32]:
        return self.rng.normal(mean, spread, shape).astype(np.float32)

    def constant(self, *shape: int, spread: float = 1.0, mean: float = 0.0) -> str:
        return self.b.constant(self.values(*shape, spread=spread, mean=mean))

    def input(self, *shape: int, mean: float = 0.0) -> str:
        name = f"x{len(self.inputs)}"
        self.inputs[name] = self.values(*shape, mean=mean)
        return name

    def node(self, op: str, inputs: list[str], rank: int, results: int = 1, **attributes: Any) -> None:
        name = self.b.node(op, inputs, **attributes)
        self.b.nodes[-1].output.extend(f"{name}_{k}" for k in range(1, results))
        self.outputs.extend((result, rank - (k > 0), op) for k, result in enumerate(self.b.nodes[-1].output))

    def check(self) -> None:
        results = [(name, [f"{name}_{k}" for k in range(rank)], np.float32) for name, rank, _ in self.outputs]
        model = self.b.build([(name, x.shape, np.float32) for name, x in self.inputs.items()], results)
        expected = reference(model, self.inputs)
        module = compile_model(model, VTA)
        with FunctionalDevice(VTA) as device, Session(module, device) as session:
            found = session.run(self.inputs)
        found = found if isinstance(found, tuple) else (found,)
        for (name, _, op), y, e in zip(self.outputs, found, expected, strict=True):
            assert y.shape == e.shape, (name, op)
            worst = np.abs(y - e).max() / np.abs(e).max()
            assert worst <= 1e-6, f"{op} {name}: {worst}"


def functions(m: Model) -> None:
    names = [
        "Abs",
        "Ceil",
        "Elu",
        "Erf",
        "Exp",
        "Floor",
        "HardSigmoid",
        "HardSwish",
        "LeakyRelu",
        "Mish",
        "Neg",
        "Round",
    ]
    for op in [*names, "Sigmoid", "Softplus", "Softsign", "Tanh", "Relu"]:
        if op != "Mish":  # of a later opset
            m.node(op, [m.input(5, 33)], 2)
    for op in ("Log", "Sqrt", "Reciprocal"):
        x = m.input(5, 33)
        m.inputs[x] = np.abs(m.inputs[x]) + np.float32(0.1)
        m.node(op, [x], 2)
    m.node("Gelu", [m.input(5, 33)], 2, domain="com.microsoft")
    m.node("BiasGelu", [m.input(5, 33), m.constant(33)], 2, domain="com.microsoft")
    m.node("FastGelu", [m.input(5, 33)], 2, domain="com.microsoft")


def arithmetic(m: Model) -> None:
    for op in ("Add", "Sub", "Mul", "Div", "Min", "Max"):
        m.node(op, [m.input(2, 3, 8), m.input(3, 1, mean=3)], 3)
    m.node("Pow", [m.input(2, 9), m.b.constant(np.float32(2))], 2)
    m.node("Sum", [m.input(2, 9), m.input(2, 9), m.input(9)], 2)
    for axes in ([0], [-1], [1, 2]):
        m.node("ReduceMean", [m.input(3, 5, 40)], 3, axes=axes, keepdims=1)
        m.node("ReduceMax", [m.input(3, 5, 40)], 3, axes=axes, keepdims=1)
    m.node("ReduceSum", [m.input(3, 40), m.b.constant(np.array([1], np.int64))], 1, keepdims=0)


def rows(m: Model) -> None:
    m.node("Softmax", [m.input(2, 3, 130)], 3, axis=-1)
    m.node("Softmax", [m.input(2, 30, 4)], 3, axis=1)
    scale, bias = m.constant(96, mean=1, spread=0.1), m.constant(96)
    m.node("LayerNormalization", [m.input(3, 7, 96), scale, bias], 3, epsilon=1e-12)
    m.node("LayerNormalization", [m.input(3, 4, 24), m.constant(4, 24)], 3, axis=1)
    m.node(
        "SkipLayerNormalization",
        [m.input(1, 7, 96), m.input(1, 7, 96), scale, bias],
        3,
        domain="com.microsoft",
        epsilon=1e-12,
    )
    m.node("InstanceNormalization", [m.input(2, 3, 6, 5), m.constant(3), m.constant(3)], 4)
    inputs = [m.constant(3), m.constant(3), m.constant(3), m.b.constant(np.float32([0.5, 1, 2]))]
    m.node("BatchNormalization", [m.input(2, 3, 6, 5), *inputs], 4)


def products(m: Model) -> None:
    m.node("MatMul", [m.input(2, 5, 64), m.input(64, 20)], 3)
    m.node("MatMul", [m.input(2, 1, 5, 64), m.input(3, 64, 20)], 4)
    m.node("MatMul", [m.input(64), m.constant(64, 20)], 1)
    m.node("MatMul", [m.input(4, 64), m.constant(64, 20)], 2)
    m.node("Gemm", [m.input(4, 64), m.constant(20, 64), m.constant(20)], 2, transB=1)


def images(m: Model) -> None:
    m.node("Conv", [m.input(2, 6, 9, 8), m.constant(8, 3, 3, 3), m.constant(8)], 4, group=2, pads=[1, 0, 2, 1])
    m.node("Conv", [m.input(1, 6, 9, 8), m.constant(6, 1, 3, 3)], 4, group=6, strides=[2, 1], dilations=[1, 2])
    pads, more = [1, 0, 1, 2], [1, 0]
    m.node("ConvTranspose", [m.input(1, 6, 5, 4), m.constant(6, 4, 3, 3), m.constant(8)], 4, group=2, strides=[2, 3],
           pads=pads, output_padding=more)  # fmt: skip
    m.node("ConvTranspose", [m.input(1, 6, 5, 4), m.constant(6, 4, 3, 2)], 4, dilations=[2, 1])
    for include in (0, 1):
        m.node("AveragePool", [m.input(1, 4, 9, 8)], 4, kernel_shape=[3, 2], pads=[1, 1, 2, 0],
               count_include_pad=include)  # fmt: skip
    m.node("GlobalAveragePool", [m.input(2, 4, 9, 8)], 4)
    m.node("MaxPool", [m.input(2, 4, 9, 8)], 4, kernel_shape=[3, 2])
    m.node("DepthToSpace", [m.input(1, 12, 3, 4)], 4, blocksize=2)
    m.node("SpaceToDepth", [m.input(1, 3, 4, 6)], 4, blocksize=2)


def recurrent(m: Model) -> None:
    for op, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
        for direction, d in (("forward", 1), ("reverse", 1), ("bidirectional", 2)):
            steps, batch, inputs, hidden = 5, 2, 7, 6
            weights = [m.constant(d, gates * hidden, inputs), m.constant(d, gates * hidden, hidden)]
            attributes: dict[str, Any] = {"hidden_size": hidden, "direction": direction}
            results = 3 if op == "LSTM" else 2
            bias = m.constant(d, 2 * gates * hidden)
            x = m.input(steps, batch, inputs)
            m.node(op, [x, *weights], 4, results, **attributes)
            if op == "GRU":
                m.node(op, [x, *weights, bias], 4, results, linear_before_reset=1, **attributes)
            state = [m.input(d, batch, hidden) for _ in range(results - 1)]
            m.node(op, [x, *weights, bias, "", *state], 4, results, **attributes)


@pytest.mark.parametrize("add", [functions, arithmetic, rows, products, images, recurrent])
def test_float_operators(add: Callable[[Model], None]) -> None:
    m = Model()
    add(m)
    m.check()
