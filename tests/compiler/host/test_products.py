"""Quantised convolutions and matrix products by byte products, depthwise ones too, against numpy and plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.host_code import call
from support.host_convolutions import Convolution, argument, requantised
from weft_compiler.dialects import qgraph
from weft_compiler.host import depthwise, products, windows
from weft_runtime import host_functions

Values = NDArray[Any]


def run(made: Convolution) -> Values:
    return call(windows.qconv(made.op, "f"), made.inputs, made.expected.shape, np.int8)


CONVOLUTIONS = {
    "3x3 padded": {"x": (1, 20, 9, 7), "w": (40, 20, 3, 3), "pads": (1, 1, 1, 1)},
    "1x1": {"x": (1, 32, 6, 6), "w": (33, 32, 1, 1)},
    "strides and one-sided pads": {"x": (2, 17, 8, 9), "w": (6, 17, 3, 2), "strides": (2, 3), "pads": (0, 1, 2, 0)},
    "few channels": {"x": (1, 3, 20, 18), "w": (16, 3, 5, 5), "strides": (2, 2), "pads": (2, 2, 2, 2)},
    "dilated": {"x": (1, 5, 11, 12), "w": (9, 5, 3, 3), "dilations": (2, 3), "pads": (1, 2, 3, 4)},
    "groups": {"x": (2, 36, 5, 6), "w": (54, 18, 3, 3), "groups": 2, "pads": (1, 1, 1, 1)},
    "one pixel": {"x": (1, 8, 3, 3), "w": (4, 8, 3, 3), "bias": False},
    "zero points of weights": {"x": (1, 16, 4, 5), "w": (16, 16, 2, 2), "w_zero": 27},
    "differences beyond a byte": {"x": (1, 8, 5, 5), "w": (8, 8, 3, 3), "w_zero": -100},
}


@pytest.mark.parametrize(
    ("case", "dtype"),
    [*((case, np.uint8) for case in CONVOLUTIONS), ("3x3 padded", np.int8), ("few channels", np.int8)],
)
def test_convolutions(case: str, dtype: Any) -> None:
    made = Convolution(np.random.default_rng(20), **CONVOLUTIONS[case], dtype=dtype)
    assert products.fits(made.op)
    np.testing.assert_array_equal(run(made), made.expected)


def test_without_what_the_best_level_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The object's other level, which CPUs without 8-bit dot products run."""
    made = Convolution(np.random.default_rng(21), (1, 20, 9, 7), (40, 20, 3, 3), pads=(1, 1, 1, 1))
    monkeypatch.setattr(host_functions, "CPU_FEATURES", ())
    np.testing.assert_array_equal(run(made), made.expected)


@pytest.mark.parametrize(
    "case",
    [
        {"x": (2, 6, 5, 6), "w": (6, 1, 3, 3), "pads": (1, 1, 1, 1), "dtype": np.int8},
        {"x": (1, 35, 9, 8), "w": (35, 1, 3, 2), "strides": (2, 1), "pads": (0, 1, 2, 0), "w_zero": -90},
    ],
    ids=["few channels", "strides, and differences beyond a byte"],
)
def test_depthwise_convolutions(case: dict[str, Any]) -> None:
    made = Convolution(np.random.default_rng(22), **case, groups=case["x"][1])
    assert depthwise.fits(made.op)
    assert not products.fits(made.op)
    np.testing.assert_array_equal(run(made), made.expected)


def test_two_results_of_one_channel_keep_the_plain_loops() -> None:
    made = Convolution(np.random.default_rng(24), (1, 6, 5, 5), (12, 1, 3, 3), groups=6)
    assert not depthwise.fits(made.op)
    assert not products.fits(made.op)
    np.testing.assert_array_equal(run(made), made.expected)


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


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_random_convolutions(seed: int) -> None:
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)

    def two(low: int, high: int) -> tuple[int, int]:
        first, second = rng.integers(low, high, 2)
        return int(first), int(second)

    for _ in range(25):
        kernel, strides, dilations, (top, left), (bottom, right) = two(1, 5), two(1, 4), two(1, 3), two(0, 3), two(0, 3)
        least = [d * (k - 1) + 1 - p for d, k, p in zip(dilations, kernel, (top + bottom, left + right), strict=True)]
        size = [max(1, edge, int(rng.integers(1, 24))) for edge in least]
        groups = int(rng.choice([1, 1, 2, 3]))
        inputs, outputs = two(1, 30)
        if rng.integers(3) == 0:
            groups, inputs, outputs = outputs, 1, 1
        case = {
            "x": (int(rng.integers(1, 3)), groups * inputs, *size),
            "w": (groups * outputs, inputs, *kernel),
            "groups": groups,
            "strides": strides,
            "pads": (top, left, bottom, right),
            "dilations": dilations,
            "dtype": [np.uint8, np.int8][rng.integers(2)],
            "w_zero": int(rng.choice([0, 5, -120])),
            "bias": bool(rng.integers(2)),
        }
        made = Convolution(rng, **case)
        np.testing.assert_array_equal(run(made), made.expected, err_msg=str(case))
