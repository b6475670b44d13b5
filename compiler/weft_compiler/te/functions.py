"""Functions of one float, as expressions: what activations compute, for kernels and for tables alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import reference
from .expr import Expr, erf, exp, log, maximum, minimum, power, round_even, select, sqrt, tanh
from .tensor import compute, placeholder

Function = Callable[..., Expr]


def sigmoid(x: Expr) -> Expr:
    """``1 / (1 + exp(−x))``, written so that exp does not overflow."""
    e = exp(_magnitude(x) * -1.0)
    return select(x >= 0.0, 1.0 / (e + 1.0), e / (e + 1.0))


def _magnitude(x: Expr) -> Expr:
    return select(x < 0.0, x * -1.0, x)


def _softplus(x: Expr) -> Expr:
    return maximum(x, 0.0) + log(exp(_magnitude(x) * -1.0) + 1.0)


def _floor(x: Expr) -> Expr:
    nearest = round_even(x)
    return select(nearest > x, nearest - 1.0, nearest)


FUNCTIONS: dict[str, Function] = {
    "abs": _magnitude,
    "ceil": lambda x: _floor(x * -1.0) * -1.0,
    "clip": lambda x, low, high: minimum(maximum(x, low), high),
    "elu": lambda x, alpha: select(x < 0.0, (exp(minimum(x, 0.0)) - 1.0) * alpha, x),
    "erf": erf,
    "exp": exp,
    "floor": _floor,
    "gelu": lambda x: x * 0.5 * (erf(x * float(np.sqrt(0.5))) + 1.0),
    "gelu_tanh": lambda x: x * 0.5 * (tanh((x + x * x * x * 0.044715) * float(np.sqrt(2 / np.pi))) + 1.0),
    "hard_sigmoid": lambda x, alpha, beta: maximum(minimum(x * alpha + beta, 1.0), 0.0),
    "hard_swish": lambda x: x * maximum(minimum(x * float(np.float32(1 / 6)) + 0.5, 1.0), 0.0),
    "leaky_relu": lambda x, alpha: select(x >= 0.0, x, x * alpha),
    "log": log,
    "mish": lambda x: x * tanh(_softplus(x)),
    "neg": lambda x: x * -1.0,
    "reciprocal": lambda x: 1.0 / x,
    "relu": lambda x: maximum(x, 0.0),
    "round": round_even,
    "sigmoid": sigmoid,
    "softplus": _softplus,
    "softsign": lambda x: x / (_magnitude(x) + 1.0),
    "sqrt": sqrt,
    "swish": lambda x, alpha: x * sigmoid(x * alpha),
    "tanh": tanh,
}
"""Every function by name; what follows the element are numbers."""


BINARY: dict[str, Callable[[Expr, Expr], Expr]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": power,
    "min": minimum,
    "max": maximum,
}
"""Every function of two elements."""


def values_of(function: Callable[[Expr], Expr], x: NDArray[np.float32]) -> NDArray[Any]:
    """A function of each element of an array, by numpy."""
    source = placeholder(x.shape, "float32", "x")
    result = compute(x.shape, lambda *at: function(source[at]), "y", axes=[f"i{k}" for k in range(x.ndim)])
    (values,) = reference.evaluate([result], {source: x})
    return values


def values_of_two(
    function: Callable[[Expr, Expr], Expr], a: NDArray[np.float32], b: NDArray[np.float32]
) -> NDArray[Any]:
    """A function of the elements of two arrays of one dimension, by numpy."""
    first, second = placeholder(a.shape, "float32", "a"), placeholder(b.shape, "float32", "b")
    result = compute(a.shape, lambda i: function(first[i], second[i]), "y")
    (values,) = reference.evaluate([result], {first: np.ascontiguousarray(a), second: np.ascontiguousarray(b)})
    return values
