"""Scalar expressions: what one element of a tensor is computed from.

Nodes are frozen values, equal when they are built alike; `Axis`, `Variable` and tensors are equal to themselves alone.
Integers wrap at their type. Every operation is total, so that code may compute what nobody uses:

- ``a // b`` and ``a % b`` round down; ``b`` is a positive constant;
- ``a >> b`` keeps the sign; a negative amount shifts left, as the accelerator's SHR does, and ``<<`` the other way;
- from float to integer rounds towards zero and saturates, what is no number becomes 0;
- ``minimum`` and ``maximum`` of floats give not-a-number if either is, and order −0 below +0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np

from ..errors import ExpressionError

INDEX = "int64"
"""The type of iteration variables and of everything that indexes."""

INTEGERS = ("int8", "uint8", "int16", "int32", "int64")
DTYPES = ("bool", *INTEGERS, "float32")

ARITHMETIC = ("add", "sub", "mul", "min", "max")
INTEGER_ONLY = ("floordiv", "mod", "shl", "shr", "and", "or")
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
_ONE = ("float32",)
CALLS = {
    **dict.fromkeys(("round_even", "exp", "log", "sqrt", "tanh", "erf"), _ONE),
    **{"pow": _ONE * 2, "fma": _ONE * 3, "float_of_bits": ("int32",)},
}
"""Functions that give a float, and what they take."""

_COUNTS = {1: "one", 2: "two", 3: "three"}


class Shaped(Protocol):
    """What can be read at indices: a tensor, or a buffer of a loop nest."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> str: ...


def check_dtype(dtype: str) -> str:
    """The type itself.

    Raises
    ------
    ExpressionError
        If it is none of `DTYPES`.
    """
    if dtype not in DTYPES:
        raise ExpressionError(f"dtype {dtype!r} is unknown; choose one of {', '.join(DTYPES)}")
    return dtype


def is_integer(dtype: str) -> bool:
    return dtype in INTEGERS


_LIMITS = {"bool": (0, 1), **{dtype: (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)) for dtype in INTEGERS}}


def limits(dtype: str) -> tuple[int, int]:
    """Lowest and highest value of an integer or bool type."""
    return _LIMITS[dtype]


def wrap(value: int, dtype: str) -> int:
    """An integer reduced to the range of its type, two's complement."""
    low, high = limits(dtype)
    return (value - low) % (high - low + 1) + low


class Expr:
    """A scalar expression; the operators build larger ones, and numbers take the type of the other operand."""

    dtype: str

    def __add__(self, other: Operand) -> Expr:
        return binary("add", self, other)

    def __radd__(self, other: Operand) -> Expr:
        return binary("add", other, self)

    def __sub__(self, other: Operand) -> Expr:
        return binary("sub", self, other)

    def __rsub__(self, other: Operand) -> Expr:
        return binary("sub", other, self)

    def __mul__(self, other: Operand) -> Expr:
        return binary("mul", self, other)

    def __rmul__(self, other: Operand) -> Expr:
        return binary("mul", other, self)

    def __truediv__(self, other: Operand) -> Expr:
        return binary("div", self, other)

    def __rtruediv__(self, other: Operand) -> Expr:
        return binary("div", other, self)

    def __floordiv__(self, other: Operand) -> Expr:
        return binary("floordiv", self, other)

    def __mod__(self, other: Operand) -> Expr:
        return binary("mod", self, other)

    def __lshift__(self, other: Operand) -> Expr:
        return binary("shl", self, other)

    def __rshift__(self, other: Operand) -> Expr:
        return binary("shr", self, other)

    def __and__(self, other: Operand) -> Expr:
        return binary("and", self, other)

    def __rand__(self, other: Operand) -> Expr:
        return binary("and", other, self)

    def __or__(self, other: Operand) -> Expr:
        return binary("or", self, other)

    def __ror__(self, other: Operand) -> Expr:
        return binary("or", other, self)

    def __neg__(self) -> Expr:
        return binary("sub", 0, self) if self.dtype != "float32" else binary("mul", self, -1.0)

    def __lt__(self, other: Operand) -> Expr:
        return compare("lt", self, other)

    def __le__(self, other: Operand) -> Expr:
        return compare("le", self, other)

    def __gt__(self, other: Operand) -> Expr:
        return compare("gt", self, other)

    def __ge__(self, other: Operand) -> Expr:
        return compare("ge", self, other)

    def equal(self, other: Operand) -> Expr:
        """``==`` compares how two expressions are built; this compares what they compute."""
        return compare("eq", self, other)

    def differs(self, other: Operand) -> Expr:
        """The opposite of `equal`."""
        return compare("ne", self, other)

    def cast(self, dtype: str) -> Expr:
        """The value in another type; integers wrap."""
        return self if dtype == self.dtype else Cast(check_dtype(dtype), self)

    def __bool__(self) -> bool:
        raise ExpressionError(f"({self}) has no value before it runs; combine conditions by & and |, choose by select")

    def __str__(self) -> str:
        from .text import text

        return text(self)


Operand: TypeAlias = "Expr | int | float"


@dataclass(frozen=True, eq=False, repr=False)
class Const(Expr):
    """A number of one type; equal to itself if it is not-a-number, and −0 differs from 0."""

    value: int | float | bool
    dtype: str

    def _key(self) -> tuple[str, str]:
        return repr(self.value), self.dtype

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Const) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __post_init__(self) -> None:
        check_dtype(self.dtype)
        if self.dtype == "float32":
            with np.errstate(over="ignore"):
                object.__setattr__(self, "value", float(np.float32(self.value)))
            return
        if isinstance(self.value, float):
            raise ExpressionError(f"{self.value} is no {self.dtype}; cast the other operand to float32")
        low, high = limits(self.dtype)
        if not low <= self.value <= high:
            raise ExpressionError(f"{self.value} does not fit {self.dtype} ({low}..{high}); cast to a wider type first")
        object.__setattr__(self, "value", bool(self.value) if self.dtype == "bool" else int(self.value))


@dataclass(frozen=True, eq=False, repr=False)
class Axis(Expr):
    """An iteration variable that counts from 0 to ``extent - 1``.

    Parameters
    ----------
    kind : str
        ``"parallel"``: iterations may run in any order; ``"reduction"``: they combine into one value;
        ``"time"``: each may read what those before it gave.
    """

    name: str
    extent: int
    kind: str = "parallel"
    dtype: str = field(default=INDEX, init=False)


@dataclass(frozen=True, eq=False, repr=False)
class Variable(Expr):
    """A scalar without a value of its own: it is there to be substituted."""

    name: str
    dtype: str


@dataclass(frozen=True, repr=False)
class Binary(Expr):
    """``a op b``, of operands and result of one type."""

    op: str
    a: Expr
    b: Expr
    dtype: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", self.a.dtype)
        _require_same(self.op, self.a, self.b)
        dtype = self.dtype
        if self.op == "div":
            legal, rule = dtype == "float32", "divides floats; use // or cast to float32"
        elif self.op in ("and", "or"):
            legal, rule = dtype != "float32", "takes integers or bools; cast"
        elif self.op in INTEGER_ONLY:
            legal, rule = is_integer(dtype), "takes integers; cast"
        else:
            assert self.op in ARITHMETIC, self.op
            legal, rule = dtype != "bool", "takes numbers; cast, or choose by select"
        if not legal:
            raise ExpressionError(f"{self.op} of {dtype}: {self.op} {rule}")
        if self.op in ("floordiv", "mod") and not (isinstance(self.b, Const) and self.b.value > 0):
            raise ExpressionError(f"{self.op} by ({self.b}): the divisor must be a positive constant")


@dataclass(frozen=True, repr=False)
class Compare(Expr):
    """``a op b``, a bool."""

    op: str
    a: Expr
    b: Expr
    dtype: str = field(default="bool", init=False, compare=False)

    def __post_init__(self) -> None:
        assert self.op in COMPARISONS, self.op
        _require_same(self.op, self.a, self.b)


@dataclass(frozen=True, repr=False)
class Select(Expr):
    """``a`` where the condition holds, otherwise ``b``; what is read in the other of the two need not exist."""

    condition: Expr
    a: Expr
    b: Expr
    dtype: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", self.a.dtype)
        _require_same("select", self.a, self.b)
        if self.condition.dtype != "bool":
            raise ExpressionError(f"select by a {self.condition.dtype}: the condition must be a bool; compare it")


@dataclass(frozen=True, repr=False)
class Cast(Expr):
    """A value in another type."""

    dtype: str
    a: Expr


@dataclass(frozen=True, repr=False)
class Call(Expr):
    """A function: one of `CALLS`."""

    name: str
    args: tuple[Expr, ...]
    dtype: str = field(default="float32", init=False, compare=False)

    def __post_init__(self) -> None:
        if self.name not in CALLS:
            raise ExpressionError(f"function {self.name!r} is unknown; choose one of {', '.join(CALLS)}")
        taken = CALLS[self.name]
        given = tuple(a.dtype for a in self.args)
        if given != taken:
            rule = f"it takes {_COUNTS[len(taken)]} {taken[0]}; cast the argument"
            raise ExpressionError(f"{self.name}({', '.join(given)}): {rule}")


@dataclass(frozen=True, repr=False)
class Read(Expr):
    """One element of a tensor or buffer."""

    tensor: Shaped
    indices: tuple[Expr, ...]
    dtype: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", self.tensor.dtype)
        rank = len(self.tensor.shape)
        if len(self.indices) != rank:
            raise ExpressionError(f"{self.tensor.name} has {rank} dimensions, {len(self.indices)} indices are given")
        for index in self.indices:
            if index.dtype != INDEX:
                raise ExpressionError(f'{self.tensor.name} is indexed by {index.dtype}; cast it: index.cast("{INDEX}")')


@dataclass(frozen=True, eq=False)
class Combiner:
    """How a reduction merges two values.

    Parameters
    ----------
    name : str
        For printing.
    merge : callable
        The expression of two others; commutative.
    identity : Const
        What changes nothing when merged; the value of a reduction over nothing.
    reassociable : bool
        Whether the order of merging may change. A float sum is not: each order rounds differently.
    """

    name: str
    merge: Callable[[Expr, Expr], Expr]
    identity: Const
    reassociable: bool

    @property
    def dtype(self) -> str:
        return self.identity.dtype

    def same(self, other: Combiner) -> bool:
        """Whether both merge alike from the same identity."""
        a, b = Variable("a", self.dtype), Variable("b", self.dtype)
        return self.identity == other.identity and self.merge(a, b) == other.merge(a, b)


@dataclass(frozen=True, repr=False)
class Reduce(Expr):
    """The body merged over all values of the axes, the first axis being the slowest."""

    combiner: Combiner
    body: Expr
    axes: tuple[Axis, ...]
    dtype: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", self.body.dtype)
        if self.combiner.dtype != self.dtype:
            raise ExpressionError(
                f"{self.combiner.name} merges {self.combiner.dtype}, the reduced value is {self.dtype}; cast it"
            )
        for axis in self.axes:
            if axis.kind != "reduction":
                raise ExpressionError(f"axis {axis.name} is {axis.kind}; reduce over a reduce_axis")


def _require_same(what: str, a: Expr, b: Expr) -> None:
    if a.dtype != b.dtype:
        raise ExpressionError(f'{what} of {a.dtype} and {b.dtype}: the types differ; cast one: x.cast("{a.dtype}")')


def const(value: int | float | bool, dtype: str) -> Const:
    return Const(value, dtype)


def index(value: Operand) -> Expr:
    """A subscript as an expression."""
    return value if isinstance(value, Expr) else Const(value, INDEX)


def _pair(a: Operand, b: Operand) -> tuple[Expr, Expr]:
    """Two operands, of which a number takes the other one's type."""
    if isinstance(a, Expr):
        return a, b if isinstance(b, Expr) else Const(b, a.dtype)
    if isinstance(b, Expr):
        return Const(a, b.dtype), b
    raise ExpressionError(f"{a} and {b} are both plain numbers; write one as const(value, dtype)")


def binary(op: str, a: Operand, b: Operand) -> Expr:
    return Binary(op, *_pair(a, b))


def compare(op: str, a: Operand, b: Operand) -> Expr:
    return Compare(op, *_pair(a, b))


def minimum(a: Operand, b: Operand) -> Expr:
    return binary("min", a, b)


def maximum(a: Operand, b: Operand) -> Expr:
    return binary("max", a, b)


def select(condition: Expr, a: Operand, b: Operand) -> Expr:
    """``a`` where the condition holds, otherwise ``b``."""
    return Select(condition, *_pair(a, b))


def every(conditions: Sequence[Expr]) -> Expr:
    """Whether all conditions hold."""
    result: Expr = Const(True, "bool")
    for k, condition in enumerate(conditions):
        result = condition if k == 0 else result & condition
    return result


def round_even(a: Expr) -> Expr:
    """To the nearest whole number, halves to even."""
    return Call("round_even", (a,))


def float_of_bits(a: Expr) -> Expr:
    """The float32 whose bits are those of an int32."""
    return Call("float_of_bits", (a,))


def fma(a: Expr, b: Operand, c: Operand) -> Expr:
    """``a · b + c`` of floats, rounded once."""
    return Call("fma", (a, _pair(a, b)[1], _pair(a, c)[1]))


def exp(a: Expr) -> Expr:
    return Call("exp", (a,))


def log(a: Expr) -> Expr:
    return Call("log", (a,))


def sqrt(a: Expr) -> Expr:
    return Call("sqrt", (a,))


def tanh(a: Expr) -> Expr:
    return Call("tanh", (a,))


def erf(a: Expr) -> Expr:
    return Call("erf", (a,))


def power(a: Operand, b: Operand) -> Expr:
    return Call("pow", _pair(a, b))
