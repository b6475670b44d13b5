"""Quantised convolutions and matrix products by byte products, against straightforward numpy and the plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.host_code import call
from weft_compiler.dialects import qgraph
from weft_compiler.host import products, windows
from weft_runtime import host_functions
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

    def run(self) -> Values:
        bias = [] if self.b is None else [self.b]
        inputs = [self.x, self.w, *bias, *windows.requantising_parameters(self.op)]
        return call(windows.qconv(self.op, "f"), inputs, self.expected.shape, np.int8)


CONVOLUTIONS = {
    "3x3 padded": {"x": (1, 20, 9, 7), "w": (40, 20, 3, 3), "pads": (1, 1, 1, 1)},
    "1x1": {"x": (1, 32, 6, 6), "w": (33, 32, 1, 1)},
    "strides and one-sided pads": {"x": (2, 17, 8, 9), "w": (6, 17, 3, 2), "strides": (2, 3), "pads": (0, 1, 2, 0)},
    "few channels": {"x": (1, 3, 20, 18), "w": (16, 3, 5, 5), "strides": (2, 2), "pads": (2, 2, 2, 2)},
    "dilated": {"x": (1, 5, 11, 12), "w": (9, 5, 3, 3), "dilations": (2, 3), "pads": (1, 2, 3, 4)},
    "groups": {"x": (2, 36, 5, 6), "w": (54, 18, 3, 3), "groups": 2, "pads": (1, 1, 1, 1)},
    "one pixel": {"x": (1, 8, 3, 3), "w": (4, 8, 3, 3), "bias": False},
    "zero points of weights": {"x": (1, 16, 4, 5), "w": (16, 16, 2, 2), "w_zero": 27},
}


@pytest.mark.parametrize(
    ("case", "dtype"),
    [*((case, np.uint8) for case in CONVOLUTIONS), ("3x3 padded", np.int8), ("few channels", np.int8)],
)
def test_convolutions(case: str, dtype: Any) -> None:
    made = Convolution(np.random.default_rng(20), **CONVOLUTIONS[case], dtype=dtype)
    assert products.fits(made.op)
    np.testing.assert_array_equal(made.run(), made.expected)


def test_without_what_the_best_level_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The object's other level, which CPUs without 8-bit dot products run."""
    made = Convolution(np.random.default_rng(21), (1, 20, 9, 7), (40, 20, 3, 3), pads=(1, 1, 1, 1))
    monkeypatch.setattr(host_functions, "_tell_cpu", lambda engine, llvm: None)
    np.testing.assert_array_equal(made.run(), made.expected)


@pytest.mark.parametrize(
    "case",
    [
        {"x": (1, 6, 5, 5), "w": (6, 1, 3, 3), "groups": 6},
        {"x": (1, 8, 5, 5), "w": (8, 8, 3, 3), "w_zero": -100},
    ],
    ids=["one channel a group", "differences beyond a byte"],
)
def test_what_keeps_the_plain_loops(case: dict[str, Any]) -> None:
    made = Convolution(np.random.default_rng(22), **case)
    assert not products.fits(made.op)
    np.testing.assert_array_equal(made.run(), made.expected)


def test_weights_that_are_no_constant_keep_the_plain_loops() -> None:
    y_type = qgraph.tensor_type((3, 5), np.int8)
    properties = qgraph.requantising_properties(0, [0], np.float32([1]), 0, y_type)
    op = qgraph.QDenseOp(argument((3, 40), np.uint8), argument((5, 40), np.int8), None, properties, y_type)
    assert not products.fits(op)


@pytest.mark.parametrize(
    ("rows", "depth", "channels", "dtype"), [(1, 40, 10, np.uint8), (11, 37, 70, np.int8), (8, 4, 32, np.uint8)]
)
def test_dense(rows: int, depth: int, channels: int, dtype: Any) -> None:
    rng = np.random.default_rng(23)
    info = np.iinfo(dtype)
    x = rng.integers(info.min, info.max + 1, (rows, depth)).astype(dtype)
    w = rng.integers(-128, 128, (channels, depth)).astype(np.int8)
    scale = rng.choice(np.float32([1e-3, 2e-2, 1e-8]), channels)
    y_type = qgraph.tensor_type((rows, channels), np.uint8)
    op = qgraph.QDenseOp(
        argument(x.shape, dtype),
        qgraph.ConstantOp(w).y,
        None,
        qgraph.requantising_properties(3, [0], scale, 9, y_type),
        y_type,
    )
    assert products.fits(op)
    expected = requantised((x.astype(np.int64) - 3) @ w.T.astype(np.int64), scale, 9, np.uint8)
    got = call(windows.qdense(op, "f"), [x, w, *windows.requantising_parameters(op)], (rows, channels), np.uint8)
    np.testing.assert_array_equal(got, expected)
