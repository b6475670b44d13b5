"""Host kernel that packs an image of few channels with windows of its pixels as channels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from xdsl.dialects.func import FuncOp
from xdsl.ir import SSAValue

from ..conv_task import Fold
from ..dialects import qgraph
from .builder import HostFunction, Index

_Run = tuple[int, int, tuple[int, int, int]]
"""First lane, number of lanes, and what they come from: channel, row and column from the window's first pixel."""

VECTORS = (16, 8, 4, 2, 1)
"""Bytes that are copied at a time."""


def copies(length: int) -> Iterator[tuple[int, int]]:
    """Where vectors begin, and how long they are, so that they cover a run exactly; the last may overlap another.

    >>> list(copies(7)), list(copies(16))
    ([(0, 4), (3, 4)], [(0, 16)])
    """
    size = next(v for v in VECTORS if v <= length)
    for start in range(0, length - size + 1, size):
        yield start, size
    if length % size:
        rest = length % size
        # A run that is a little longer than its vectors takes the shortest one that reaches its end.
        last = min(v for v in VECTORS if v >= rest)
        yield length - last, last


def pack_folded(op: qgraph.PackOp, name: str, fold: Fold) -> FuncOp:
    """Buffers: x, y. See `PackOp` and `Fold`; lanes beyond the last channel hold 0.

    A padded image is made first, each channel's rows in one piece. In it, taps of one row of the kernel that lie side
    by side are copied together.
    """
    images, tiles = qgraph.shape_of(op.x), qgraph.shape_of(op.y)
    _, blocks, height, width, batch, lanes = tiles
    padded = (
        images[1],
        *(
            (count - 1) * pitch + (window - 1) * dilation + 1
            for count, pitch, window, dilation in zip(
                (height, width), fold.pitch, fold.window, fold.dilation, strict=True
            )
        ),
    )
    f = HostFunction(name, [(images, qgraph.dtype_of(op.x)), (tiles, np.int8)])
    x, y = f.buffers
    image = f.scratch(padded)
    f.nest(padded, lambda at: f.store(f.int8(op.pad_value.value.data), image, at))
    if images[0] % batch:
        f.nest(tiles, lambda at: f.store(f.int8(0), y, at))
    top, left, _, _ = qgraph.ints(op.pads)
    # Rows and columns that no window reaches are left out.
    rows, columns = min(images[2], padded[1] - top), min(images[3], padded[2] - left)

    def whole(m: SSAValue) -> None:
        def bring(at: list[SSAValue]) -> None:
            c, row, column = at
            value = f.sub(f.load_int32(x, [m, c, row, column]), f.int32(op.shift.value.data))
            f.store_int8(value, image, [c, f.add(row, top), f.add(column, left)])

        f.nest((images[1], rows, columns), bring)
        group, member = f.divide(m, batch), f.remainder(m, batch)
        for block in range(blocks):
            runs = list(_runs(fold, padded[0], block * lanes, lanes))

            def pixel(at: list[SSAValue], block: int = block, runs: list[_Run] = runs) -> None:
                row, column = at
                first, start = f.mul(row, fold.pitch[0]), f.mul(column, fold.pitch[1])
                tile: list[Index] = [group, block, row, column, member]
                for lane, length, (c, down, right) in runs:
                    for offset, size in copies(length):
                        value = f.load_vector(image, [c, f.add(first, down), f.add(start, right + offset)], size)
                        f.store_vector(value, y, [*tile, lane + offset])
                for lane in range(sum(length for _, length, _ in runs), lanes):
                    f.store(f.int8(0), y, [*tile, lane])

            f.nest((height, width), pixel)

    f.nest((images[0],), lambda at: whole(at[0]))
    return f.finish()


def _runs(fold: Fold, channels: int, first: int, lanes: int) -> Iterator[_Run]:
    """The lanes of one block that have a channel, in pieces that lie side by side in the padded image."""
    _, width = fold.window
    lane, end = 0, min(lanes, channels * fold.taps - first)
    while lane < end:
        channel, tap = divmod(first + lane, fold.taps)
        row, column = divmod(tap, width)
        length = min(width - column, end - lane) if fold.dilation[1] == 1 else 1
        yield lane, length, (channel, row * fold.dilation[0], column * fold.dilation[1])
        lane += length
