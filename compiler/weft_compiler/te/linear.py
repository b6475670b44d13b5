"""Index expressions as sums of multiples: ``constant + Σ factor · part``.

Index arithmetic is taken not to overflow, so what holds of whole numbers holds here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .expr import INDEX, Axis, Binary, Const, Expr, Variable


@dataclass(frozen=True)
class Linear:
    """A sum; the parts are axes, or what no sum can be made of, such as quotients."""

    constant: int
    terms: Mapping[Expr, int]

    def plus(self, other: Linear, factor: int = 1) -> Linear:
        """This and a multiple of another."""
        terms = dict(self.terms)
        for part, f in other.terms.items():
            total = terms.get(part, 0) + factor * f
            if total:
                terms[part] = total
            else:
                terms.pop(part, None)
        return Linear(self.constant + factor * other.constant, terms)

    def times(self, factor: int) -> Linear:
        return Linear(0, {}).plus(self, factor)

    def expr(self) -> Expr:
        """The sum as an expression, the constant last."""
        result: Expr | None = None
        for part, factor in self.terms.items():
            if result is None:
                result = part if factor == 1 else Binary("mul", part, Const(factor, INDEX))
            else:
                size = abs(factor)
                term = part if size == 1 else Binary("mul", part, Const(size, INDEX))
                result = Binary("add" if factor > 0 else "sub", result, term)
        if result is None:
            return Const(self.constant, INDEX)
        if self.constant:
            op = "add" if self.constant > 0 else "sub"
            result = Binary(op, result, Const(abs(self.constant), INDEX))
        return result


def linear(expr: Expr) -> Linear:
    """The sum that an index expression is; products of two unknowns and all other operations stay whole."""
    match expr:
        case Const(value, _):
            return Linear(int(value), {})
        case Binary("add", a, b):
            return linear(a).plus(linear(b))
        case Binary("sub", a, b):
            return linear(a).plus(linear(b), -1)
        case Binary("mul", a, Const(value, _)) | Binary("mul", Const(value, _), a):
            return linear(a).times(int(value))
        case _:
            return Linear(0, {expr: 1})


def variables(expr: Expr) -> set[Axis | Variable]:
    """The axes and variables that occur in an expression."""
    from .rewrite import walk

    return {part for part in walk(expr) if isinstance(part, Axis | Variable)}
