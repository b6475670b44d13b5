"""Packing windows of pixels as channels, against numpy."""

from __future__ import annotations

import random

import numpy as np
import pytest
from support.host_code import call
from weft_compiler.conv_task import Fold
from weft_compiler.dialects import qgraph
from weft_compiler.host import layout
from weft_compiler.host.folding import copies
from xdsl.ir import Block


@pytest.mark.parametrize("length", range(1, 33))
def test_copies_cover_a_run_and_nothing_else(length: int) -> None:
    covered = [k for start, size in copies(length) for k in range(start, start + size)]
    assert set(covered) == set(range(length))
    assert len(list(copies(length))) <= 2 + length // 16


@pytest.mark.parametrize("seed", range(16))
def test_every_channel_of_every_window(seed: int) -> None:
    print(f"seed {seed}")
    rng, data = random.Random(seed), np.random.default_rng(seed)
    batch, block = rng.choice([(1, 16), (2, 8)])
    dtype = rng.choice([np.int8, np.uint8])
    images, channels, height, width = rng.randint(1, 3), rng.randint(1, 4), rng.randint(4, 9), rng.randint(4, 9)
    fold = Fold(
        (rng.randint(1, 3), rng.randint(1, 3)), (rng.randint(1, 4), rng.randint(1, 7)), rng.choice([(1, 1), (2, 2)])
    )
    pads = tuple(rng.randint(0, 3) for _ in range(4))
    rows, columns = rng.randint(1, 5), rng.randint(1, 5)  # fewer or more than there are: the packer does not mind
    blocks = -(-channels * fold.taps // block)
    x = data.integers(np.iinfo(dtype).min, np.iinfo(dtype).max + 1, (images, channels, height, width)).astype(dtype)
    shift, pad_value = (128 if dtype == np.uint8 else 0), rng.randint(-128, 127)
    shape = (-(-images // batch), blocks, rows, columns, batch, block)
    y_type = qgraph.tensor_type(shape, np.int8)
    argument = Block(arg_types=[qgraph.tensor_type(x.shape, dtype)]).args[0]
    op = qgraph.PackOp(argument, shift=shift, pad_value=pad_value, pads=pads, rows=False, fold=fold, y=y_type)
    assert op.folding == fold
    y = call(layout.pack(op, "f"), [x], shape, np.int8)
    expected = np.zeros(shape, np.int8)
    for m, c, i, j, row, column in np.ndindex(images, channels, *fold.window, rows, columns):
        at_row = row * fold.pitch[0] + i * fold.dilation[0] - pads[0]
        at_column = column * fold.pitch[1] + j * fold.dilation[1] - pads[1]
        inside = 0 <= at_row < height and 0 <= at_column < width
        k = (c * fold.window[0] + i) * fold.window[1] + j
        value = int(x[m, c, at_row, at_column]) - shift if inside else pad_value
        expected[m // batch, k // block, row, column, m % batch, k % block] = value
    assert np.array_equal(y, expected)
