"""Both factors of a product between the network's layout and the accelerator's tiles; see `dialects.products`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from xdsl.ir import Operation

from ... import te
from ...accel.intrinsics.requantise import BIAS, SCALE
from ...dialects import products, qgraph
from .expression import VECTOR, Expression, narrowed, parameters, placeholders, scheduled


def _matrix_of(group: te.Expr, own: Sequence[int], leading: Sequence[int]) -> te.Expr | int:
    """Which matrix of an operand with leading axes ``own`` a product takes, all axes counted as one."""
    padded = (1,) * (len(leading) - len(own)) + tuple(own)
    if padded == tuple(leading):
        return group
    place: te.Expr | int = 0
    for axis, size in enumerate(padded):
        if size > 1:
            position = group // prod(leading[axis + 1 :]) % size
            place = position * prod(padded[axis + 1 :]) + place
    return place


def _matrices(op: Any) -> tuple[te.Tensor, tuple[int, ...], int]:
    """The operand as (matrices, rows, columns), the product's leading axes, and how many products there are."""
    *own, rows, columns = qgraph.shape_of(op.x)
    (x,) = placeholders([op.x], [(prod(own), rows, columns)])
    leading = qgraph.ints(op.leading)
    return x, leading, prod(leading)


def _shifted(value: te.Expr, shift: int) -> te.Expr:
    return (value.cast("int32") - shift).cast("int8") if shift else value


def pack_rows(op: products.PackRowsOp) -> Expression:
    """Buffers: x, y."""
    x, leading, groups = _matrices(op)
    _, channels, _, width, batch, block = qgraph.shape_of(op.y)
    _, rows, depth = x.shape
    own, copies, blocks = qgraph.shape_of(op.x)[:-2], op.copies.value.data, channels // groups

    def element(g: te.Expr, c: te.Expr, m: te.Expr, i: te.Expr) -> te.Expr:
        lane = c * block + i
        value = _shifted(x[_matrix_of(g, own, leading), m, lane % depth if copies > 1 else lane], op.shift.value.data)
        conditions = [lane < copies * depth] if copies * depth < blocks * block else []
        conditions += [m < rows] if rows < width * batch else []
        return te.select(te.every(conditions), value, 0) if conditions else value

    y = te.compute((groups, blocks, width * batch, block), element, "y", axes=["g", "c", "m", "i"])
    return Expression((x,), scheduled(y))


def pack_columns(op: products.PackColumnsOp) -> Expression:
    """Buffers: x, parts where there are any, y."""
    x, leading, groups = _matrices(op)
    channels, blocks, _, _, block_out, block_in = qgraph.shape_of(op.y)
    _, depth, columns = x.shape
    own, copies = qgraph.shape_of(op.x)[:-2], op.copies.value.data
    constants = (qgraph.array(op.parts).astype(np.int8).reshape(copies - 1, -1),) if copies > 1 else ()
    inputs = (x, *parameters(*constants))

    def element(g: te.Expr, n: te.Expr, c: te.Expr, o: te.Expr, i: te.Expr) -> te.Expr:
        lane, column = c * block_in + i, n * block_out + o
        value = _shifted(x[_matrix_of(g, own, leading), lane % depth, column], op.shift.value.data)
        if copies > 1:
            which = te.maximum(lane // depth - 1, 0)
            value = te.select(lane < depth, value, inputs[1][which, column if inputs[1].shape[1] > 1 else 0])
        conditions = [lane < copies * depth] if copies * depth < blocks * block_in else []
        conditions += [column < columns] if columns < channels // groups * block_out else []
        return te.select(te.every(conditions), value, 0) if conditions else value

    y = te.compute(
        (groups, channels // groups, blocks, block_out, block_in), element, "y", axes=["g", "n", "c", "o", "i"]
    )
    return Expression(inputs, scheduled(y), constants)


def column_parameters(op: products.ColumnParametersOp) -> Expression:
    """Buffers: x, zero points times rows, scales, y."""
    x, leading, groups = _matrices(op)
    channels, block, _ = qgraph.shape_of(op.y)
    _, depth, columns = x.shape
    own, zero = qgraph.shape_of(op.x)[:-2], op.zero.value.data
    padded = channels // groups * block
    zeros, scales = np.zeros(padded, np.int32), np.zeros(padded, np.float32)
    zeros[:columns], scales[:columns] = depth * qgraph.array(op.x_zero), qgraph.array(op.scale)
    constants = (zeros, scales.view(np.int32))
    zero_sums, bits = parameters(*constants)
    k = te.reduce_axis(depth, "k")

    def total(g: te.Expr, n: te.Expr) -> te.Expr:
        return te.sum(x[_matrix_of(g, own, leading), k, n].cast("int32"), k)

    sums = te.compute((groups, columns), total, "total", axes=["g", "n"])

    def element(g: te.Expr, n: te.Expr, what: te.Expr) -> te.Expr:
        bias = (sums[g, n] - zero_sums[n]) * -zero
        if columns < padded:
            bias = te.select(n < columns, bias, 0)
        return te.select(what.equal(BIAS), bias, bits[n])

    y = te.compute((groups, padded, 2), element, "y", axes=["g", "n", "what"])
    schedule = te.Schedule(y)
    schedule[sums].compute_at(y, "g")
    schedule[sums].reorder(k, "n")
    if columns >= VECTOR:
        schedule[sums].vectorize("n")
    return Expression((x, zero_sums, bits), schedule, constants)


def _tiled(op: Any) -> tuple[tuple[int, int, int], tuple[int, int, int, int]]:
    """The result as (groups, rows, columns), and the tiles as (groups, blocks, rows, lanes)."""
    *leading, rows, columns = qgraph.shape_of(op.y)
    _, channels, _, width, batch, block = qgraph.shape_of(op.x)[-6:]
    groups = prod(leading)
    return (groups, rows, columns), (groups, channels // groups, width * batch, block)


def unpack_rows(op: products.UnpackRowsOp) -> Expression:
    """Buffers: x, y."""
    shape, tiles = _tiled(op)
    (x,) = placeholders([op.x], [tiles])
    shift, block = op.shift.value.data, tiles[-1]
    dtype = qgraph.dtype_of(op.y).name

    def element(g: te.Expr, m: te.Expr, n: te.Expr) -> te.Expr:
        return (x[g, n // block, m, n % block].cast("int32") + shift).cast(dtype)

    return Expression((x,), scheduled(te.compute(shape, element, "y", axes=["g", "m", "n"])))


def requantize_rows(op: products.RequantizeRowsOp) -> Expression:
    """Buffers: accumulators, or their bytes plane by plane, parameters, y."""
    shape, tiles = _tiled(op)
    block, planes = tiles[-1], qgraph.shape_of(op.x)[:-6]
    x, params = placeholders([op.x, op.params], [(*planes, *tiles), (tiles[0], tiles[1] * block, 2)])

    def element(g: te.Expr, m: te.Expr, n: te.Expr) -> te.Expr:
        at = (g, n // block, m, n % block)
        if planes:
            # The highest byte has the sign.
            *low, total = (x[(plane, *at)].cast("int32") for plane in range(*planes))
            for part in reversed(low):
                total = total * 256 + (part & 255)
        else:
            total = x[at]
        total = total + params[g, n, BIAS]
        if op.y_zero is None or op.low is None or op.high is None:
            return total
        zero = op.y_zero.value.data
        scaled = total.cast("float32") * te.float_of_bits(params[g, n, SCALE])
        value = narrowed(scaled, op.low.value.data - zero, op.high.value.data - zero, np.dtype("int32")) + zero
        return value.cast(qgraph.dtype_of(op.y).name)

    return Expression((x, params), scheduled(te.compute(shape, element, "y", axes=["g", "m", "n"])))


EXPRESSIONS: dict[type[Operation], Callable[[Any], Expression]] = {
    products.PackRowsOp: pack_rows,
    products.PackColumnsOp: pack_columns,
    products.ColumnParametersOp: column_parameters,
    products.UnpackRowsOp: unpack_rows,
    products.RequantizeRowsOp: requantize_rows,
}
"""The expression of every operation of products."""
