"""Walk through expressions and replace parts of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from .expr import Axis, Binary, Call, Cast, Compare, Expr, Read, Reduce, Select, Variable


def children(expr: Expr) -> tuple[Expr, ...]:
    """The direct operands."""
    match expr:
        case Binary(_, a, b) | Compare(_, a, b):
            return a, b
        case Select(condition, a, b):
            return condition, a, b
        case Cast(_, a):
            return (a,)
        case Call(_, args):
            return args
        case Read(_, indices):
            return indices
        case Reduce(_, body, _):
            return (body,)
        case _:
            return ()


def rebuild(expr: Expr, operands: tuple[Expr, ...]) -> Expr:
    """The same operation of other operands."""
    if all(old is new for old, new in zip(children(expr), operands, strict=True)):
        return expr
    match expr:
        case Binary(op, _, _):
            return Binary(op, *operands)
        case Compare(op, _, _):
            return Compare(op, *operands)
        case Select():
            return Select(*operands)
        case Cast(dtype, _):
            return operands[0].cast(dtype)
        case Call(name, _):
            return Call(name, operands)
        case Read(tensor, _):
            return Read(tensor, operands)
        case Reduce():
            return replace(expr, body=operands[0])
        case _:
            raise AssertionError(type(expr))


def walk(expr: Expr) -> Iterator[Expr]:
    """The expression and all its parts, operands after what uses them."""
    left = [expr]
    while left:
        part = left.pop()
        yield part
        left.extend(reversed(children(part)))


def reads(expr: Expr) -> tuple[Read, ...]:
    """Every read, in the order of the text; looked for once, since expressions never change."""
    found: tuple[Read, ...] | None = expr.__dict__.get("_reads")
    if found is None:
        found = tuple(part for part in walk(expr) if isinstance(part, Read))
        object.__setattr__(expr, "_reads", found)
    return found


def transform(expr: Expr, change: Callable[[Expr], Expr | None]) -> Expr:
    """Rebuild from the operands up; ``change`` gives what stands for a part instead, or None to keep it."""
    whole = rebuild(expr, tuple(transform(child, change) for child in children(expr)))
    other = change(whole)
    return whole if other is None else other


def substitute(expr: Expr, values: Mapping[Expr, Expr]) -> Expr:
    """Replace axes and variables by expressions."""
    if not values:
        return expr
    return transform(expr, lambda part: values.get(part) if isinstance(part, Axis | Variable) else None)
