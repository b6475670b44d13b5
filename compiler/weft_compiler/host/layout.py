"""Host kernels between the network's layout and the accelerator's tiles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from xdsl.dialects import arith
from xdsl.dialects.builtin import IntegerAttr, i8
from xdsl.dialects.func import FuncOp
from xdsl.ir import SSAValue

from ..dialects import qgraph
from .builder import HostFunction, Index
from .folding import pack_folded


def as_images(shape: tuple[int, ...], rows: bool) -> tuple[int, int, int, int]:
    """A tensor as (N, C, H, W): a matrix product's (…, K) has one pixel an image."""
    if rows:
        return int(np.prod(shape[:-1])), shape[-1], 1, 1
    assert len(shape) == 4
    return shape


def _blocked(
    f: HostFunction,
    images: tuple[int, int, int, int],
    batch: int,
    block: int,
    rows: bool,
    body: Callable[[list[Index], list[Index]], None],
) -> None:
    """Call ``body(plain subscripts, tiled subscripts)`` for every element of a tensor.

    Whole blocks of channels and the rest of them are two nests, so that no loop tests a bound.
    """
    n, channels, height, width = images

    def element(first: Index, at: list[SSAValue]) -> None:
        m, block_index, y, x, lane = at
        whole = f.add(f.mul(block_index, block), lane) if isinstance(first, SSAValue) else f.add(lane, first)
        group, member = f.divide(m, batch), f.remainder(m, batch)
        tile: list[Index] = [0, block_index, 0, group] if rows else [group, block_index, y, x]
        body([m, whole, y, x], [*tile, member, lane])

    full, rest = divmod(channels, block)
    f.nest((n, full, height, width, block), lambda at: element(at[1], at))
    if rest:

        def remainder(at: list[SSAValue]) -> None:
            m, y, x, lane = at
            element(full * block, [m, f.at(full), y, x, lane])

        f.nest((n, height, width, rest), remainder)


def pack(op: qgraph.PackOp, name: str) -> FuncOp:
    """Buffers: x, y. The padding and the unused lanes hold the pad value; lanes meet weights that are 0."""
    if (fold := op.folding) is not None:
        return pack_folded(op, name, fold)
    rows = bool(op.rows.value.data)
    images, tiles = as_images(qgraph.shape_of(op.x), rows), qgraph.shape_of(op.y)
    f = HostFunction(name, [(images, qgraph.dtype_of(op.x)), (tiles, np.int8)])
    x, y = f.buffers
    top, left, _, _ = qgraph.ints(op.pads)
    shift = f.int32(op.shift.value.data)
    fill = f.emit(arith.ConstantOp(IntegerAttr(op.pad_value.value.data, i8)))
    if int(np.prod(tiles)) != int(np.prod(images)):
        f.nest(tiles, lambda at: f.store(fill, y, at))

    def copy(plain: list[Index], tile: list[Index]) -> None:
        group, block, row, column, member, lane = tile
        place = [group, block, f.add(row, top), f.add(column, left), member, lane]
        f.store_int8(f.sub(f.load_int32(x, plain), shift), y, place)

    _blocked(f, images, tiles[4], tiles[5], rows, copy)
    return f.finish()


def unpack(op: qgraph.UnpackOp, name: str) -> FuncOp:
    """Buffers: x, y."""
    rows = bool(op.rows.value.data)
    images, tiles = as_images(qgraph.shape_of(op.y), rows), qgraph.shape_of(op.x)
    f = HostFunction(name, [(tiles, np.int8), (images, qgraph.dtype_of(op.y))])
    x, y = f.buffers
    shift = f.int32(op.shift.value.data)

    def copy(plain: list[Index], tile: list[Index]) -> None:
        f.store_int8(f.add(f.load_int32(x, tile), shift), y, plain)

    _blocked(f, images, tiles[4], tiles[5], rows, copy)
    return f.finish()


def requantize(op: qgraph.RequantizeOp, name: str) -> FuncOp:
    """Buffers: accumulators, or their bytes plane by plane, bias, scale, y."""
    rows = bool(op.rows.value.data)
    images, stored = as_images(qgraph.shape_of(op.y), rows), qgraph.shape_of(op.x)
    planes, tiles = (stored[:-6], stored[-6:])
    channels = images[1]
    f = HostFunction(
        name,
        [
            (stored, np.uint8 if planes else np.int32),
            ((channels,), np.int32),
            ((channels,), np.float32),
            (images, qgraph.dtype_of(op.y)),
        ],
    )
    x, bias, scale, y = f.buffers
    zero, low, high = op.y_zero.value.data, op.low.value.data, op.high.value.data

    def convert(plain: list[Index], tile: list[Index]) -> None:
        if planes:
            parts = [f.load_int32(x, [plane, *tile]) for plane in range(*planes)]
            total = parts[-1]
            for part in parts[-2::-1]:
                total = f.add(f.mul(total, f.int32(256)), part)
        else:
            total = f.load(x, tile)
        total = f.add(total, f.load(bias, [plain[1]]))
        value = f.times(f.to_float(total), f.load(scale, [plain[1]]))
        f.store_int8(f.quantised(value, f.int32(zero), (low - zero, high - zero)), y, plain)

    _blocked(f, images, tiles[4], tiles[5], rows, convert)
    return f.finish()
