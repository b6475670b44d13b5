"""The lowest and highest value that an expression can take."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .expr import INDEX, Axis, Binary, Cast, Const, Expr, Select, limits
from .linear import Linear, linear

Range = tuple[int, int]
Ranges = Mapping[Expr, Range]

NONE: Ranges = MappingProxyType({})


def interval(expr: Expr, ranges: Ranges = NONE) -> Range:
    """Bounds, both inclusive, of an integer or bool expression.

    Parameters
    ----------
    ranges : mapping
        What is known of axes and variables; an axis not named counts up to its extent.
    """
    if expr in ranges:
        return ranges[expr]
    if expr.dtype == INDEX and isinstance(expr, Binary) and expr.op in ("add", "sub", "mul"):
        form = linear(expr)
        if form.terms.keys() != {expr}:
            return bounds(form, ranges)
    low, high = _range(expr, ranges)
    least, most = limits(expr.dtype)
    return (low, high) if least <= low and high <= most else (least, most)


def bounds(form: Linear, ranges: Ranges = NONE) -> Range:
    """`interval` of a sum."""
    low = high = form.constant
    for part, factor in form.terms.items():
        ends = sorted(factor * end for end in interval(part, ranges))
        low, high = low + ends[0], high + ends[1]
    return low, high


def _range(expr: Expr, ranges: Ranges) -> Range:
    match expr:
        case Const(value, _):
            return int(value), int(value)
        case Axis():
            return 0, expr.extent - 1
        case Binary(op, a, b):
            return _binary(op, interval(a, ranges), interval(b, ranges), limits(expr.dtype))
        case Select(_, a, b):
            (low, high), (other_low, other_high) = interval(a, ranges), interval(b, ranges)
            return min(low, other_low), max(high, other_high)
        case Cast(dtype, a) if a.dtype != "float32" and dtype != "bool":
            return interval(a, ranges)
        case _:
            return limits(expr.dtype)


def _binary(op: str, a: Range, b: Range, whole: Range) -> Range:
    match op:
        case "add":
            return a[0] + b[0], a[1] + b[1]
        case "sub":
            return a[0] - b[1], a[1] - b[0]
        case "mul":
            corners = [x * y for x in a for y in b]
            return min(corners), max(corners)
        case "min":
            return min(a[0], b[0]), min(a[1], b[1])
        case "max":
            return max(a[0], b[0]), max(a[1], b[1])
        case "floordiv":
            return a[0] // b[0], a[1] // b[0]
        case "mod":
            return (a[0] % b[0], a[1] % b[0]) if a[0] // b[0] == a[1] // b[0] else (0, b[0] - 1)
        case "shr" if 0 <= b[0] == b[1] < 64:
            return a[0] >> b[0], a[1] >> b[0]
        case "and" if a[0] >= 0 or b[0] >= 0:
            return 0, min(side[1] for side in (a, b) if side[0] >= 0)
        case _:
            return whole
