"""Expressions as text that reads like code."""

from __future__ import annotations

from .expr import Axis, Binary, Call, Cast, Compare, Const, Expr, Read, Reduce, Select, Variable

_SIGNS = {
    **{"or": ("|", 1), "and": ("&", 3), "shl": ("<<", 4), "shr": (">>", 4), "add": ("+", 5), "sub": ("-", 5)},
    **{"mul": ("*", 6), "div": ("/", 6), "floordiv": ("//", 6), "mod": ("%", 6)},
}
_COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_COMPARISON = 2


def text(expr: Expr, outer: int = 0) -> str:
    """An expression; in parentheses if it binds weaker than ``outer``."""
    match expr:
        case Const():
            return str(expr.value)
        case Axis() | Variable():
            return expr.name
        case Binary("min" | "max", a, b):
            return f"{expr.op}({text(a)}, {text(b)})"
        case Binary(op, a, b):
            sign, level = _SIGNS[op]
            if op == "add" and isinstance(b, Const) and b.value < 0:
                sign, b = "-", Const(-b.value, "int64" if b.dtype != "float32" else b.dtype)
            inner = f"{text(a, level)} {sign} {text(b, level + 1)}"
        case Compare(op, a, b):
            # A bar or an ampersand binds stronger than a comparison in Python: these stay in parentheses.
            inner, level = f"{text(a, _COMPARISON)} {_COMPARISONS[op]} {text(b, _COMPARISON)}", _COMPARISON
            return f"({inner})" if outer > 0 else inner
        case Select(condition, a, b):
            return f"select({text(condition)}, {text(a)}, {text(b)})"
        case Cast(dtype, a):
            return f"{dtype}({text(a)})"
        case Call(name, args):
            return f"{name}({', '.join(map(text, args))})"
        case Read(tensor, indices):
            return f"{tensor.name}[{', '.join(map(text, indices))}]"
        case Reduce(combiner, body, axes):
            return f"{combiner.name}({text(body)}, over {', '.join(a.name for a in axes)})"
        case _:
            raise AssertionError(type(expr))
    return f"({inner})" if level < outer else inner
