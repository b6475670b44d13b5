"""Data movement on the host."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from xdsl.ir import Operation

from ... import te
from ...dialects import movement, qgraph
from .expression import Expression, elementwise, parameters, placeholders, scheduled


def _around(shape: tuple[int, ...], axis: int) -> tuple[int, int, int]:
    """A shape as three sizes, with ``axis`` in the middle."""
    return prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])


def concat(op: movement.ConcatOp) -> Expression:
    """Buffers: the parts, y."""
    axis = op.axis.value.data
    views = [_around(qgraph.shape_of(part), axis) for part in op.parts]
    inputs = placeholders(op.parts, [(outer, size * inner) for outer, size, inner in views])

    def element(i: te.Expr, j: te.Expr) -> te.Expr:
        begin = sum(x.shape[1] for x in inputs[:-1])
        value: te.Expr = inputs[-1][i, j - begin]
        for x in reversed(inputs[:-1]):
            begin -= x.shape[1]
            value = te.select(j < begin + x.shape[1], x[i, j - begin], value)
        return value

    shape = (views[0][0], sum(x.shape[1] for x in inputs))
    if len(inputs) == 1:
        return Expression(inputs, scheduled(te.compute(shape, lambda i, j: inputs[0][i, j], "y")))
    return Expression(inputs, scheduled(te.compute(shape, element, "y")))


def slice_(op: movement.SliceOp) -> Expression:
    """Buffers: x, y."""
    (x,) = placeholders([op.x])
    starts, steps = qgraph.ints(op.starts), qgraph.ints(op.steps)

    def element(*at: te.Expr) -> te.Expr:
        return x[tuple(i * step + start for i, start, step in zip(at, starts, steps, strict=True))]

    return Expression((x,), scheduled(_moved(op, element)))


def _moved(op: Operation, element: Callable[..., te.Expr]) -> te.Tensor:
    shape = qgraph.shape_of(op.results[0])
    return te.compute(shape, element, "y", axes=[f"i{k}" for k in range(len(shape))])


def gather(op: movement.GatherOp) -> Expression:
    """Buffers: x, indices, y."""
    axis = op.axis.value.data
    outer, size, inner = _around(qgraph.shape_of(op.x), axis)
    (x,), values = placeholders([op.x], [(outer, size, inner)]), np.asarray(qgraph.ints(op.indices), np.int32)
    (indices,) = parameters(values)

    def element(i: te.Expr, k: te.Expr, j: te.Expr) -> te.Expr:
        # The indices are inside; bounds tell so to whoever checks subscripts.
        where = te.minimum(te.maximum(indices[k], 0), size - 1)
        return x[i, where.cast("int64"), j]

    y = te.compute((outer, values.size, inner), element, "y")
    return Expression((x, indices), scheduled(y), (values,))


def pad(op: movement.PadOp) -> Expression:
    """Buffers: x, y."""
    shape, dtype = qgraph.shape_of(op.x), qgraph.dtype_of(op.x)
    (x,), pads = placeholders([op.x]), qgraph.ints(op.pads)
    number = op.value.value.data
    value = te.const(float(number) if dtype == np.float32 else int(number), dtype.name)

    def element(*at: te.Expr) -> te.Expr:
        where = [i - before if before else i for i, before in zip(at, pads, strict=False)]
        conditions = []
        for k, (i, size) in enumerate(zip(where, shape, strict=True)):
            if pads[k]:
                conditions.append(i >= 0)
            if pads[len(shape) + k]:
                conditions.append(i < size)
        return te.select(te.every(conditions), x[tuple(where)], value) if conditions else x[tuple(where)]

    return Expression((x,), scheduled(_moved(op, element)))


def broadcast(op: movement.BroadcastOp) -> Expression:
    """Buffers: x, y."""
    inputs, y = elementwise([op.x], qgraph.shape_of(op.y), lambda x: x)
    return Expression(inputs, scheduled(y))


EXPRESSIONS: dict[type[Operation], Callable[[Any], Expression]] = {
    movement.ConcatOp: concat,
    movement.SliceOp: slice_,
    movement.GatherOp: gather,
    movement.PadOp: pad,
    movement.BroadcastOp: broadcast,
}
"""The expression of every operation that moves data."""
