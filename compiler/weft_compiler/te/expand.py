"""Intrinsics written out as loops: what a nest means to somebody who has no such hardware."""

from __future__ import annotations

from dataclasses import replace

from .expr import INDEX, Axis, Const, Expr, Read, Reduce, Select
from .nest import Allocate, Assign, Block, For, Guard, Invoke, Nest, Region, Statement
from .rewrite import substitute, transform
from .simplify import simplify
from .tensor import Compute, Tensor


def expand(nest: Nest, templates: bool = False) -> Nest:
    """The same function without an `Invoke`.

    Parameters
    ----------
    templates : bool
        Keep those that a host has a template for.
    """
    return replace(nest, body=_statement(nest.body, templates))


def _statement(statement: Statement, templates: bool) -> Statement:
    match statement:
        case Block(statements):
            return Block(tuple(_statement(inner, templates) for inner in statements))
        case Allocate() | For() | Guard():
            return replace(statement, body=_statement(statement.body, templates))
        case Invoke(intrinsic, predicate=predicate, fill=fill):
            kept = templates and intrinsic.template is not None and predicate is None and not fill
            return statement if kept else _invocation(statement)
        case _:
            return statement


def _invocation(statement: Invoke) -> Statement:
    intrinsic = statement.intrinsic
    op = intrinsic.output.op
    assert isinstance(op, Compute)
    body = op.body
    axes = {axis: Axis(f"{intrinsic.name}.{axis.name}", axis.extent, axis.kind) for axis in (*op.axes, *op.reduction)}
    points: dict[Expr, Expr] = {axis: loop if loop.extent > 1 else Const(0, INDEX) for axis, loop in axes.items()}
    target = (*statement.output.offsets, *(points[axis] for axis in op.axes))
    if statement.fill:
        assert intrinsic.init is not None
        return _loops([axes[axis] for axis in op.axes], Assign(statement.output.buffer, target, intrinsic.init))
    operands = dict(zip(intrinsic.inputs, statement.inputs, strict=True))
    value = _on_buffers(body.body if isinstance(body, Reduce) else body, points, operands)
    if isinstance(body, Reduce):
        value = body.combiner.merge(Read(statement.output.buffer, target), value)
    if statement.predicate is not None:
        assert statement.otherwise is not None
        value = Select(statement.predicate, value, statement.otherwise)
    free = isinstance(body, Reduce) and body.combiner.reassociable
    return _loops(list(axes.values()), Assign(statement.output.buffer, target, simplify(value), free))


def _on_buffers(value: Expr, points: dict[Expr, Expr], operands: dict[Tensor, Region]) -> Expr:
    def change(part: Expr) -> Expr | None:
        if not isinstance(part, Read):
            return None
        assert isinstance(part.tensor, Tensor)
        region = operands[part.tensor]
        return Read(region.buffer, (*region.offsets, *part.indices))

    return transform(substitute(value, points), change)


def _loops(axes: list[Axis], body: Statement) -> Statement:
    for axis in reversed(axes):
        if axis.extent > 1:
            body = For(axis, "serial", body)
    return body
