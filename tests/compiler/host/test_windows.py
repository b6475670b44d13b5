"""Reducing kernels against straightforward numpy; convolutions and products also meet onnxruntime elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from support.host_code import call
from weft_compiler.dialects import qgraph
from weft_compiler.host import windows
from xdsl.ir import Block, SSAValue


def argument(shape: tuple[int, ...], dtype: type) -> SSAValue:
    return Block(arg_types=[qgraph.tensor_type(shape, dtype)]).args[0]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.float32])
@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 0, 1, 1)])
def test_max_pool(dtype: type, pads: tuple[int, int, int, int]) -> None:
    rng = np.random.default_rng(9)
    x = rng.integers(0, 256, (2, 3, 7, 8)).astype(np.uint8)
    x = x.view(dtype) if dtype != np.float32 else rng.normal(size=x.shape).astype(np.float32) - 5
    lowest = -np.inf if dtype == np.float32 else np.iinfo(dtype).min
    edges = ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3]))
    padded = np.pad(x.astype(np.float64), edges, constant_values=lowest)
    view = np.lib.stride_tricks.sliding_window_view(padded, (3, 2), axis=(2, 3))[:, :, ::2, ::1]
    expected = view.max(axis=(4, 5))
    op = qgraph.MaxPoolOp(
        argument(x.shape, dtype),
        (3, 2),
        qgraph.window_properties((2, 1), pads, (1, 1)),
        qgraph.tensor_type(expected.shape, dtype),
    )
    assert call(windows.max_pool(op, "f"), [x], expected.shape, dtype).tolist() == expected.astype(dtype).tolist()


@pytest.mark.parametrize("bias", [True, False])
def test_dense_with_zero_points_for_each_channel_wraps_at_32_bits(bias: bool) -> None:
    rng = np.random.default_rng(10)
    x, w = rng.integers(0, 256, (3, 40)).astype(np.uint8), rng.integers(0, 256, (5, 40)).astype(np.uint8)
    w_zero, scale = rng.integers(0, 256, 5), np.float32([1e-3, 2e-3, 1e-8, 5e-4, 1e-8])
    b = rng.integers(2**31 - 100, 2**31, 5).astype(np.int32)
    y_type = qgraph.tensor_type((3, 5), np.int8)
    op = qgraph.QDenseOp(
        argument((3, 40), np.uint8),
        argument((5, 40), np.uint8),
        argument((5,), np.int32) if bias else None,
        qgraph.requantising_properties(100, w_zero, scale, 4, y_type),
        y_type,
    )
    inputs = [x, w, *([b] if bias else []), *windows.requantising_parameters(op)]
    sums = (x.astype(np.int64) - 100) @ (w.astype(np.int64) - w_zero[:, None]).T + (b if bias else 0)
    rounded = np.rint(sums.astype(np.int32).astype(np.float32) * scale).astype(np.float64)
    expected = np.clip(rounded + 4, -128, 127).astype(np.int8)
    assert call(windows.qdense(op, "f"), inputs, (3, 5), np.int8).tolist() == expected.tolist()
