"""Packing and requantisation against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from support.host_code import call
from weft_compiler.dialects import qgraph
from weft_compiler.host import layout
from xdsl.ir import Block, SSAValue


def argument(shape: tuple[int, ...], dtype: type) -> SSAValue:
    return Block(arg_types=[qgraph.tensor_type(shape, dtype)]).args[0]


@pytest.mark.parametrize(("images", "channels"), [(1, 1), (2, 16), (3, 20), (4, 5)])
@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 2, 0, 3)])
def test_pack_places_every_element(images: int, channels: int, pads: tuple[int, int, int, int]) -> None:
    batch, block = 2, 8
    x = np.random.default_rng(6).integers(0, 256, (images, channels, 3, 4)).astype(np.uint8)
    shape = (-(-images // batch), -(-channels // block), 3 + pads[0] + pads[2], 4 + pads[1] + pads[3], batch, block)
    op = qgraph.PackOp(
        argument(x.shape, np.uint8),
        shift=128,
        pad_value=-7,
        pads=pads,
        rows=False,
        y=qgraph.tensor_type(shape, np.int8),
    )
    y = call(layout.pack(op, "f"), [x], shape, np.int8)
    expected = np.full((shape[0] * batch, shape[1] * block, *shape[2:4]), -7, np.int8)
    inner = expected[:images, :channels, pads[0] : pads[0] + 3, pads[1] : pads[1] + 4]
    inner[:] = x.astype(int) - 128
    blocks = expected.reshape(shape[0], batch, shape[1], block, *shape[2:4]).transpose(0, 2, 4, 5, 1, 3)
    assert y.tolist() == blocks.tolist()


def test_pack_of_rows_runs_along_the_width() -> None:
    x = np.random.default_rng(7).integers(-128, 128, (5, 11)).astype(np.int8)
    shape = (1, 2, 1, 3, 2, 8)
    op = qgraph.PackOp(
        argument(x.shape, np.int8), shift=0, pad_value=0, pads=(0,) * 4, rows=True, y=qgraph.tensor_type(shape, np.int8)
    )
    padded = np.zeros((6, 16), np.int8)
    padded[:5, :11] = x
    expected = padded.reshape(3, 2, 2, 8).transpose(2, 0, 1, 3)
    assert call(layout.pack(op, "f"), [x], shape, np.int8).tolist() == expected.reshape(shape).tolist()


@pytest.mark.parametrize(("dtype", "zero", "low", "high"), [(np.int8, -3, -128, 127), (np.uint8, 9, 9, 200)])
def test_requantize_rounds_like_onnxruntime(dtype: type, zero: int, low: int, high: int) -> None:
    rng = np.random.default_rng(8)
    tiles, images = (2, 2, 3, 4, 2, 8), (3, 11, 3, 4)
    acc = rng.integers(-(2**31), 2**31, tiles).astype(np.int32) // rng.choice([1, 1000, 1000000], tiles)
    acc = acc.astype(np.int32)
    bias = rng.integers(-(2**31), 2**31, 11).astype(np.int32)
    scale = rng.choice(np.float32([0.5, 0.013, 1e-7]), 11)
    op = qgraph.RequantizeOp(
        argument(tiles, np.int32),
        argument((11,), np.int32),
        argument((11,), np.float32),
        y_zero=zero,
        low=low,
        high=high,
        rows=False,
        y=qgraph.tensor_type(images, dtype),
    )
    y = call(layout.requantize(op, "f"), [acc, bias, scale], images, dtype)
    plain = acc.transpose(0, 4, 1, 5, 2, 3).reshape(4, 16, 3, 4)[:3, :11]
    wrapped = (plain.astype(np.int64) + bias[:, None, None]).astype(np.int32)
    rounded = np.rint(wrapped.astype(np.float32) * scale[:, None, None])
    expected = np.clip(rounded.astype(np.float64) + zero, low, high).astype(dtype)
    assert y.tolist() == expected.tolist()


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_unpack_takes_back_what_pack_did(dtype: type) -> None:
    info = np.iinfo(dtype)
    x = np.random.default_rng(9).integers(info.min, info.max + 1, (3, 20, 3, 4)).astype(dtype)
    tiles, shift = (2, 3, 3, 4, 2, 8), 128 if dtype == np.uint8 else 0
    packing = qgraph.PackOp(
        argument(x.shape, dtype),
        shift=shift,
        pad_value=0,
        pads=(0,) * 4,
        rows=False,
        y=qgraph.tensor_type(tiles, np.int8),
    )
    packed = call(layout.pack(packing, "f"), [x], tiles, np.int8)
    unpacking = qgraph.UnpackOp(argument(tiles, np.int8), shift=shift, rows=False, y=qgraph.tensor_type(x.shape, dtype))
    assert np.array_equal(call(layout.unpack(unpacking, "f"), [packed], x.shape, dtype), x)
