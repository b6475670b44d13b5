"""Quantised convolutions and matrix products by byte products, their weights packed at compile time.

An input is laid out as `gathering` says, so that every row of a product is at a fixed offset, and so is every tap from
it. What is constant, zero points and the 128 of int8 included, is in the bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.func import FuncOp
from xdsl.ir import SSAValue

from ..dialects import qgraph
from .builder import HostFunction, Index
from .elementwise import Parameters
from .gathering import Gatherer, Image, shift_of
from .templates.int8_units import GROUP
from .templates.requantised_product import requantised_product
from .transposing import Matrix, turn

MOST_ROWS, MOST_COLUMNS = 8, 32
"""Of one tile; both are multiples of what every level of templates computes at once."""

FEWEST_CHANNELS = 4
"""Input and output channels from which a group's products of bytes pay; with fewer, most lanes would be idle."""


@dataclass(frozen=True)
class _Product:
    """What an operation is as products of bytes.

    Parameters
    ----------
    weights : int array
        Of shape (groups, channels, taps, depth), zero points taken away.
    rows, taps : int array
        Where the rows' first bytes lie in a group's input, and each tap from there.
    size : int
        Bytes of one group's input.
    """

    weights: NDArray[np.int16]
    bias: NDArray[np.int64]
    rows: NDArray[np.int64]
    taps: NDArray[np.int64]
    size: int

    @property
    def tile(self) -> tuple[int, int]:
        """Rows and columns of what one call computes."""
        channels = self.weights.shape[1]
        return min(MOST_ROWS, len(self.rows)), MOST_COLUMNS if channels > MOST_COLUMNS // 2 else MOST_COLUMNS // 2

    @property
    def blocks(self) -> int:
        """Tiles that a group's channels take."""
        return -(-self.weights.shape[1] // self.tile[1])

    @property
    def padded_rows(self) -> int:
        return _up(len(self.rows), self.tile[0])

    @property
    def groups(self) -> int:
        return self.weights.shape[0]

    @property
    def steps(self) -> int:
        """Groups of four that the depth takes."""
        return -(-self.weights.shape[3] // GROUP)


def are_constant(op: qgraph.QConvOp | qgraph.QDenseOp) -> bool:
    """Whether weights and bias are known now."""
    values = (op.w,) if op.bias is None else (op.w, op.bias)
    return all(isinstance(value.owner, qgraph.ConstantOp) for value in values)


def fits(op: qgraph.QConvOp | qgraph.QDenseOp) -> bool:
    """Whether an operation's constants are known, and its groups large enough for products of bytes."""
    if not are_constant(op):
        return False
    groups = op.groups.value.data if isinstance(op, qgraph.QConvOp) else 1
    return groups == 1 or min(qgraph.shape_of(op.w)[1], op.channels // groups) >= FEWEST_CHANNELS


def split(weights: NDArray[np.int16], taps: NDArray[np.int64]) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """Weights (groups, channels, taps, depth) as sums of bytes: what does not fit one is a further tap at its place."""
    parts, rest = [], weights
    while not parts or rest.any():
        parts.append(np.clip(rest, -128, 127))
        rest = rest - parts[-1]
    return np.concatenate(parts, 2), np.tile(taps, len(parts))


def weights_of(op: qgraph.QConvOp | qgraph.QDenseOp) -> NDArray[np.int16]:
    """Weights less their zero points, (channels, …)."""
    assert isinstance(op.w.owner, qgraph.ConstantOp)
    values = op.w.owner.values.astype(np.int16)
    zeros = np.broadcast_to(qgraph.array(op.w_zero), op.channels).astype(np.int16)
    return values - zeros.reshape(-1, *[1] * (values.ndim - 1))


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _image(op: qgraph.QConvOp) -> Image:
    return Image(op, op.groups.value.data, GROUP)


def _convolution(op: qgraph.QConvOp) -> _Product:
    groups, image = op.groups.value.data, _image(op)
    channels, depth, height, width = qgraph.shape_of(op.w)
    weights = weights_of(op).reshape(groups, channels // groups, depth, height * width).transpose(0, 1, 3, 2)
    pixels, taps = image.windows()
    bias, (weights, taps) = bias_of(op, weights), split(weights, taps)
    return _Product(weights, bias, pixels, taps, image.size)


def _dense(op: qgraph.QDenseOp) -> _Product:
    channels, depth = qgraph.shape_of(op.w)
    rows = int(np.prod(qgraph.shape_of(op.x)[:-1]))
    weights = weights_of(op).reshape(1, channels, 1, depth)
    pitch = _up(depth, GROUP)
    bias, (weights, taps) = bias_of(op, weights), split(weights, np.zeros(1, np.int64))
    return _Product(weights, bias, np.arange(rows) * pitch, taps, rows * pitch)


def _product(op: qgraph.QConvOp | qgraph.QDenseOp) -> _Product:
    return _convolution(op) if isinstance(op, qgraph.QConvOp) else _dense(op)


def bias_of(op: qgraph.QConvOp | qgraph.QDenseOp, weights: NDArray[np.int16]) -> NDArray[np.int64]:
    """(groups, channels): with what the input's zero point and shift add to every sum taken away."""
    bias = np.zeros(op.channels, np.int64)
    if op.bias is not None:
        assert isinstance(op.bias.owner, qgraph.ConstantOp)
        bias = bias + op.bias.owner.values
    return bias.reshape(weights.shape[:2]) - (op.x_zero.value.data + shift_of(op)) * weights.sum(
        axis=(2, 3), dtype=np.int64
    )


def parameters(op: qgraph.QConvOp | qgraph.QDenseOp) -> Parameters:
    """Weights [group][block][tap][depth / 4][column][4] int8, bias, scale, and the offsets of rows and taps."""
    return _packed(op, _product(op))


def _packed(op: qgraph.QConvOp | qgraph.QDenseOp, product: _Product) -> Parameters:
    groups, channels, taps, depth = product.weights.shape
    columns, blocks = product.tile[1], product.blocks
    packed = np.zeros((groups, blocks * columns, taps, product.steps * GROUP), np.int8)
    packed[:, :channels, :, :depth] = product.weights
    packed = packed.reshape(groups, blocks, columns, taps, product.steps, GROUP).transpose(0, 1, 3, 4, 2, 5)

    def for_columns(values: NDArray[Any], dtype: str) -> NDArray[np.int32 | np.float32]:
        padded = np.zeros((groups, blocks * columns), dtype)
        padded[:, :channels] = values.reshape(groups, channels)
        return padded

    bias = for_columns(product.bias.astype(np.int32), "<i4")
    scale = for_columns(np.broadcast_to(qgraph.array(op.scale), op.channels), "<f4")
    missing = product.padded_rows - len(product.rows)
    rows = np.pad(product.rows, (0, missing), mode="edge")
    return np.ascontiguousarray(packed), bias, scale, rows.astype("<i4"), product.taps.astype("<i4")


def _function(
    op: qgraph.QConvOp | qgraph.QDenseOp, product: _Product, name: str, x: Sequence[int], y: Sequence[int]
) -> HostFunction:
    unused = [(qgraph.shape_of(op.w), qgraph.dtype_of(op.w))]
    if op.bias is not None:
        unused.append(((op.channels,), np.dtype(np.int32)))
    packed = [(values.shape, values.dtype) for values in _packed(op, product)]
    return HostFunction(name, [(x, qgraph.dtype_of(op.x)), *unused, *packed, (y, qgraph.dtype_of(op.y))])


def _tiles(
    f: HostFunction,
    op: qgraph.QConvOp | qgraph.QDenseOp,
    product: _Product,
    gathered: SSAValue,
    results: SSAValue,
) -> None:
    """Every tile: ``results`` is [group][block][row][column]."""
    rows, columns = product.tile
    weights, bias, scale, offsets, taps = f.buffers[-6:-1]
    zero, low, high = (attribute.value.data for attribute in (op.y_zero, op.low, op.high))
    template = requantised_product(rows, columns)
    block_bytes = len(product.taps) * product.steps * GROUP * columns

    def tile(at: list[SSAValue]) -> None:
        group, block, strip = at
        whole = f.add(f.mul(group, product.blocks), block)
        first, channel = f.mul(strip, rows), f.mul(whole, columns)
        f.call(
            template,
            (results, f.mul(f.add(f.mul(whole, product.padded_rows), first), columns)),
            (gathered, f.mul(group, product.size)),
            (weights, f.mul(whole, block_bytes)),
            (bias, channel),
            (scale, channel),
            (offsets, first),
            (taps, 0),
            *(len(product.taps), product.steps, columns, zero, low - zero, high - zero),
        )

    f.nest((product.groups, product.blocks, product.padded_rows // rows), tile)


def _result_bytes(product: _Product) -> int:
    return product.groups * product.blocks * product.padded_rows * product.tile[1]


def dense(op: qgraph.QDenseOp, name: str) -> FuncOp:
    """Buffers: x, w, bias where there is one, what `parameters` gives, y."""
    product = _dense(op)
    depth, rows, (_, columns) = qgraph.shape_of(op.w)[1], len(product.rows), product.tile
    f = _function(op, product, name, (rows, depth), (rows, op.channels))
    x, y = f.buffers[0], f.buffers[-1]
    gathered, results = f.scratch((rows, product.steps * GROUP)), f.scratch((_result_bytes(product),))
    if depth % GROUP:
        f.nest((rows, product.steps * GROUP), lambda at: f.store(f.int8(0), gathered, at))
    shift = f.int32(shift_of(op))
    f.nest((rows, depth), lambda at: f.store_int8(f.add(f.load_int32(x, at), shift), gathered, at))
    _tiles(f, op, product, gathered, results)
    full, rest = divmod(op.channels, columns)

    def copy(row: SSAValue, block: Index, lane: SSAValue) -> None:
        place = f.add(f.mul(f.add(f.mul(block, product.padded_rows), row), columns), lane)
        f.store(f.load(results, [place]), y, [row, f.add(lane, f.mul(block, columns))])

    f.nest((rows, full, columns), lambda at: copy(*at))
    if rest:
        f.nest((rows, rest), lambda at: copy(at[0], full, at[1]))
    return f.finish()


def convolution(op: qgraph.QConvOp, name: str) -> FuncOp:
    """Buffers: x, w, bias where there is one, what `parameters` gives, y."""
    product = _convolution(op)
    columns = product.tile[1]
    images, pixels, outputs = qgraph.shape_of(op.x)[0], len(product.rows), op.channels // product.groups
    f = _function(op, product, name, (int(np.prod(qgraph.shape_of(op.x))),), (images * op.channels * pixels,))
    gatherer, results = Gatherer(f, _image(op), f.buffers[0]), f.scratch((_result_bytes(product),))

    def leave(number: SSAValue, group: SSAValue) -> None:
        for block in range(product.blocks):
            count = min(columns, outputs - block * columns)
            place = f.mul(f.add(f.mul(group, product.blocks), block), product.padded_rows * columns)
            channel = f.add(f.mul(f.add(f.mul(number, product.groups), group), outputs), block * columns)
            to = Matrix(f.buffers[-1], f.mul(channel, pixels), pixels)
            turn(f, to, Matrix(results, place, columns), (pixels, count))

    def whole(number: SSAValue) -> None:
        gatherer.bring(number)
        _tiles(f, op, product, gatherer.gathered, results)
        f.nest((product.groups,), lambda at: leave(number, at[0]))

    f.nest((images,), lambda at: whole(at[0]))
    return f.finish()
