"""Tensors, and what they are computed from."""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import ExpressionError
from .expr import (
    Axis,
    Combiner,
    Const,
    Expr,
    Operand,
    Read,
    Reduce,
    Select,
    check_dtype,
    every,
    index,
    is_integer,
    limits,
    maximum,
    minimum,
    select,
)
from .interval import interval
from .rewrite import children, walk
from .simplify import same


@dataclass(frozen=True)
class Compute:
    """Each element from its indices. A leading axis of kind ``"time"`` makes it a recurrence that reads itself."""

    axes: tuple[Axis, ...]
    body: Expr

    @property
    def reduction(self) -> tuple[Axis, ...]:
        return self.body.axes if isinstance(self.body, Reduce) else ()


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of static shape; subscripts read an element.

    Parameters
    ----------
    op : Compute, optional
        How it comes about; None of an input.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    op: Compute | None = None

    def __getitem__(self, indices: Operand | tuple[Operand, ...]) -> Read:
        return Read(self, tuple(map(index, indices if isinstance(indices, tuple) else (indices,))))


def placeholder(shape: Sequence[int], dtype: str = "float32", name: str = "placeholder") -> Tensor:
    """An input."""
    return Tensor(name, _shape(shape, name), check_dtype(dtype))


def compute(
    shape: Sequence[int], fn: Callable[..., Expr], name: str = "compute", axes: Sequence[str] | None = None
) -> Tensor:
    """A tensor whose element at ``i, j, …`` is ``fn(i, j, …)``.

    Parameters
    ----------
    axes : sequence of str, optional
        Names of the axes; those of the parameters of ``fn`` if left out.

    Raises
    ------
    ExpressionError
        If a reduction is not the outermost operation, or something is read outside its tensor.
    """
    variables = _axes(_shape(shape, name), fn, axes, name)
    return _finish(name, variables, fn(*variables))


def reduce_axis(extent: int, name: str = "k") -> Axis:
    """A variable to reduce over."""
    return Axis(name, _extent(extent, f"reduce_axis {name}"), "reduction")


def commutative(
    name: str, merge: Callable[[Expr, Expr], Expr], identity: Const, reassociable: bool = False
) -> Combiner:
    """A reduction of one's own; ``Reduce(combiner, body, axes)`` applies it."""
    return Combiner(name, merge, identity, reassociable)


def sum(body: Expr, axes: Axis | Sequence[Axis], reassociable: bool | None = None) -> Reduce:
    """The sum over axes.

    Parameters
    ----------
    reassociable : bool, optional
        Whether schedules may change the order of summation: if left out, of integers yes, of floats no.
    """
    zero = Const(0, body.dtype)
    free = is_integer(body.dtype) if reassociable is None else reassociable
    return Reduce(Combiner("sum", lambda a, b: a + b, zero, free), body, _tuple(axes))


def max(body: Expr, axes: Axis | Sequence[Axis]) -> Reduce:
    """The largest value."""
    lowest = Const(-float("inf") if body.dtype == "float32" else limits(body.dtype)[0], body.dtype)
    return Reduce(Combiner("max", maximum, lowest, True), body, _tuple(axes))


def min(body: Expr, axes: Axis | Sequence[Axis]) -> Reduce:
    """The smallest value."""
    highest = Const(float("inf") if body.dtype == "float32" else limits(body.dtype)[1], body.dtype)
    return Reduce(Combiner("min", minimum, highest, True), body, _tuple(axes))


def scan(
    shape: Sequence[int],
    init: Callable[..., Expr],
    update: Callable[..., Expr],
    dtype: str,
    name: str = "scan",
    axes: Sequence[str] | None = None,
) -> Tensor:
    """A recurrence over its first axis, the time.

    Parameters
    ----------
    init : callable
        ``init(i, …)``: the element at time 0.
    update : callable
        ``update(state, t, i, …)``: the element at later times; it may read ``state[t - 1, …]``, and reduce.
    dtype : str
        Type of the elements.

    Raises
    ------
    ExpressionError
        If the update reads the state of another time than the one before.
    """
    state = Tensor(name, _shape(shape, name), check_dtype(dtype))
    time, *others = _axes(state.shape, update, axes, name, skip=1)
    time = Axis(time.name, time.extent, "time")
    later = update(state, time, *others)
    for read in walk(later):
        if isinstance(read, Read) and read.tensor is state and not same(read.indices[0], time - 1):
            raise ExpressionError(
                f"scan {name} reads its state at time ({read.indices[0]}); only ({time.name} - 1) is known then"
            )
    first = init(*others)
    if isinstance(later, Reduce):
        # At time 0 the reduction is of the initial value alone: once itself, then the identity.
        once = every([axis.equal(0) for axis in later.axes])
        start = select(once, first, later.combiner.identity)
        body: Expr = Reduce(later.combiner, select(time < 1, start, later.body), later.axes)
    else:
        body = select(time < 1, first, later)
    if body.dtype != dtype:
        raise ExpressionError(f"scan {name} is {dtype}, its update gives {body.dtype}; cast it")
    return _finish(name, (time, *others), body, state)


def dependencies(outputs: Sequence[Tensor]) -> list[Tensor]:
    """All tensors that some need, themselves included: by how many stages each has behind it, so producers first.

    What several stages of one depth do stands together: loads before loads, then all that works on them.
    """
    depth: dict[Tensor, int] = {}

    def visit(tensor: Tensor) -> int:
        if tensor not in depth:
            read = [] if tensor.op is None else [part.tensor for part in walk(tensor.op.body) if isinstance(part, Read)]
            before = [visit(other) for other in read if isinstance(other, Tensor) and other is not tensor]
            depth[tensor] = 1 + builtins.max(before, default=0)
        return depth[tensor]

    for output in outputs:
        visit(output)
    return sorted(depth, key=depth.__getitem__)


def _finish(name: str, axes: tuple[Axis, ...], body: Expr, tensor: Tensor | None = None) -> Tensor:
    if not isinstance(body, Expr):
        raise ExpressionError(f"{name}: the function gives {body!r}, no expression; write const(value, dtype)")
    for part in walk(body):
        if isinstance(part, Reduce) and part is not body:
            raise ExpressionError(
                f"{name} computes with the result of a {part.combiner.name}; "
                f"make the reduction a tensor of its own, then read it"
            )
    op = Compute(axes, body)
    known = {*axes, *op.reduction}
    for part in walk(body):
        if isinstance(part, Axis) and part not in known:
            raise ExpressionError(f"{name} uses axis {part.name}, which is neither its own nor reduced over")
    _check_reads(name, body)
    if tensor is None:
        return Tensor(name, tuple(axis.extent for axis in axes), body.dtype, op)
    object.__setattr__(tensor, "op", op)
    return tensor


def _check_reads(name: str, expr: Expr) -> None:
    """Refuse indices that leave a tensor where no condition stands before them."""
    if isinstance(expr, Select):
        _check_reads(name, expr.condition)
        return
    if isinstance(expr, Read):
        for k, (subscript, size) in enumerate(zip(expr.indices, expr.tensor.shape, strict=True)):
            low, high = interval(subscript)
            if low < 0 or high >= size:
                raise ExpressionError(
                    f"{name} reads {expr}: index {k} takes {low}..{high}, {expr.tensor.name} has 0..{size - 1}; "
                    f"guard it by select(condition, …)"
                )
    for child in children(expr):
        _check_reads(name, child)


def _axes(
    shape: tuple[int, ...], fn: Callable[..., Expr], names: Sequence[str] | None, name: str, skip: int = 0
) -> tuple[Axis, ...]:
    if names is None:
        parameters = [p for p in inspect.signature(fn).parameters.values() if p.default is p.empty][skip:]
        plain = all(p.kind is not inspect.Parameter.VAR_POSITIONAL for p in parameters)
        names = [p.name for p in parameters] if plain else [f"i{k}" for k in range(len(shape))]
    if len(names) != len(shape):
        raise ExpressionError(f"{name} has {len(shape)} dimensions, {len(names)} axes are named")
    return tuple(Axis(axis, extent) for axis, extent in zip(names, shape, strict=True))


def _shape(shape: Sequence[int], name: str) -> tuple[int, ...]:
    return tuple(_extent(size, name) for size in shape)


def _extent(size: int, name: str) -> int:
    if int(size) != size or size < 1:
        raise ExpressionError(f"{name} has an extent of {size}; extents are whole numbers from 1")
    return int(size)


def _tuple(axes: Axis | Sequence[Axis]) -> tuple[Axis, ...]:
    return (axes,) if isinstance(axes, Axis) else tuple(axes)
