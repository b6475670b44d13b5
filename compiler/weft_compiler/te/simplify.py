"""Shorter expressions of the same value."""

from __future__ import annotations

from math import gcd

from .expr import INDEX, Axis, Binary, Cast, Compare, Const, Expr, Select, is_integer, wrap
from .interval import NONE, Range, Ranges, bounds, interval
from .linear import Linear, linear
from .rewrite import children, rebuild, walk


def simplify(expr: Expr, ranges: Ranges = NONE) -> Expr:
    """Fold constants and, of indices, sort sums and drop divisions, bounds and conditions that decide nothing.

    Indices are what is made of axes alone: they are taken not to overflow. Values of the same type wrap.
    Indices come out in one form: two simplified sums of the same parts differ in the order of terms at most.
    Floats are left as they are written.
    """
    if isinstance(expr, Axis | Const):
        return expr
    if isinstance(expr, Binary) and expr.dtype == INDEX and expr.op in ("add", "sub", "mul"):
        form = linear(expr)
        if expr not in form.terms:
            return _sum(form, ranges).expr()
    expr = rebuild(expr, tuple(simplify(child, ranges) for child in children(expr)))
    match expr:
        case Binary() if expr.dtype == INDEX:
            return _index(expr, ranges)
        case Binary():
            return _binary(expr)
        case Compare():
            return _compare(expr, ranges)
        case Select(Const(value, _), a, b):
            return a if value else b
        case Select(_, a, b) if a == b:
            return a
        case Cast(dtype, Const(value, source)) if "float32" not in (dtype, source):
            return Const(bool(value) if dtype == "bool" else wrap(int(value), dtype), dtype)
        case _:
            return expr


def _sum(form: Linear, ranges: Ranges) -> Linear:
    """The sum of the simplified parts."""
    if all(isinstance(part, Axis) for part in form.terms):
        return form
    result = Linear(form.constant, {})
    for part, factor in form.terms.items():
        result = result.plus(linear(simplify(part, ranges)), factor)
    return _joined(result)


def same(a: Expr, b: Expr) -> bool:
    """Whether two expressions are equal as far as simplifying them shows."""
    if a.dtype != b.dtype:
        return False
    if a.dtype == INDEX:
        return simplify(a - b) == Const(0, INDEX)
    return simplify(a) == simplify(b)


def _is_index(expr: Binary | Compare) -> bool:
    """Whether operands are made of axes and constants alone."""
    made_of = Axis | Const | Binary | Compare | Select
    return expr.a.dtype == INDEX and all(isinstance(part, made_of) for part in walk(expr))


def _index(expr: Binary, ranges: Ranges) -> Expr:
    a, b = expr.a, expr.b
    match expr.op:
        case "add" | "sub" | "mul":
            return _joined(linear(expr)).expr()
        case _ if not _is_index(expr):
            pass
        case "floordiv" if isinstance(b, Const):
            return _joined(_divide(linear(a), int(b.value), ranges)).expr()
        case "mod" if isinstance(b, Const):
            return _joined(_remainder(linear(a), int(b.value), ranges)).expr()
        case "min" | "max":
            low, high = bounds(linear(a).plus(linear(b), -1), ranges)
            if low >= 0 or high <= 0:
                return a if (low >= 0) == (expr.op == "max") else b
    return _binary(expr)


def _split(form: Linear, divisor: int) -> tuple[Linear, Linear]:
    """``form = divisor · quotient + rest`` as far as the factors show."""
    quotient = Linear(form.constant // divisor, {p: f // divisor for p, f in form.terms.items() if f % divisor == 0})
    return quotient, form.plus(quotient, -divisor)


def _within(form: Linear, size: int, ranges: Ranges) -> bool:
    low, high = bounds(form, ranges)
    return low >= 0 and high < size


def _coarse(form: Linear, divisor: int, ranges: Ranges) -> tuple[int, Linear, Linear] | None:
    """``form = unit · multiple + rest`` with a unit that divides the divisor and a rest in ``0..unit - 1``."""
    for factor in form.terms.values():
        unit = gcd(factor, divisor)
        if 1 < unit < divisor:
            multiple, rest = _split(form, unit)
            if multiple.terms and _within(rest, unit, ranges):
                return unit, multiple, rest
    return None


def _divide(form: Linear, divisor: int, ranges: Ranges) -> Linear:
    quotient, rest = _split(form, divisor)
    low, high = bounds(rest, ranges)
    if low // divisor == high // divisor:
        return quotient.plus(Linear(low // divisor, {}))
    if coarse := _coarse(rest, divisor, ranges):
        unit, multiple, _ = coarse
        return quotient.plus(_divide(multiple, divisor // unit, ranges))
    match list(rest.terms.items()):
        case [(Binary("floordiv", inner, Const(value, _)), 1)]:
            # (x // a + c) // b = (x + a·c) // (a·b)
            whole = linear(inner).plus(Linear(int(value) * rest.constant, {}))
            return quotient.plus(_divide(whole, divisor * int(value), ranges))
    return quotient.plus(Linear(0, {Binary("floordiv", rest.expr(), Const(divisor, INDEX)): 1}))


def _remainder(form: Linear, divisor: int, ranges: Ranges) -> Linear:
    _, rest = _split(form, divisor)
    low, high = bounds(rest, ranges)
    if low // divisor == high // divisor:
        return rest.plus(Linear(-(low // divisor) * divisor, {}))
    if coarse := _coarse(rest, divisor, ranges):
        unit, multiple, fine = coarse
        return _remainder(multiple, divisor // unit, ranges).times(unit).plus(fine)
    return Linear(0, {Binary("mod", rest.expr(), Const(divisor, INDEX)): 1})


def _joined(form: Linear) -> Linear:
    """Quotient and remainder of the same division put together: ``k·(x // k) + x % k = x``."""
    for part, factor in form.terms.items():
        match part:
            case Binary("mod", a, Const(value, _) as divisor):
                quotient = Binary("floordiv", a, divisor)
                if form.terms.get(quotient) == factor * value:
                    rest = {p: f for p, f in form.terms.items() if p not in (part, quotient)}
                    return _joined(Linear(form.constant, rest).plus(linear(a), factor))
    return form


def _compare(expr: Compare, ranges: Ranges) -> Expr:
    if expr.a.dtype == "float32":
        return expr
    if _is_index(expr):
        low, high = bounds(linear(expr.a).plus(linear(expr.b), -1), ranges)
    else:
        (a_low, a_high), (b_low, b_high) = interval(expr.a, ranges), interval(expr.b, ranges)
        low, high = a_low - b_high, a_high - b_low
    known = _sign(expr.op, (low, high))
    return expr if known is None else Const(known, "bool")


def _sign(op: str, difference: Range) -> bool | None:
    """What a comparison gives if the difference of its sides is known well enough."""
    low, high = difference
    match op:
        case "lt":
            return True if high < 0 else False if low >= 0 else None
        case "le":
            return True if high <= 0 else False if low > 0 else None
        case "gt" | "ge":
            opposite = _sign("le" if op == "gt" else "lt", difference)
            return None if opposite is None else not opposite
        case _:
            equal = True if low == high == 0 else False if low > 0 or high < 0 else None
            return equal if op == "eq" or equal is None else not equal


def _binary(expr: Binary) -> Expr:
    """What holds in wrapping arithmetic, too."""
    a, b = expr.a, expr.b
    if isinstance(a, Const) and isinstance(b, Const) and expr.dtype != "float32":
        return Const(_evaluate(expr.op, int(a.value), int(b.value), expr.dtype), expr.dtype)
    if expr.dtype == "bool":
        for known, other in ((a, b), (b, a)):
            if isinstance(known, Const):
                return other if bool(known.value) == (expr.op == "and") else known
    if is_integer(expr.dtype):
        match expr.op, a, b:
            case (("add" | "sub" | "shl" | "shr" | "or"), _, Const(0, _)):
                return a
            case (("add" | "or"), Const(0, _), _):
                return b
            case (("mul" | "floordiv"), _, Const(1, _)):
                return a
            case "mul", Const(1, _), _:
                return b
            case ("mul", _, Const(0, _)) | ("mul", Const(0, _), _) | ("mod", _, Const(1, _)):
                return Const(0, expr.dtype)
    if expr.op in ("min", "max", "and", "or") and a == b:
        return a
    return expr


def _evaluate(op: str, a: int, b: int, dtype: str) -> int | bool:
    match op:
        case "add" | "sub" | "mul":
            value = a + b if op == "add" else a - b if op == "sub" else a * b
        case "min" | "max":
            value = min(a, b) if op == "min" else max(a, b)
        case "floordiv" | "mod":
            value = a // b if op == "floordiv" else a % b
        case "and" | "or":
            value = a & b if op == "and" else a | b
        case _:
            right = b if op == "shr" else -b
            value = a >> right if right >= 0 else a << min(-right, 64)
    return wrap(value, dtype) if dtype != "bool" else bool(value)
