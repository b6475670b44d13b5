"""Host kernel of layer normalisation, with onnxruntime's roundings where rows are whole vectors."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from xdsl.dialects import math
from xdsl.dialects.func import FuncOp
from xdsl.ir import SSAValue

from ..dialects import floats, qgraph
from .builder import HostFunction

LANES = 8
"""Partial sums of the squares, added by halves: those of a 256-bit vector."""


def normalize(op: floats.NormalizeOp, name: str) -> FuncOp:
    """Buffers: x, scale and bias where there are such, y.

    onnxruntime sums a row in float64 for its mean, its squares in vectors of float32. Here the sum keeps what each
    addition loses, which gives as many digits.
    """
    *leading, length = qgraph.shape_of(op.x)
    rows = prod(leading)
    row, vector = ((rows, length), np.float32), ((length,), np.float32)
    f = HostFunction(name, [row, *(vector for _ in op.affine), row])
    x, y = f.buffers[0], f.buffers[-1]
    count, zero = f.float32(length), f.float32(0.0)

    def fma(a: SSAValue, b: SSAValue, c: SSAValue) -> SSAValue:
        return f.emit(math.FmaOp(a, b, c))

    def mean_of(i: SSAValue) -> SSAValue:
        def add(k: SSAValue, high: SSAValue, low: SSAValue) -> Sequence[SSAValue]:
            value = f.load(x, [i, k])
            total = f.plus(high, value)
            part = f.minus(total, high)
            lost = f.plus(f.minus(high, f.minus(total, part)), f.minus(value, part))
            return [total, f.plus(low, lost)]

        high, low = f.loop(length, add, zero, zero)
        quotient = f.over(high, count)
        rest = f.plus(fma(f.times(quotient, f.float32(-1.0)), count, high), low)
        return f.plus(quotient, f.over(rest, count))

    def squares_of(i: SSAValue, mean: SSAValue) -> SSAValue:
        def difference(k: SSAValue) -> SSAValue:
            return f.minus(f.load(x, [i, k]), mean)

        def step(k: SSAValue, *totals: SSAValue) -> Sequence[SSAValue]:
            first = f.mul(k, LANES)
            differences = [difference(f.add(first, lane)) for lane in range(LANES)]
            return [fma(d, d, total) for d, total in zip(differences, totals, strict=True)]

        totals = list(f.loop(length // LANES, step, *(zero for _ in range(LANES))))
        while len(totals) > 1:
            half = len(totals) // 2
            totals = [f.plus(a, b) for a, b in zip(totals[:half], totals[half:], strict=True)]

        def tail(k: SSAValue, total: SSAValue) -> Sequence[SSAValue]:
            d = difference(f.add(k, length // LANES * LANES))
            return [f.plus(total, f.times(d, d))]

        (total,) = f.loop(length % LANES, tail, totals[0])
        return total

    def body(at: list[SSAValue]) -> None:
        (i,) = at
        mean = mean_of(i)
        variance = f.plus(f.over(squares_of(i, mean), count), f.float32(op.epsilon.value.data))
        factor = f.over(f.float32(1.0), f.emit(math.SqrtOp(variance)))

        def element(k: SSAValue) -> None:
            value = f.times(f.minus(f.load(x, [i, k]), mean), factor)
            if op.affine:
                value = fma(value, f.load(f.buffers[1], [k]), f.load(f.buffers[2], [k]))
            f.store(value, y, [i, k])

        f.loop(length, element)

    f.nest((rows,), body)
    return f.finish()
