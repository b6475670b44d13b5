"""What tensor expressions compute, by numpy: the arbiter of everything that schedules and lowers them.

It shares the nodes with the rest and nothing else. Parallel axes are array dimensions, reductions run in their order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ExpressionError
from ..float32 import fma
from .expr import Axis, Binary, Call, Cast, Compare, Const, Expr, Read, Reduce, Select, Variable
from .tensor import Tensor

Array = NDArray[Any]

_COMPARE = {"eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
            "ge": np.greater_equal}  # fmt: skip
_CALL = {"round_even": np.rint, "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "tanh": np.tanh, "fma": fma,
         "pow": np.power, "erf": np.vectorize(math.erf, otypes=[np.float32]),
         "float_of_bits": lambda bits: np.ascontiguousarray(bits).view(np.float32)}  # fmt: skip


def evaluate(outputs: Sequence[Tensor], inputs: Mapping[Tensor, Array]) -> list[Array]:
    """The outputs for given inputs.

    Raises
    ------
    ExpressionError
        If an element outside a tensor is read and used.
    """
    known: dict[Tensor, Array] = {}
    for tensor, values in inputs.items():
        if values.shape != tensor.shape or values.dtype != np.dtype(tensor.dtype):
            raise ExpressionError(
                f"{tensor.name} is {tensor.dtype}{list(tensor.shape)}, given is {values.dtype}{list(values.shape)}"
            )
        known[tensor] = values
    with np.errstate(all="ignore"):
        return [_tensor(output, known) for output in outputs]


def _tensor(tensor: Tensor, known: dict[Tensor, Array]) -> Array:
    if tensor not in known:
        if tensor.op is None:
            raise ExpressionError(f"no values are given for {tensor.name}")
        axes = tensor.op.axes
        rank = len(axes)
        grid: dict[Expr, Array] = {
            axis: np.arange(axis.extent).reshape([-1 if k == d else 1 for k in range(rank)])
            for d, axis in enumerate(axes)
        }
        if axes and axes[0].kind == "time":
            result = known[tensor] = np.zeros(tensor.shape, tensor.dtype)
            for step in range(axes[0].extent):
                time = {axes[0]: np.full([1] * rank, step)}
                result[step] = _value(tensor.op.body, {**grid, **time}, np.True_, known)[0]
        else:
            values = _value(tensor.op.body, grid, np.True_, known)
            known[tensor] = np.broadcast_to(values, tensor.shape).astype(tensor.dtype)
    return known[tensor]


def _value(expr: Expr, env: Mapping[Expr, Array], used: Any, known: dict[Tensor, Array]) -> Array:
    """The expression at every point of the grid; ``used`` says where anybody looks at it."""

    def value(part: Expr, where: Any = used) -> Array:
        return _value(part, env, where, known)

    match expr:
        case Const(number, dtype):
            return np.asarray(number, dtype)
        case Axis() | Variable():
            return env[expr]
        case Binary(op, a, b):
            return _binary(op, value(a), value(b))
        case Compare(op, a, b):
            return np.asarray(_COMPARE[op](value(a), value(b)))
        case Select(condition, a, b):
            chosen = value(condition)
            return np.where(chosen, value(a, used & chosen), value(b, used & ~chosen))
        case Cast(dtype, a):
            return _cast(value(a), dtype)
        case Call(name, args):
            return np.asarray(_CALL[name](*map(value, args)))
        case Read(tensor, indices):
            assert isinstance(tensor, Tensor)
            return _read(_tensor(tensor, known), [value(i) for i in indices], used, expr)
        case Reduce():
            return _reduce(expr, env, used, known)
        case _:
            raise AssertionError(type(expr))


def _read(values: Array, indices: list[Array], used: Any, expr: Read) -> Array:
    inside = [np.clip(i, 0, size - 1) for i, size in zip(indices, values.shape, strict=True)]
    for given, legal in zip(indices, inside, strict=True):
        if np.any(used & (given != legal)):
            raise ExpressionError(f"{expr} is used outside {expr.tensor.name}")
    return values[tuple(inside)]


def _reduce(expr: Reduce, env: Mapping[Expr, Array], used: Any, known: dict[Tensor, Array]) -> Array:
    a, b = Variable("a", expr.dtype), Variable("b", expr.dtype)
    merged = expr.combiner.merge(a, b)
    rank = max((values.ndim for values in env.values()), default=0)
    total = np.asarray(expr.combiner.identity.value, expr.dtype)
    for point in product(*(range(axis.extent) for axis in expr.axes)):
        at = {axis: np.full([1] * rank, k) for axis, k in zip(expr.axes, point, strict=True)}
        body = _value(expr.body, {**env, **at}, used, known)
        total = _value(merged, {a: total, b: body}, used, known)
    return total


def _binary(op: str, a: Array, b: Array) -> Array:
    dtype = a.dtype
    match op:
        case "add" | "sub" | "mul" | "and" | "or" | "div":
            functions = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide,
                         "and": np.bitwise_and, "or": np.bitwise_or}  # fmt: skip
            result = functions[op](a, b)
        case "floordiv":
            result = np.floor_divide(a, b)
        case "mod":
            result = np.mod(a, b)
        case "min" | "max":
            result = _extreme(op, a, b)
        case _:
            by = np.clip(b.astype(np.int64), -64, 64)
            result = _shift(a, by if op == "shr" else -by)
    return np.asarray(result, dtype)


def _extreme(op: str, a: Array, b: Array) -> Array:
    result = np.minimum(a, b) if op == "min" else np.maximum(a, b)
    if a.dtype != np.float32:
        return result
    negative = np.signbit(a) | np.signbit(b) if op == "min" else np.signbit(a) & np.signbit(b)
    zero = np.where(negative, np.float32(-0.0), np.float32(0.0))
    return np.where((a == 0) & (b == 0), zero, result)


def _shift(a: Array, amount: Array) -> Array:
    """Right by an amount, left if it is negative; in 64 bits, which wrap to what narrower types give."""
    wide = a.astype(np.int64)
    right = np.right_shift(wide, np.clip(amount, 0, 63))
    left = np.where(amount > -64, np.left_shift(wide, np.clip(-amount, 0, 63)), 0)
    return np.where(amount >= 0, right, left).astype(a.dtype)


def _cast(a: Array, dtype: str) -> Array:
    target = np.dtype(dtype)
    if a.dtype != np.float32 or target.kind not in "iu":
        return a.astype(target)
    info = np.iinfo(target)
    wide = np.trunc(np.nan_to_num(a.astype(np.float64), nan=0.0, posinf=1e30, neginf=-1e30))
    inside = np.clip(wide, float(info.min), np.nextafter(float(info.max) + 1, 0)).astype(target)
    return np.where(wide > info.max, target.type(info.max), np.where(wide < info.min, target.type(info.min), inside))
