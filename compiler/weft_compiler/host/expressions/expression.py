"""What a host kernel computes, as a scheduled tensor expression, and the function it becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.func import FuncOp
from xdsl.ir import SSAValue

from ... import te
from ...dialects import qgraph
from ...te import nest as n
from ...te.expr import Call
from ...te.rewrite import walk
from ...te.to_ir import to_ir

LIBRARY = ("exp", "log", "tanh", "erf", "pow")
"""Functions that are calls of the C library."""

VECTOR = 8
"""Iterations from which a loop is worth vector instructions."""


@dataclass(frozen=True, eq=False)
class Expression:
    """One kernel.

    Parameters
    ----------
    inputs : tuple of te.Tensor
        The operands' buffers, then those of the parameters.
    schedule : te.Schedule
        Of the result, its only output.
    parameters : tuple of array
        Constants that the kernel reads beside its operands.
    """

    inputs: tuple[te.Tensor, ...]
    schedule: te.Schedule
    parameters: tuple[NDArray[Any], ...] = ()

    def function(self, name: str) -> FuncOp:
        """The function of operands, parameters and result, in this order."""
        nest = self.schedule.lower()
        read = {buffer.name: buffer for buffer in nest.inputs}
        inputs = tuple(read.get(x.name) or n.Buffer(x.name, x.shape, x.dtype) for x in self.inputs)
        (piece,) = to_ir(replace(nest, inputs=inputs), name).pieces
        return piece.function


def placeholders(values: Sequence[SSAValue], shapes: Sequence[Sequence[int]] | None = None) -> tuple[te.Tensor, ...]:
    """Inputs ``x0``, ``x1``, … for operands, under other shapes of as many elements if given."""
    chosen = shapes or [qgraph.shape_of(value) for value in values]
    return tuple(
        te.placeholder(shape or (1,), qgraph.dtype_of(value).name, f"x{k}")
        for k, (value, shape) in enumerate(zip(values, chosen, strict=True))
    )


def parameters(*values: NDArray[Any]) -> tuple[te.Tensor, ...]:
    """Inputs ``p0``, ``p1``, … for constant arrays."""
    return tuple(te.placeholder(v.shape, v.dtype.name, f"p{k}") for k, v in enumerate(values))


def scheduled(output: te.Tensor) -> te.Schedule:
    """The plain schedule: elementwise stages where they are read, loops in order, the innermost one in vectors."""
    schedule = te.Schedule(output)
    for stage in schedule.stages:
        op = stage.tensor.op
        if op is not None and not op.reduction and stage.tensor is not output:
            stage.compute_inline()
    stage = schedule[output]
    if stage.leaves and stage.leaves[-1].extent >= VECTOR and not stage.reduce_axes and not calls_library(output):
        stage.vectorize(stage.leaves[-1])
    return schedule


def calls_library(tensor: te.Tensor) -> bool:
    """Whether an element needs a function of the C library, which vectors cannot call."""
    parts = walk(tensor.op.body) if tensor.op is not None else ()
    return any(isinstance(part, Call) and part.name in LIBRARY for part in parts)


def elementwise(values: Sequence[SSAValue], shape: Sequence[int], body: Any) -> tuple[tuple[te.Tensor, ...], te.Tensor]:
    """Inputs and result of ``body(*elements)`` over broadcast operands.

    Neighbouring axes are taken as one where they can be; the result's elements are in the order of ``shape``.
    """
    operands = [qgraph.shape_of(value) for value in values]
    padded = [(1,) * (len(shape) - len(operand)) + tuple(operand) for operand in operands]
    sizes: list[int] = []
    kept: list[tuple[bool, ...]] = []
    for axis, size in enumerate(shape):
        if size == 1:
            continue
        present = tuple(operand[axis] != 1 for operand in padded)
        if kept and kept[-1] == present:
            sizes[-1] *= size
        else:
            sizes.append(size)
            kept.append(present)
    if not sizes:
        sizes, kept = [1], [(True,) * len(values)]
    shapes = [tuple(n for n, present in zip(sizes, kept, strict=True) if present[k]) for k in range(len(values))]
    inputs = placeholders(values, shapes)

    def element(*at: te.Expr) -> te.Expr:
        read = []
        for k, x in enumerate(inputs):
            where = tuple(i for i, present in zip(at, kept, strict=True) if present[k])
            read.append(x[where or 0])
        return body(*read)

    return inputs, te.compute(sizes, element, "y", axes=[f"i{k}" for k in range(len(sizes))])


def flat(value: SSAValue) -> tuple[int]:
    """A tensor's shape as one axis."""
    return (prod(qgraph.shape_of(value)),)


def bounded(value: te.Expr, low: Any, high: Any) -> te.Expr:
    """``min(max(value, low), high)`` of floats that are numbers: one instruction a bound."""
    raised = te.select(value > low, value, te.const(low, "float32"))
    return te.select(raised < high, raised, te.const(high, "float32"))


def narrowed(value: te.Expr, low: int, high: int, dtype: np.dtype[Any]) -> te.Expr:
    """``clamp(rne(value), low, high)``: bounds are whole, so that clamping first is the same."""
    rounded = te.round_even(bounded(value, float(low), float(high)))
    return rounded.cast("int32").cast(dtype.name)
