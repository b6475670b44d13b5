"""Quantised depthwise convolution: channels side by side are the lanes of vectors."""

from __future__ import annotations

import numpy as np
from xdsl.dialects.func import FuncOp
from xdsl.ir import SSAValue

from ..dialects import qgraph
from .builder import HostFunction
from .elementwise import Parameters
from .gathering import Gatherer, Image
from .products import are_constant, bias_of, split, weights_of
from .templates.depthwise import CHANNELS, ROWS, depthwise
from .transposing import Matrix, turn


def fits(op: qgraph.QConvOp | qgraph.QDenseOp) -> bool:
    """Whether each channel is a group of its own, with one result, and the constants are known."""
    if not isinstance(op, qgraph.QConvOp) or not are_constant(op):
        return False
    return op.groups.value.data == op.channels == qgraph.shape_of(op.x)[1] > 1


def _image(op: qgraph.QConvOp) -> Image:
    return Image(op, 1, CHANNELS)


def parameters(op: qgraph.QConvOp) -> Parameters:
    """Weights [block][tap][channel] int8, bias, scale, and the offsets of pixels and taps."""
    image = _image(op)
    weights = weights_of(op).reshape(op.channels, 1, -1, 1)
    pixels, taps = image.windows()
    bias, (weights, taps) = bias_of(op, weights), split(weights, taps)
    packed = np.zeros((image.depth, len(taps)), np.int8)
    packed[: op.channels] = weights.reshape(op.channels, -1)
    packed = packed.reshape(-1, CHANNELS, len(taps)).transpose(0, 2, 1)
    unused = (0, image.depth - op.channels)
    scale = np.pad(np.broadcast_to(qgraph.array(op.scale), op.channels), unused).astype("<f4")
    rows = np.pad(pixels, (0, -len(pixels) % ROWS), mode="edge").astype("<i4")
    biases = np.pad(bias.reshape(-1).astype(np.int32), unused).astype("<i4")
    return np.ascontiguousarray(packed), biases, scale, rows, taps.astype("<i4")


def convolution(op: qgraph.QConvOp, name: str) -> FuncOp:
    """Buffers: x, w, bias where there is one, what `parameters` gives, y."""
    image, constants = _image(op), parameters(op)
    images, pixels = qgraph.shape_of(op.x)[0], int(np.prod(qgraph.shape_of(op.y)[2:]))
    strips, taps, depth = len(constants[3]) // ROWS, len(constants[4]), image.depth
    unused = [(qgraph.shape_of(op.w), qgraph.dtype_of(op.w))]
    if op.bias is not None:
        unused.append(((op.channels,), np.dtype(np.int32)))
    x_buffer = ((int(np.prod(qgraph.shape_of(op.x))),), qgraph.dtype_of(op.x))
    y_buffer = ((images * op.channels * pixels,), qgraph.dtype_of(op.y))
    f = HostFunction(name, [x_buffer, *unused, *((v.shape, v.dtype) for v in constants), y_buffer])
    weights, bias, scale, rows, places = f.buffers[-6:-1]
    gatherer, results = Gatherer(f, image, f.buffers[0]), f.scratch((strips * ROWS * depth,))
    zero, low, high = (attribute.value.data for attribute in (op.y_zero, op.low, op.high))

    def strip(at: list[SSAValue]) -> None:
        first, channel = f.mul(at[0], ROWS), f.mul(at[1], CHANNELS)
        f.call(
            depthwise(),
            (results, f.add(f.mul(first, depth), channel)),
            (gatherer.gathered, channel),
            (weights, f.mul(at[1], taps * CHANNELS)),
            (bias, channel),
            (scale, channel),
            (rows, first),
            (places, 0),
            *(taps, depth, zero, low - zero, high - zero),
        )

    def whole(number: SSAValue) -> None:
        gatherer.bring(number)
        f.nest((strips, depth // CHANNELS), strip)
        to = Matrix(f.buffers[-1], f.mul(number, op.channels * pixels), pixels)
        turn(f, to, Matrix(results, 0, depth), (pixels, op.channels))

    f.nest((images,), lambda at: whole(at[0]))
    return f.finish()
