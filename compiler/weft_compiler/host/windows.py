"""Host kernels that reduce: max-pool, and quantised convolution and matrix product for what no accelerator takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from xdsl.dialects.func import FuncOp
from xdsl.ir import SSAValue

from ..dialects import qgraph
from . import depthwise, products
from .builder import HostFunction
from .elementwise import Parameters


class _Window:
    """Where the taps of one window lie in the image."""

    def __init__(
        self,
        f: HostFunction,
        image: Sequence[int],
        result: Sequence[int],
        kernel: Sequence[int],
        op: qgraph.MaxPoolOp | qgraph.QConvOp,
    ):
        self._f, self._image = f, image
        self._strides, self._dilations = qgraph.ints(op.strides), qgraph.ints(op.dilations)
        self._pads = qgraph.ints(op.pads)
        reach = [
            (result[k] - 1) * self._strides[k] - self._pads[k] + self._dilations[k] * (kernel[k] - 1) for k in range(2)
        ]
        self._inside = not any(self._pads[:2]) and all(reach[k] < image[k] for k in range(2))

    def tap(self, out: Sequence[SSAValue], tap: Sequence[SSAValue]) -> tuple[list[SSAValue], SSAValue | None]:
        """Subscripts of a tap, and whether it is inside the image, or None if it always is.

        Outside, the subscripts are 0, so that loading from them is harmless.
        """
        f = self._f
        position = [
            f.add(
                f.add(f.mul(out[k], self._strides[k]), f.mul(tap[k], self._dilations[k])),
                -self._pads[k],
            )
            for k in range(2)
        ]
        if self._inside:
            return position, None
        inside = f.both(f.below(position[0], self._image[0]), f.below(position[1], self._image[1]))
        return [f.select(inside, p, f.at(0)) for p in position], inside


def max_pool(op: qgraph.MaxPoolOp, name: str) -> FuncOp:
    """Buffers: x, y."""
    (n, c, height, width), (_, _, oh, ow) = qgraph.shape_of(op.x), qgraph.shape_of(op.y)
    dtype, (kh, kw) = qgraph.dtype_of(op.x), qgraph.ints(op.kernel)
    planes = n * c
    f = HostFunction(name, [((planes, height, width), dtype), ((planes, oh, ow), dtype)])
    x, y = f.buffers
    window = _Window(f, (height, width), (oh, ow), (kh, kw), op)
    is_float = dtype == np.float32
    lowest = f.float32(-np.inf) if is_float else f.int32(int(np.iinfo(dtype).min))

    def body(at: list[SSAValue]) -> None:
        plane, row, column = at

        def rows(p: SSAValue, best: SSAValue) -> Sequence[SSAValue]:
            def columns(q: SSAValue, best: SSAValue) -> Sequence[SSAValue]:
                position, inside = window.tap((row, column), (p, q))
                read = f.load if is_float else f.load_int32
                value = read(x, [plane, *position])
                value = value if inside is None else f.select(inside, value, lowest)
                return [f.largest(value, best)]

            return f.loop(kw, columns, best)

        (best,) = f.loop(kh, rows, lowest)
        write = f.store if is_float else f.store_int8
        write(best, y, at)

    f.nest((planes, oh, ow), body)
    return f.finish()


def requantising_parameters(op: qgraph.QConvOp | qgraph.QDenseOp) -> Parameters:
    """What `products` or `depthwise` wants, or weight zero points int32 and scales float32 of the output channels."""
    if products.fits(op):
        return products.parameters(op)
    if isinstance(op, qgraph.QConvOp) and depthwise.fits(op):
        return depthwise.parameters(op)
    zero = np.broadcast_to(qgraph.array(op.w_zero), op.channels).astype("<i4")
    return zero, np.broadcast_to(qgraph.array(op.scale), op.channels).astype("<f4")


def _store_requantised(
    f: HostFunction,
    op: qgraph.QConvOp | qgraph.QDenseOp,
    total: SSAValue,
    channel: SSAValue,
    at: Sequence[SSAValue],
) -> None:
    """Finish one sum; the last buffers are weight zero points, scales and the result."""
    if op.bias is not None:
        total = f.add(total, f.load(f.buffers[2], [channel]))
    value = f.times(f.to_float(total), f.load(f.buffers[-2], [channel]))
    zero, low, high = op.y_zero.value.data, op.low.value.data, op.high.value.data
    f.store_int8(f.quantised(value, f.int32(zero), (low - zero, high - zero)), f.buffers[-1], at)


def _buffers(op: qgraph.QConvOp | qgraph.QDenseOp, x: Sequence[int], y: Sequence[int]) -> list:
    channels = (op.channels,)
    bias = [] if op.bias is None else [(channels, np.int32)]
    return [
        (x, qgraph.dtype_of(op.x)),
        (qgraph.shape_of(op.w), qgraph.dtype_of(op.w)),
        *bias,
        (channels, np.int32),
        (channels, np.float32),
        (y, qgraph.dtype_of(op.y)),
    ]


def qconv(op: qgraph.QConvOp, name: str) -> FuncOp:
    """Buffers: x, w, bias where there is one, `requantising_parameters`, y."""
    if products.fits(op):
        return products.convolution(op, name)
    if depthwise.fits(op):
        return depthwise.convolution(op, name)
    x_shape, y_shape = qgraph.shape_of(op.x), qgraph.shape_of(op.y)
    channels, depth, kh, kw = qgraph.shape_of(op.w)
    f = HostFunction(name, _buffers(op, x_shape, y_shape))
    x, w, zeros = f.buffers[0], f.buffers[1], f.buffers[-3]
    window = _Window(f, x_shape[2:], y_shape[2:], (kh, kw), op)
    x_zero, per_group = f.int32(op.x_zero.value.data), channels // op.groups.value.data

    def body(at: list[SSAValue]) -> None:
        image, channel, row, column = at
        first = f.mul(f.divide(channel, per_group), depth)
        w_zero = f.load(zeros, [channel])

        def over_depth(c: SSAValue, total: SSAValue) -> Sequence[SSAValue]:
            def over_rows(p: SSAValue, total: SSAValue) -> Sequence[SSAValue]:
                def over_columns(q: SSAValue, total: SSAValue) -> Sequence[SSAValue]:
                    position, inside = window.tap((row, column), (p, q))
                    value = f.sub(f.load_int32(x, [image, f.add(first, c), *position]), x_zero)
                    value = value if inside is None else f.select(inside, value, f.int32(0))
                    weight = f.sub(f.load_int32(w, [channel, c, p, q]), w_zero)
                    return [f.add(total, f.mul(value, weight))]

                return f.loop(kw, over_columns, total)

            return f.loop(kh, over_rows, total)

        (total,) = f.loop(depth, over_depth, f.int32(0))
        _store_requantised(f, op, total, channel, at)

    f.nest(y_shape, body)
    return f.finish()


def qdense(op: qgraph.QDenseOp, name: str) -> FuncOp:
    """Buffers: x, w, bias where there is one, `requantising_parameters`, y."""
    if products.fits(op):
        return products.dense(op, name)
    channels, depth = qgraph.shape_of(op.w)
    rows = int(np.prod(qgraph.shape_of(op.x)[:-1]))
    f = HostFunction(name, _buffers(op, (rows, depth), (rows, channels)))
    x, w, zeros = f.buffers[0], f.buffers[1], f.buffers[-3]
    x_zero = f.int32(op.x_zero.value.data)

    def body(at: list[SSAValue]) -> None:
        row, channel = at
        w_zero = f.load(zeros, [channel])

        def over_depth(k: SSAValue, total: SSAValue) -> Sequence[SSAValue]:
            value = f.sub(f.load_int32(x, [row, k]), x_zero)
            return [f.add(total, f.mul(value, f.sub(f.load_int32(w, [channel, k]), w_zero)))]

        (total,) = f.loop(depth, over_depth, f.int32(0))
        _store_requantised(f, op, total, channel, at)

    f.nest((rows, channels), body)
    return f.finish()
