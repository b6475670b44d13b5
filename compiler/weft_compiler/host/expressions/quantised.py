"""Quantised operations on the host, with onnxruntime's arithmetic; see `dialects.quantised` for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from xdsl.dialects.builtin import FloatAttr, IntegerAttr
from xdsl.ir import Operation

from ... import te
from ...dialects import qgraph, quantised
from .expression import Expression, elementwise, flat, narrowed, parameters, placeholders, scheduled
from .windows import broadcast_index, expanded_tap, rows_of_sums, window_means, window_tap


def _result(op: Any, value: te.Expr, zero: int = 0) -> te.Expr:
    """A float in the result's type; ``zero`` is added behind the rounding."""
    low, high = op.low.value.data - zero, op.high.value.data - zero
    dtype = qgraph.dtype_of(op.y)
    if not zero:
        return narrowed(value, low, high, dtype)
    return (narrowed(value, low, high, np.dtype("int32")) + zero).cast(dtype.name)


def _number(attribute: FloatAttr | IntegerAttr) -> Any:
    return attribute.value.data


def _centred(value: te.Expr, zero: int) -> te.Expr:
    """An 8-bit value less its zero point, int32."""
    wide = value.cast("int32")
    return wide - zero if zero else wide


def qadd(op: quantised.QAddOp) -> Expression:
    """Buffers: a, b, y."""

    def body(a: te.Expr, b: te.Expr) -> te.Expr:
        inner = te.fma(b.cast("int32").cast("float32"), _number(op.b_scale), float(op.offset))
        return _result(op, te.fma(a.cast("int32").cast("float32"), _number(op.a_scale), inner))

    inputs, y = elementwise((op.a, op.b), qgraph.shape_of(op.y), body)
    return Expression(inputs, scheduled(y))


def qmul(op: quantised.QMulOp) -> Expression:
    """Buffers: a, b, y."""

    def body(a: te.Expr, b: te.Expr) -> te.Expr:
        product = _centred(a, _number(op.a_zero)) * _centred(b, _number(op.b_zero))
        scaled = product.cast("float32") * _number(op.scale)
        return _result(op, scaled + float(_number(op.y_zero)))

    inputs, y = elementwise((op.a, op.b), qgraph.shape_of(op.y), body)
    return Expression(inputs, scheduled(y))


def lookup(op: quantised.LookupOp) -> Expression:
    """Buffers: x, table, y."""
    (x,), values = placeholders([op.x], [flat(op.x)]), op.values
    (table,) = parameters(values)
    y = te.compute(x.shape, lambda i: table[x[i].cast("uint8").cast("int64")], "y")
    return Expression((x, table), te.Schedule(y), (values,))


def qglobal_average_pool(op: quantised.QGlobalAveragePoolOp) -> Expression:
    """Buffers: x, y."""
    images, channels, *plane = qgraph.shape_of(op.x)
    planes, pixels = images * channels, int(np.prod(plane))
    (x,) = placeholders([op.x], [(planes, pixels)])
    k = te.reduce_axis(pixels)
    total = te.compute((planes,), lambda i: te.sum(x[i, k].cast("int32"), k), "total")
    bias = -_number(op.x_zero) * pixels

    def element(i: te.Expr) -> te.Expr:
        return _result(op, (total[i] + bias).cast("float32") * _number(op.scale), _number(op.y_zero))

    y = te.compute((planes,), element, "y")
    return Expression((x,), scheduled(y))


def qaverage_pool(op: quantised.QAveragePoolOp) -> Expression:
    """Buffers: x, counts, y."""

    def element(value: te.Expr) -> te.Expr:
        return _centred(value, _number(op.x_zero)).cast("float32") * _number(op.x_scale)

    def finish(mean: te.Expr) -> te.Expr:
        return _result(op, mean / _number(op.y_scale) + float(_number(op.y_zero)))

    return window_means(op, element, finish)


def qsoftmax(op: quantised.QSoftmaxOp) -> Expression:
    """Buffers: x, table, y."""
    *leading, length = qgraph.shape_of(op.x)
    rows, values = int(np.prod(leading)), qgraph.array(op.table)
    (x,), (table,) = placeholders([op.x], [(rows, length)]), parameters(values)
    k, m = te.reduce_axis(length), te.reduce_axis(length)
    largest = te.compute((rows,), lambda i: te.max(x[i, k].cast("int32"), k), "largest")

    def exponential(i: te.Expr, j: te.Expr) -> te.Expr:
        # The distance never leaves 0..255; bounds tell so to whoever checks subscripts.
        index = te.minimum(te.maximum(x[i, j].cast("int32") - largest[i] + 255, 0), 255)
        return table[index.cast("int64")]

    e = te.compute((rows, length), exponential, "e")
    total = te.compute((rows,), lambda i: te.sum(e[i, m], m), "total")
    dtype, zero = qgraph.dtype_of(op.y), _number(op.y_zero)
    highest = int(np.iinfo(dtype).max)
    beyond = highest if dtype == np.int8 and zero < 0 else zero

    def element(i: te.Expr, j: te.Expr) -> te.Expr:
        value = (e[i, j] * _number(op.inverse_scale)) / total[i]
        share = narrowed(value, 0, highest - zero, np.dtype("int32")) + zero
        return te.select(value < float("inf"), share, beyond).cast(dtype.name)

    y = te.compute((rows, length), element, "y")
    schedule = te.Schedule(y)
    for tensor in (total, e, largest):
        schedule[tensor].compute_at(y, "i")
    return Expression((x, table), schedule, (values,))


def qmatmul(op: quantised.QMatMulOp) -> Expression:
    """Buffers: a, b, y, with a row of sums at a time in the inner loop."""
    a_shape, b_shape, shape = (qgraph.shape_of(v) for v in (op.a, op.b, op.y))
    a, b = placeholders((op.a, op.b))
    scales = qgraph.array(op.scale)
    (scale,) = parameters(scales)
    k = te.reduce_axis(a_shape[-1])
    names = [f"i{axis}" for axis in range(len(shape))]

    def total(*at: te.Expr) -> te.Expr:
        left = _centred(a[(*broadcast_index(a_shape[:-2], at[:-2]), at[-2], k)], _number(op.a_zero))
        right = _centred(b[(*broadcast_index(b_shape[:-2], at[:-2]), k, at[-1])], _number(op.b_zero))
        return te.sum(left * right, k)

    sums = te.compute(shape, total, "total", axes=names)

    def element(*at: te.Expr) -> te.Expr:
        factor = scale[at[-1] if scales.size > 1 else 0]
        return _result(op, sums[at].cast("float32") * factor, _number(op.y_zero))

    y = te.compute(shape, element, "y", axes=names)
    return Expression((a, b, scale), rows_of_sums(y, sums), (scales,))


def qconv_transpose(op: quantised.QConvTransposeOp) -> Expression:
    """Buffers: x, w, bias where there is one, scale, y."""
    (_, _, height, width), (images, channels, oh, ow) = qgraph.shape_of(op.x), qgraph.shape_of(op.y)
    _, depth, kh, kw = qgraph.shape_of(op.w)
    operands = (op.x, op.w) if op.bias is None else (op.x, op.w, op.bias)
    inputs = placeholders(operands)
    x, w = inputs[:2]
    expansion, pads, dilations = (qgraph.ints(v) for v in (op.expansion, op.pads, op.dilations))
    zeros = np.broadcast_to(qgraph.array(op.w_zero), channels).astype(np.int32)
    scales = np.ascontiguousarray(np.broadcast_to(qgraph.array(op.scale), channels))
    zero, scale = parameters(zeros, scales)
    per_group = channels // op.groups.value.data
    taps = te.reduce_axis(depth, "c"), te.reduce_axis(kh, "p"), te.reduce_axis(kw, "q")

    def total(n: te.Expr, o: te.Expr, i: te.Expr, j: te.Expr) -> te.Expr:
        c, p, q = taps
        row, inside_rows = expanded_tap(i, p, expansion[0], pads[0], dilations[0], height)
        column, inside_columns = expanded_tap(j, q, expansion[1], pads[1], dilations[1], width)
        value = _centred(x[n, o // per_group * depth + c, row, column], _number(op.x_zero))
        weight = w[o, c, p, q].cast("int32") - zero[o]
        return te.sum(te.select(te.every([*inside_rows, *inside_columns]), value, 0) * weight, taps)

    sums = te.compute((images, channels, oh, ow), total, "total")

    def element(n: te.Expr, o: te.Expr, i: te.Expr, j: te.Expr) -> te.Expr:
        value = sums[n, o, i, j] + inputs[2][o] if op.bias is not None else sums[n, o, i, j]
        return _result(op, value.cast("float32") * scale[o], _number(op.y_zero))

    y = te.compute((images, channels, oh, ow), element, "y")
    return Expression((*inputs, zero, scale), rows_of_sums(y, sums), (zeros, scales))


def conv_integer(op: quantised.ConvIntegerOp) -> Expression:
    """Buffers: x, w, weight zero points, y."""
    (_, _, height, width), shape = qgraph.shape_of(op.x), qgraph.shape_of(op.y)
    channels, depth, kh, kw = qgraph.shape_of(op.w)
    x, w = placeholders((op.x, op.w))
    zeros = np.broadcast_to(qgraph.array(op.w_zero), channels).astype(np.int32)
    (zero,) = parameters(zeros)
    per_group = channels // op.groups.value.data
    taps = te.reduce_axis(depth, "c"), te.reduce_axis(kh, "p"), te.reduce_axis(kw, "q")

    def total(n: te.Expr, o: te.Expr, i: te.Expr, j: te.Expr) -> te.Expr:
        row, column, inside = window_tap(op, (height, width), shape[2:], (i, j), taps[1:])
        value = _centred(x[n, o // per_group * depth + taps[0], row, column], _number(op.x_zero))
        value = value if inside is None else te.select(inside, value, 0)
        return te.sum(value * (w[(o, *taps)].cast("int32") - zero[o]), taps)

    return Expression((x, w, zero), te.Schedule(te.compute(shape, total, "y")), (zeros,))


def matmul_integer(op: quantised.MatMulIntegerOp) -> Expression:
    """Buffers: a, b, zero points of b, y."""
    a_shape, b_shape, shape = (qgraph.shape_of(v) for v in (op.a, op.b, op.y))
    a, b = placeholders((op.a, op.b))
    zeros = np.broadcast_to(qgraph.array(op.b_zero), shape[-1]).astype(np.int32)
    (zero,) = parameters(zeros)
    k, names = te.reduce_axis(a_shape[-1]), [f"i{axis}" for axis in range(len(shape))]

    def total(*at: te.Expr) -> te.Expr:
        left = _centred(a[(*broadcast_index(a_shape[:-2], at[:-2]), at[-2], k)], _number(op.a_zero))
        right = b[(*broadcast_index(b_shape[:-2], at[:-2]), k, at[-1])].cast("int32") - zero[at[-1]]
        return te.sum(left * right, k)

    sums = te.compute(shape, total, "total", axes=names)
    y = te.compute(shape, lambda *at: sums[at], "y", axes=names)
    return Expression((a, b, zero), rows_of_sums(y, sums), (zeros,))


EXPRESSIONS: dict[type[Operation], Callable[[Any], Expression]] = {
    quantised.QAddOp: qadd,
    quantised.QMulOp: qmul,
    quantised.LookupOp: lookup,
    quantised.QGlobalAveragePoolOp: qglobal_average_pool,
    quantised.QAveragePoolOp: qaverage_pool,
    quantised.QSoftmaxOp: qsoftmax,
    quantised.QMatMulOp: qmatmul,
    quantised.QConvTransposeOp: qconv_transpose,
    quantised.ConvIntegerOp: conv_integer,
    quantised.MatMulIntegerOp: matmul_integer,
}
"""The expression of every quantised operation."""
