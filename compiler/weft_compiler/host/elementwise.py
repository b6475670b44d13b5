"""Host kernels that take one element at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.func import FuncOp
from xdsl.ir import SSAValue

from ..dialects import qgraph
from .builder import HostFunction

Parameters = tuple[NDArray[Any], ...]
"""Constant arrays that a kernel reads from buffers of its own, between its inputs and its result."""


def _outer_axis_inner(shape: tuple[int, ...], axis: int) -> tuple[int, int, int]:
    """A shape as three sizes, with ``axis`` in the middle."""
    return int(np.prod(shape[:axis])), shape[axis], int(np.prod(shape[axis + 1 :]))


def _scale_view(op: qgraph.QuantizeOp | qgraph.DequantizeOp) -> tuple[int, int, int]:
    shape = qgraph.shape_of(op.x)
    if qgraph.array(op.scale).size == 1:
        return 1, 1, int(np.prod(shape))
    return _outer_axis_inner(shape, op.axis.value.data)


def scale_parameters(op: qgraph.QuantizeOp | qgraph.DequantizeOp) -> Parameters:
    """Scale float32 and zero point int32, one for each index of the axis."""
    return qgraph.array(op.scale), qgraph.array(op.zero_point).astype("<i4")


def quantize(op: qgraph.QuantizeOp, name: str) -> FuncOp:
    """Buffers: x, scale, zero point, y."""
    view, n = _scale_view(op), qgraph.array(op.scale).size
    dtype = qgraph.dtype_of(op.y)
    f = HostFunction(name, [(view, np.float32), ((n,), np.float32), ((n,), np.int32), (view, dtype)])
    x, scales, zeros, y = f.buffers
    limits = np.iinfo(dtype)

    def body(at: list[SSAValue]) -> None:
        zero = f.load(zeros, [at[1]])
        bounds = (f.to_float(f.sub(f.int32(limits.min), zero)), f.to_float(f.sub(f.int32(limits.max), zero)))
        value = f.over(f.load(x, at), f.load(scales, [at[1]]))
        f.store_int8(f.quantised(value, zero, bounds), y, at)

    f.nest(view, body)
    return f.finish()


def dequantize(op: qgraph.DequantizeOp, name: str) -> FuncOp:
    """Buffers: x, scale, zero point, y."""
    view, n = _scale_view(op), qgraph.array(op.scale).size
    f = HostFunction(name, [(view, qgraph.dtype_of(op.x)), ((n,), np.float32), ((n,), np.int32), (view, np.float32)])
    x, scales, zeros, y = f.buffers

    def body(at: list[SSAValue]) -> None:
        value = f.to_float(f.sub(f.load_int32(x, at), f.load(zeros, [at[1]])))
        f.store(f.times(value, f.load(scales, [at[1]])), y, at)

    f.nest(view, body)
    return f.finish()


def _limited(op: qgraph.ReluOp | qgraph.ClipOp, low: float, high: float, name: str) -> FuncOp:
    """Bounds first: what compares with neither of them, not a number, or equals one, −0.0, stays as it is."""
    size = (int(np.prod(qgraph.shape_of(op.x))),)
    f = HostFunction(name, [(size, np.float32), (size, np.float32)])
    x, y = f.buffers

    def body(at: list[SSAValue]) -> None:
        f.store(f.smallest(f.float32(high), f.largest(f.float32(low), f.load(x, at))), y, at)

    f.nest(size, body)
    return f.finish()


def relu(op: qgraph.ReluOp, name: str) -> FuncOp:
    """Buffers: x, y."""
    return _limited(op, 0.0, np.inf, name)


def clip(op: qgraph.ClipOp, name: str) -> FuncOp:
    """Buffers: x, y."""
    return _limited(op, op.low.value.data, op.high.value.data, name)


def clamp(op: qgraph.ClampOp, name: str) -> FuncOp:
    """Buffers: x, y."""
    size, dtype = (int(np.prod(qgraph.shape_of(op.x))),), qgraph.dtype_of(op.x)
    f = HostFunction(name, [(size, dtype), (size, dtype)])
    x, y = f.buffers
    low, high = op.low.value.data, op.high.value.data

    def body(at: list[SSAValue]) -> None:
        f.store_int8(f.smallest(f.largest(f.load_int32(x, at), f.int32(low)), f.int32(high)), y, at)

    f.nest(size, body)
    return f.finish()


def transpose(op: qgraph.TransposeOp, name: str) -> FuncOp:
    """Buffers: x, y."""
    shape, permutation = qgraph.shape_of(op.y), qgraph.ints(op.permutation)
    dtype = qgraph.dtype_of(op.x)
    f = HostFunction(name, [(qgraph.shape_of(op.x), dtype), (shape, dtype)])
    x, y = f.buffers

    def body(at: list[SSAValue]) -> None:
        source = [at[permutation.index(axis)] for axis in range(len(shape))]
        f.store(f.load(x, source), y, at)

    f.nest(shape, body)
    return f.finish()
