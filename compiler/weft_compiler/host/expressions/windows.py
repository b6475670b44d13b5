"""What expressions of windows and products share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ... import te
from ...dialects import qgraph
from .expression import VECTOR, Expression, parameters, placeholders, scheduled


def _inside(position: te.Expr, size: int) -> te.Expr:
    return (position >= 0) & (position < size)


def tap_counts(op: Any, image: Sequence[int], result: Sequence[int]) -> np.ndarray:
    """By how much each sum of a pool is divided, (oh, ow)."""
    kernel, strides, pads, dilations = (qgraph.ints(v) for v in (op.kernel, op.strides, op.pads, op.dilations))
    counts = []
    for k in range(2):
        first = np.arange(result[k])[:, None] * strides[k] - pads[k]
        at = first + np.arange(kernel[k])[None] * dilations[k]
        # A window in ceil mode may leave even the padding, whose elements alone are counted.
        low, high = (-pads[k], image[k] + pads[2 + k]) if op.include_pad.value.data else (0, image[k])
        counts.append(((at >= low) & (at < high)).sum(axis=1))
    return np.outer(*counts)


def window_tap(
    op: Any, image: Sequence[int], result: Sequence[int], at: Sequence[te.Expr], taps: Sequence[te.Axis]
) -> tuple[te.Expr, te.Expr, te.Expr | None]:
    """Row and column of a tap, and whether it is inside the image; None if all are."""
    strides, pads, dilations = (qgraph.ints(v) for v in (op.strides, op.pads, op.dilations))
    position, conditions = [], []
    for k in range(2):
        position.append(at[k] * strides[k] + taps[k] * dilations[k] - pads[k])
        reach = (result[k] - 1) * strides[k] + (taps[k].extent - 1) * dilations[k] - pads[k]
        if pads[k] or reach >= image[k]:
            conditions.append(_inside(position[k], image[k]))
    return position[0], position[1], te.every(conditions) if conditions else None


def window_means(
    op: Any,
    element: Callable[[te.Expr], te.Expr],
    finish: Callable[[te.Expr], te.Expr],
) -> Expression:
    """A pool that averages: ``finish(sum of element(x) over the window / its taps)``. Buffers: x, counts, y.

    A tap outside adds +0, which changes no sum of floats that began with it.
    """
    (images, channels, height, width), (_, _, oh, ow) = qgraph.shape_of(op.x), qgraph.shape_of(op.y)
    planes, (kh, kw) = images * channels, qgraph.ints(op.kernel)
    (x,) = placeholders([op.x], [(planes, height, width)])
    taps = te.reduce_axis(kh, "p"), te.reduce_axis(kw, "q")
    counts = tap_counts(op, (height, width), (oh, ow)).astype(np.float32)
    (count,) = parameters(counts)

    def total(c: te.Expr, i: te.Expr, j: te.Expr) -> te.Expr:
        row, column, inside = window_tap(op, (height, width), (oh, ow), (i, j), taps)
        value = element(x[c, row, column])
        return te.sum(value if inside is None else te.select(inside, value, 0.0), taps)

    sums = te.compute((planes, oh, ow), total, "total")
    y = te.compute((planes, oh, ow), lambda c, i, j: finish(sums[c, i, j] / count[i, j]), "y")
    return Expression((x, count), scheduled(y), (counts,))


def expanded_tap(
    at: te.Expr, tap: te.Axis, expansion: int, pad: int, dilation: int, size: int
) -> tuple[te.Expr, list[te.Expr]]:
    """Where a tap on an input with zeros between its elements lies in that input, and when it does."""
    # A shift by whole expansions keeps the dividend from being negative.
    shift = -(-max(pad, 0) // expansion)
    spread = at + tap * dilation - pad + shift * expansion
    position = spread // expansion - shift
    return position, [(spread % expansion).equal(0), _inside(position, size)]


def broadcast_index(shape: Sequence[int], at: Sequence[te.Expr]) -> list[te.Expr | int]:
    """Subscripts of an operand whose leading axes broadcast."""
    tail = at[len(at) - len(shape) :]
    return [0 if size == 1 else i for size, i in zip(shape, tail, strict=True)]


def rows_of_sums(y: te.Tensor, sums: te.Tensor) -> te.Schedule:
    """One row of the result at a time: its sums grow together, innermost and in vectors."""
    schedule = te.Schedule(y)
    names = [axis.name for axis in schedule[y].axes]
    if len(names) > 1:
        schedule[sums].compute_at(y, names[-2])
    stage = schedule[sums]
    stage.reorder(*stage.reduce_axes, names[-1])
    for tensor in (y, sums):
        if y.shape[-1] >= VECTOR:
            schedule[tensor].vectorize(names[-1])
    return schedule
