"""Index expressions over all iterations of loops at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

import numpy as np

from ..errors import CompileError
from ..te.expr import Axis, Binary, Cast, Compare, Const, Expr, Select
from ..te.linear import linear
from ..te.rewrite import walk
from .boxes import Linear
from .columns import Column

Values = Mapping[Axis, Column]

_BINARY: Mapping[str, Callable[[Column, Column], Column]] = MappingProxyType(
    {
        "add": np.add,
        "sub": np.subtract,
        "mul": np.multiply,
        "floordiv": np.floor_divide,
        "mod": np.mod,
        "min": np.minimum,
        "max": np.maximum,
        "and": np.bitwise_and,
        "or": np.bitwise_or,
    }
)
_COMPARE: Mapping[str, Callable[[Column, Column], Column]] = MappingProxyType(
    {
        "eq": np.equal,
        "ne": np.not_equal,
        "lt": np.less,
        "le": np.less_equal,
        "gt": np.greater,
        "ge": np.greater_equal,
    }
)


def evaluate(expr: Expr, values: Values, steps: int) -> Column:
    """The value of an index or condition in every step; conditions are 0 or 1."""
    match expr:
        case Const(value, _):
            return np.full(steps, int(value), np.int64)
        case Axis():
            return values[expr]
        case Binary(op, a, b):
            return _BINARY[op](evaluate(a, values, steps), evaluate(b, values, steps))
        case Compare(op, a, b):
            return _COMPARE[op](evaluate(a, values, steps), evaluate(b, values, steps)).astype(np.int64)
        case Select(condition, a, b):
            chosen = evaluate(condition, values, steps) != 0
            return np.where(chosen, evaluate(a, values, steps), evaluate(b, values, steps))
        case Cast(_, a):
            return evaluate(a, values, steps)
        case _:
            raise AssertionError(f"index of unknown origin: {expr}")


def linear_over(expr: Expr, own: tuple[Axis, ...], values: Values, steps: int) -> Linear:
    """An index as a linear form of an operation's own loops, its base evaluated over the steps.

    Raises
    ------
    CompileError
        If it is not linear in them.
    """
    form = linear(expr)
    factors = [0] * len(own)
    base = np.full(steps, form.constant, np.int64)
    for part, factor in form.terms.items():
        if isinstance(part, Axis) and part in own:
            factors[own.index(part)] = factor
            continue
        if _mentions(part, own):
            raise CompileError(f"index {expr} is not linear in the loops inside one instruction; split or reorder them")
        base = base + factor * evaluate(part, values, steps)
    return Linear(base, tuple(factors))


def _mentions(expr: Expr, axes: Collection[Axis]) -> bool:
    return any(isinstance(part, Axis) and part in axes for part in walk(expr))


def conjuncts(condition: Expr) -> list[Expr]:
    """The conditions that hold together where one holds; those that always hold are left out."""
    match condition:
        case Binary("and", a, b):
            return [*conjuncts(a), *conjuncts(b)]
        case Const(True, _):
            return []
        case _:
            return [condition]


def not_negative(condition: Expr) -> list[Expr]:
    """Index expressions that are all ≥ 0 exactly where a condition holds.

    Raises
    ------
    CompileError
        If the condition is no conjunction of comparisons of indices.
    """
    found: list[Expr] = []
    for part in conjuncts(condition):
        match part:
            case Compare("lt", a, b):
                found.append(b - a - 1)
            case Compare("le", a, b):
                found.append(b - a)
            case Compare("gt", a, b):
                found.append(a - b - 1)
            case Compare("ge", a, b):
                found.append(a - b)
            case Compare("eq", a, b):
                found += [a - b, b - a]
            case _:
                raise CompileError(f"condition {part} is no comparison of indices; write it as an and of comparisons")
    return found
