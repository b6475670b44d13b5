"""Random quantised convolutions of constants, and what they should give."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from weft_compiler.dialects import qgraph
from weft_compiler.host import windows
from xdsl.ir import Block, SSAValue

Values = NDArray[Any]


def argument(shape: tuple[int, ...], dtype: Any) -> SSAValue:
    return Block(arg_types=[qgraph.tensor_type(shape, dtype)]).args[0]


def requantised(sums: Values, scale: Values, zero: int, dtype: Any) -> Values:
    """Sums of 64 bits, whose last axis is the channels."""
    rounded = np.rint(sums.astype(np.int32).astype(np.float32) * scale).astype(np.float64)
    limits = np.iinfo(dtype)
    return np.clip(rounded + zero, limits.min, limits.max).astype(dtype)


class Convolution:
    """A random convolution of constants, and what it should give."""

    def __init__(
        self,
        rng: np.random.Generator,
        x: tuple[int, ...],
        w: tuple[int, ...],
        *,
        groups: int = 1,
        strides: tuple[int, int] = (1, 1),
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
        dilations: tuple[int, int] = (1, 1),
        dtype: Any = np.uint8,
        w_zero: int = 0,
        bias: bool = True,
    ):
        info = np.iinfo(dtype)
        self.dtype, self.groups = dtype, groups
        self.x = rng.integers(info.min, info.max + 1, x).astype(dtype)
        self.w = rng.integers(-100, 100, w).astype(np.int8)
        # Every other sum may wrap, and is small again by its scale.
        limit = np.where(np.arange(w[0]) % 2, 2**31, 10**4)
        self.b = rng.integers(-limit, limit).astype(np.int32) if bias else None
        self.scale = np.where(limit > 10**4, np.float32(4e-8), rng.choice(np.float32([0.5e-3, 1.3e-3]), w[0]))
        self.x_zero, zero = int(rng.integers(info.min, info.max + 1)), int(rng.integers(-128, 128))
        padded = np.pad(self.x.astype(np.int64) - self.x_zero, ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])))
        reach = [d * (k - 1) + 1 for d, k in zip(dilations, w[2:], strict=True)]
        views = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(2, 3))
        views = views[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
        weights = self.w.astype(np.int64) - w_zero
        parts = [
            np.einsum("ncyxpq,ocpq->nyxo", v, p)
            for v, p in zip(np.split(views, groups, 1), np.split(weights, groups, 0), strict=True)
        ]
        sums = np.concatenate(parts, 3) + (0 if self.b is None else self.b)
        self.expected = requantised(sums, self.scale, zero, np.int8).transpose(0, 3, 1, 2)
        y_type = qgraph.tensor_type(self.expected.shape, np.int8)
        properties = qgraph.requantising_properties(self.x_zero, [w_zero], self.scale, zero, y_type)
        geometry = qgraph.window_properties(strides, pads, dilations) | {"groups": qgraph.integer(groups)}
        constants = [qgraph.ConstantOp(v).y for v in (self.w, self.b) if v is not None]
        self.op = qgraph.QConvOp(
            argument(x, dtype), constants[0], constants[1] if bias else None, properties | geometry, y_type
        )

    @property
    def inputs(self) -> list[Values]:
        """Of the host function, in its order."""
        bias = [] if self.b is None else [self.b]
        return [self.x, self.w, *bias, *windows.requantising_parameters(self.op)]
