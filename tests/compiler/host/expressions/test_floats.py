"""Float operations on the host against numpy in float64: |error| ≤ 1e-6 · max|y|."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.host_code import call
from weft_compiler.dialects import floats, qgraph
from weft_compiler.host.expressions.floats import EXPRESSIONS
from xdsl.ir import Block, SSAValue


def argument(shape: Sequence[int], dtype: Any = np.float32) -> SSAValue:
    return Block(arg_types=[qgraph.tensor_type(shape, dtype)]).args[0]


def run(op: Any, *inputs: NDArray[Any]) -> NDArray[Any]:
    expression = EXPRESSIONS[type(op)](op)
    shape = qgraph.shape_of(op.y)
    return call(expression.function("f"), [*inputs, *expression.parameters], shape, np.float32)


def close(found: NDArray[Any], expected: NDArray[Any]) -> bool:
    return bool(np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max())


def random(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 2, shape).astype(np.float32)


@pytest.mark.parametrize("b_shape", [(2, 3, 4), (4,), (3, 1), (1, 3, 4), (2, 1, 1), ()])
@pytest.mark.parametrize("name", ["add", "sub", "mul", "div"])
def test_operands_broadcast(name: str, b_shape: tuple[int, ...]) -> None:
    a, b = random(2, 3, 4), np.asarray(random(*b_shape, seed=1))
    numpy = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}[name]
    op = floats.BinaryOp(name, argument(a.shape), argument(b_shape))
    assert run(op, a, b).tobytes() == numpy(a, b).tobytes()
    swapped = floats.BinaryOp(name, argument(b_shape), argument(a.shape))
    assert run(swapped, b, a).tobytes() == numpy(b, a).tobytes()


def test_functions() -> None:
    x = random(3, 50)
    wide = x.astype(np.float64)
    erf = np.vectorize(math.erf)
    expected = {
        "sigmoid": 1 / (1 + np.exp(-wide)),
        "tanh": np.tanh(wide),
        "erf": erf(wide),
        "gelu": wide / 2 * (1 + erf(wide / np.sqrt(2))),
        "hard_swish": wide * np.clip(wide / 6 + 0.5, 0, 1),
        "softplus": np.log1p(np.exp(wide)),
        "floor": np.floor(wide),
        "ceil": np.ceil(wide),
        "abs": np.abs(wide),
        "softsign": wide / (1 + np.abs(wide)),
        "mish": wide * np.tanh(np.log1p(np.exp(wide))),
    }
    for name, values in expected.items():
        assert close(run(floats.UnaryOp(name, argument(x.shape)), x), values), name


@pytest.mark.parametrize("length", [1, 15, 16, 33, 768])
def test_rows(length: int) -> None:
    x = random(2, 3, length)
    wide = x.astype(np.float64)
    e = np.exp(wide - wide.max(-1, keepdims=True))
    assert close(run(floats.SoftmaxOp(argument(x.shape)), x), e / e.sum(-1, keepdims=True))


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 2), (1, 2), (0, 1, 2)])
def test_reductions(axes: tuple[int, ...]) -> None:
    x = random(4, 5, 37)
    shape = [n for k, n in enumerate(x.shape) if k not in axes]
    y = qgraph.tensor_type(shape, np.float32)
    for name, numpy in {"mean": np.mean, "sum": np.sum, "max": np.max, "min": np.min}.items():
        found = run(floats.ReduceOp(name, argument(x.shape), axes, y), x)
        assert close(found, np.asarray(numpy(x.astype(np.float64), axis=axes))), name


def test_products() -> None:
    a, b = random(2, 1, 7, 65), random(3, 65, 9, seed=1)
    expected = a.astype(np.float64) @ b
    assert close(run(floats.MatMulOp(argument(a.shape), argument(b.shape)), a, b), expected)
    w, bias = random(9, 65, seed=2), random(9, seed=3)
    y = qgraph.tensor_type((2, 1, 7, 9), np.float32)
    op = qgraph.DenseOp(argument(a.shape), argument(w.shape), argument(bias.shape), True, y)
    assert close(run(op, a, w, bias), a.astype(np.float64) @ w.T + bias)
