"""Float operations on the host: within a few units in the last place of a long sum's exact value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from xdsl.ir import Operation

from ... import te
from ...dialects import floats, qgraph
from ...te.functions import BINARY, FUNCTIONS
from .expression import Expression, elementwise, flat, placeholders, scheduled
from .windows import broadcast_index, expanded_tap, rows_of_sums, window_means, window_tap

LANES = 16
"""Partial sums of a long reduction: vectors add them at once, and rounding errors grow more slowly."""


def unary(op: floats.UnaryOp) -> Expression:
    """Buffers: x, y."""
    (x,) = placeholders([op.x], [flat(op.x)])
    numbers = [float(v) for v in qgraph.array(op.numbers)]
    return Expression((x,), scheduled(te.compute(x.shape, lambda i: FUNCTIONS[op.function.data](x[i], *numbers), "y")))


def binary(op: floats.BinaryOp) -> Expression:
    """Buffers: a, b, y."""
    inputs, y = elementwise((op.a, op.b), qgraph.shape_of(op.y), BINARY[op.function.data])
    return Expression(inputs, scheduled(y))


def row_sums(
    name: str, rows: Sequence[int], length: int, element: Callable[..., te.Expr]
) -> tuple[list[te.Tensor], te.Tensor]:
    """``Σ element(…, k)`` of each row by `LANES` partial sums; gives the stages in between, and the sum."""
    vector, rest, axes = length // LANES, length % LANES, [f"r{k}" for k in range(len(rows))]
    parts: list[te.Tensor] = []
    if vector:
        k = te.reduce_axis(vector, "k")
        parts.append(
            te.compute(
                (*rows, LANES),
                lambda *at: te.sum(element(*at[:-1], k * LANES + at[-1]), k),
                f"{name}.lanes",
                axes=[*axes, "lane"],
            )
        )
    if rest:
        tail = te.reduce_axis(rest, "tail")
        parts.append(
            te.compute(rows, lambda *at: te.sum(element(*at, vector * LANES + tail), tail), f"{name}.rest", axes=axes)
        )

    def total(*at: te.Expr) -> te.Expr:
        values: list[te.Expr] = [parts[0][(*at, lane)] for lane in range(LANES)] if vector else []
        if rest:
            values.append(parts[-1][at])
        while len(values) > 1:
            values = [a + b for a, b in zip(values[::2], values[1::2], strict=False)] + values[len(values) // 2 * 2 :]
        return values[0]

    return parts, te.compute(rows, total, name, axes=axes)


def reduce(op: floats.ReduceOp) -> Expression:
    """Buffers: x, y. The axes that stay come first, which the subscripts say."""
    shape, axes = qgraph.shape_of(op.x), qgraph.ints(op.axes)
    kept = [size for k, size in enumerate(shape) if k not in axes] or [1]
    (x,) = placeholders([op.x])
    reduced = [shape[axis] for axis in axes]

    def element(*at: te.Expr) -> te.Expr:
        *where, flat_index = at
        inside: list[te.Expr] = []
        for size in reversed(reduced):
            inside.insert(0, flat_index % size if len(reduced) > 1 else flat_index)
            flat_index = flat_index // size if len(reduced) > 1 else flat_index
        remaining, folded = iter(where), dict(zip(axes, inside, strict=True))
        return x[tuple(folded[k] if k in folded else next(remaining) for k in range(len(shape)))]

    count, names = prod(reduced), [f"r{k}" for k in range(len(kept))]
    if op.function.data in ("max", "min"):
        k = te.reduce_axis(count)
        pick = te.max if op.function.data == "max" else te.min
        return Expression((x,), te.Schedule(te.compute(kept, lambda *at: pick(element(*at, k), k), "y", axes=names)))
    parts, total = row_sums("total", kept, count, element)
    divisor = float(count) if op.function.data == "mean" else 1.0
    y = te.compute(kept, lambda *at: total[at] / divisor, "y", axes=names)
    schedule = te.Schedule(y)
    for tensor in (total, *parts):
        schedule[tensor].compute_at(y, names[-1])
    return Expression((x,), schedule)


def softmax(op: floats.SoftmaxOp) -> Expression:
    """Buffers: x, y."""
    *leading, length = qgraph.shape_of(op.x)
    rows = prod(leading)
    (x,) = placeholders([op.x], [(rows, length)])
    k = te.reduce_axis(length)
    largest = te.compute((rows,), lambda i: te.max(x[i, k], k), "largest")
    e = te.compute((rows, length), lambda i, j: te.exp(x[i, j] - largest[i]), "e")
    parts, total = row_sums("total", (rows,), length, lambda i, j: e[i, j])
    y = te.compute((rows, length), lambda i, j: e[i, j] / total[i], "y")
    return Expression((x,), _row_by_row(y, (total, *parts, e, largest)))


def _row_by_row(y: te.Tensor, inner: Sequence[te.Tensor]) -> te.Schedule:
    """Every stage for one row of the result at a time; consumers come first in ``inner``."""
    schedule = te.Schedule(y)
    for tensor in inner:
        schedule[tensor].compute_at(y, schedule[y].leaves[0])
    if y.shape[-1] >= LANES:
        schedule[y].vectorize(schedule[y].leaves[-1])
    return schedule


def matmul(op: floats.MatMulOp) -> Expression:
    """Buffers: a, b, y, with a row of sums at a time in the inner loop."""
    a_shape, b_shape, shape = (qgraph.shape_of(v) for v in (op.a, op.b, op.y))
    a, b = placeholders((op.a, op.b))
    k = te.reduce_axis(a_shape[-1])
    names = [f"i{axis}" for axis in range(len(shape))]

    def total(*at: te.Expr) -> te.Expr:
        left = a[(*broadcast_index(a_shape[:-2], at[:-2]), at[-2], k)]
        return te.sum(left * b[(*broadcast_index(b_shape[:-2], at[:-2]), k, at[-1])], k)

    return _product((a, b), te.compute(shape, total, "total", axes=names))


def _product(
    inputs: tuple[te.Tensor, ...], sums: te.Tensor, finish: Callable[..., te.Expr] = lambda value, *at: value
) -> Expression:
    names = [f"i{axis}" for axis in range(len(sums.shape))]
    y = te.compute(sums.shape, lambda *at: finish(sums[at], *at), "y", axes=names)
    return Expression(inputs, rows_of_sums(y, sums))


def dense(op: qgraph.DenseOp) -> Expression:
    """Buffers: x, w, bias where there is one, y."""
    *leading, depth = qgraph.shape_of(op.x)
    transposed = bool(op.transposed.value.data)
    columns = qgraph.shape_of(op.y)[-1]
    operands = (op.x, op.w) if op.bias is None else (op.x, op.w, op.bias)
    shapes = [(prod(leading), depth), qgraph.shape_of(op.w), (columns,)][: len(operands)]
    inputs = placeholders(operands, shapes)
    x, w, k = inputs[0], inputs[1], te.reduce_axis(depth)

    def total(m: te.Expr, j: te.Expr) -> te.Expr:
        return te.sum(x[m, k] * (w[j, k] if transposed else w[k, j]), k)

    def finish(value: te.Expr, _: te.Expr, j: te.Expr) -> te.Expr:
        return value if op.bias is None else value + inputs[2][j]

    return _product(inputs, te.compute((prod(leading), columns), total, "total", axes=["i0", "i1"]), finish)


def conv(op: qgraph.ConvOp) -> Expression:
    """Buffers: x, w, bias where there is one, y."""
    (_, _, height, width), (images, channels, oh, ow) = qgraph.shape_of(op.x), qgraph.shape_of(op.y)
    _, depth, kh, kw = qgraph.shape_of(op.w)
    operands = (op.x, op.w) if op.bias is None else (op.x, op.w, op.bias)
    inputs = placeholders(operands, [qgraph.shape_of(op.x), qgraph.shape_of(op.w), (channels,)][: len(operands)])
    x, w = inputs[:2]
    per_group = channels // op.groups.value.data
    taps = te.reduce_axis(depth, "c"), te.reduce_axis(kh, "p"), te.reduce_axis(kw, "q")

    def total(n: te.Expr, o: te.Expr, i: te.Expr, j: te.Expr) -> te.Expr:
        row, column, inside = window_tap(op, (height, width), (oh, ow), (i, j), taps[1:])
        value = x[n, o // per_group * depth + taps[0], row, column]
        value = value if inside is None else te.select(inside, value, 0.0)
        return te.sum(value * w[(o, *taps)], taps)

    def finish(value: te.Expr, *at: te.Expr) -> te.Expr:
        return value if op.bias is None else value + inputs[2][at[1]]

    names = [f"i{k}" for k in range(4)]
    return _product(inputs, te.compute((images, channels, oh, ow), total, "total", axes=names), finish)


def conv_transpose(op: floats.ConvTransposeOp) -> Expression:
    """Buffers: x, w, bias where there is one, y."""
    (_, _, height, width), (images, channels, oh, ow) = qgraph.shape_of(op.x), qgraph.shape_of(op.y)
    inputs_, per_group, kh, kw = qgraph.shape_of(op.w)
    groups = op.groups.value.data
    operands = (op.x, op.w) if op.bias is None else (op.x, op.w, op.bias)
    inputs = placeholders(operands, [qgraph.shape_of(op.x), qgraph.shape_of(op.w), (channels,)][: len(operands)])
    x, w = inputs[:2]
    depth = inputs_ // groups
    expansion, pads, dilations = (qgraph.ints(v) for v in (op.expansion, op.pads, op.dilations))
    taps = te.reduce_axis(depth, "c"), te.reduce_axis(kh, "p"), te.reduce_axis(kw, "q")

    def total(n: te.Expr, o: te.Expr, i: te.Expr, j: te.Expr) -> te.Expr:
        c, p, q = taps
        rows, inside_rows = expanded_tap(i, p, expansion[0], pads[0], dilations[0], height)
        columns, inside_columns = expanded_tap(j, q, expansion[1], pads[1], dilations[1], width)
        source = o // per_group * depth + c
        value = te.select(te.every([*inside_rows, *inside_columns]), x[n, source, rows, columns], 0.0)
        return te.sum(value * w[source, o % per_group, kh - 1 - p, kw - 1 - q], taps)

    def finish(value: te.Expr, *at: te.Expr) -> te.Expr:
        return value if op.bias is None else value + inputs[2][at[1]]

    names = [f"i{k}" for k in range(4)]
    return _product(inputs, te.compute((images, channels, oh, ow), total, "total", axes=names), finish)


def average_pool(op: floats.AveragePoolOp) -> Expression:
    """Buffers: x, counts, y."""
    return window_means(op, lambda value: value, lambda mean: mean)


def global_average_pool(op: floats.GlobalAveragePoolOp) -> Expression:
    """Buffers: x, y."""
    images, channels, *plane = qgraph.shape_of(op.x)
    pixels = prod(plane)
    (x,) = placeholders([op.x], [(images * channels, pixels)])
    parts, total = row_sums("total", (images * channels,), pixels, lambda i, k: x[i, k])
    y = te.compute((images * channels,), lambda i: total[i] / float(pixels), "y")
    schedule = te.Schedule(y)
    for tensor in (total, *parts):
        schedule[tensor].compute_at(y, "i")
    return Expression((x,), schedule)


EXPRESSIONS: dict[type[Operation], Callable[[Any], Expression]] = {
    floats.UnaryOp: unary,
    floats.BinaryOp: binary,
    floats.ReduceOp: reduce,
    floats.MatMulOp: matmul,
    floats.SoftmaxOp: softmax,
    floats.AveragePoolOp: average_pool,
    floats.GlobalAveragePoolOp: global_average_pool,
    floats.ConvTransposeOp: conv_transpose,
    qgraph.ConvOp: conv,
    qgraph.DenseOp: dense,
}
"""The expression of every float operation."""
