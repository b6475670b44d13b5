"""A quantised image with its channels side by side and its padding in place, as uint8.

So every window is at a fixed offset from its pixel. int8 values have 128 added; the padding is the zero point, unused
channels may hold anything, since their weights are 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from xdsl.ir import SSAValue

from ..dialects import qgraph
from .builder import HostFunction, Index
from .transposing import Matrix, turn


def shift_of(op: qgraph.QConvOp | qgraph.QDenseOp) -> int:
    """What is added to an input's bytes to make them unsigned."""
    return 128 if qgraph.dtype_of(op.x) == np.int8 else 0


@dataclass(frozen=True)
class Image:
    """One image of a convolution, cut into groups of channels: (group, height, width, depth) bytes.

    Parameters
    ----------
    op : QConvOp
        Whose input it is.
    groups : int
        Parts of the channels that lie apart.
    multiple : int
        Of which the channels of a part are made by unused ones.
    """

    op: qgraph.QConvOp
    groups: int
    multiple: int

    @property
    def channels(self) -> int:
        """Of one group, without unused ones."""
        return qgraph.shape_of(self.op.x)[1] // self.groups

    @property
    def depth(self) -> int:
        return -(-self.channels // self.multiple) * self.multiple

    @property
    def plane(self) -> tuple[int, int]:
        """Height and width with padding."""
        _, _, height, width = qgraph.shape_of(self.op.x)
        top, left, bottom, right = qgraph.ints(self.op.pads)
        return height + top + bottom, width + left + right

    @property
    def size(self) -> int:
        """Bytes of one group."""
        height, width = self.plane
        return height * width * self.depth

    def offsets(self, counts: tuple[int, int], steps: tuple[int, int]) -> NDArray[np.int64]:
        """Where places of a grid lie, in bytes from the first."""
        line = self.plane[1] * self.depth
        rows, columns = (np.arange(count) * step for count, step in zip(counts, steps, strict=True))
        return (rows[:, None] * line + columns * self.depth).reshape(-1)

    def windows(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the pixels of the result, and the taps from there, lie."""
        op = self.op
        (down, right), (apart_y, apart_x) = qgraph.ints(op.strides), qgraph.ints(op.dilations)
        rows, columns = qgraph.shape_of(op.y)[2:]
        height, width = qgraph.shape_of(op.w)[2:]
        return self.offsets((rows, columns), (down, right)), self.offsets((height, width), (apart_y, apart_x))


class Gatherer:
    """The code that lays images out; a function asks for it outside its loops.

    Parameters
    ----------
    x : SSAValue
        All images, of one dimension.
    """

    def __init__(self, f: HostFunction, image: Image, x: SSAValue):
        self._f, self._image, self._x = f, image, x
        self._shift = shift_of(image.op)
        _, _, self._height, self._width = qgraph.shape_of(image.op.x)
        self._padded = any(qgraph.ints(image.op.pads))
        unused = image.depth != image.channels
        total, plain = image.groups * image.size, self._height * self._width * image.depth
        self.gathered = f.scratch((total,))
        self._plain = f.scratch((plain,)) if self._padded else self.gathered
        outside = f.int8((image.op.x_zero.value.data + self._shift + 128) % 256 - 128)
        if self._padded or unused:
            f.nest((total,), lambda at: f.store(outside, self.gathered, at))
        if self._padded and unused:
            f.nest((plain,), lambda at: f.store(outside, self._plain, at))

    def bring(self, number: SSAValue) -> None:
        """Lay out one image."""
        self._f.nest((self._image.groups,), lambda at: self._group(number, at[0]))

    def _group(self, number: SSAValue, group: SSAValue) -> None:
        f, image, pixels = self._f, self._image, self._height * self._width
        first = f.mul(f.add(f.mul(number, image.groups), group), image.channels * pixels)
        start: Index = 0 if self._padded else f.mul(group, image.size)
        to, source = Matrix(self._plain, start, image.depth), Matrix(self._x, first, pixels)
        turn(f, to, source, (image.channels, pixels), self._shift)
        if self._padded:
            top, left, _, _ = qgraph.ints(image.op.pads)
            (_, width), line = image.plane, self._width * image.depth
            inner = f.add(f.mul(group, image.size), (top * width + left) * image.depth)

            def place(at: list[SSAValue]) -> None:
                row, byte = at
                value = f.load(self._plain, [f.add(f.mul(row, line), byte)])
                f.store(value, self.gathered, [f.add(f.add(inner, f.mul(row, width * image.depth)), byte)])

            f.nest((self._height, line), place)
