"""DMA instructions against the copy they stand for, tile by tile."""

from itertools import product

import numpy as np
import pytest
from weft_compiler.accel.boxes import Linear
from weft_compiler.accel.dma import TileMove, move_columns
from weft_compiler.errors import CompileError

PAD, UNTOUCHED = -1, -2


def copied(columns, chosen, depth):
    """What the instructions of one step leave in a scratchpad: DRAM tile numbers, PAD, or UNTOUCHED."""
    sram = np.full(depth, UNTOUCHED)
    for k in np.flatnonzero(chosen):
        c = {name: int(values[k]) for name, values in columns.items()}
        width = c["x_pad0"] + c["x_size"] + c["x_pad1"]
        height = c["y_pad0"] + c["y_size"] + c["y_pad1"]
        block = np.full((height, width), PAD)
        for y in range(c["y_size"]):
            first = c["dram"] + y * c["x_stride"]
            block[c["y_pad0"] + y, c["x_pad0"] : c["x_pad0"] + c["x_size"]] = np.arange(first, first + c["x_size"])
        assert c["tiles"] == block.size
        sram[c["sram"] : c["sram"] + block.size] = block.reshape(-1)
    return sram


def expected(move, step, depth):
    """Each iteration's tile, and which of them are needed."""
    sram, needed = np.full(depth, UNTOUCHED), np.zeros(depth, bool)
    for point in product(*map(range, move.extents)):
        at = [np.array([k]) for k in point]
        if all(g.at(at)[step] >= 0 for g in move.guards):
            tile = int(move.sram.at(at)[step])
            inside = all(c.at(at)[step] >= 0 for c in move.inside)
            sram[tile] = int(move.dram.at(at)[step]) if inside else PAD
            needed[tile] = True
    return sram, needed


def image_move(rng, can_pad=True):
    """A window of a tensor (channels, rows, columns) to a dense buffer, as a convolution's halo takes it."""
    channels, height, width = (int(n) for n in rng.integers(1, 7, 3))
    c, h, w = int(rng.integers(1, channels + 1)), int(rng.integers(1, 7)), int(rng.integers(1, 7))
    steps = 3
    top, left = rng.integers(-2, height, steps), rng.integers(-2, width, steps)
    dram = Linear((top * width) + left, (height * width, width, 1))
    sram = Linear(np.full(steps, 5), (h * w, w, 1))
    bounds = (
        Linear(top, (0, 1, 0)), Linear(height - 1 - top, (0, -1, 0)),
        Linear(left, (0, 0, 1)), Linear(width - 1 - left, (0, 0, -1)),
    )  # fmt: skip
    kept = (Linear(np.full(steps, c - 1), (-1, 0, 0)), Linear(rng.integers(-1, 1, steps), (0, 1, 0)))
    guards, inside = (kept, bounds) if can_pad else ((*kept, *bounds), ())
    return TileMove("x", (c, h, w), dram, sram, guards, inside, can_pad)


@pytest.mark.parametrize("can_pad", [True, False])
@pytest.mark.parametrize("seed", range(40))
def test_windows_of_images(seed, can_pad):
    rng = np.random.default_rng(seed)
    move = image_move(rng, can_pad)
    step, columns = move_columns(move)
    depth = 5 + int(np.prod(move.extents)) + 32
    for k in range(3):
        wanted, needed = expected(move, k, depth)
        found = copied(columns, step == k, depth)
        assert np.array_equal(found[needed], wanted[needed]), seed
        assert can_pad or np.array_equal(found, wanted), seed


def test_contiguous_loops_are_one_instruction():
    move = TileMove("w", (4, 3, 3), Linear(np.array([36]), (9, 3, 1)), Linear(np.array([0]), (9, 3, 1)))
    _, columns = move_columns(move)
    assert (columns["x_size"].tolist(), columns["y_size"].tolist()) == ([36], [1])


def test_a_stride_in_columns_becomes_rows_of_one_tile():
    move = TileMove("x", (5,), Linear(np.array([2]), (2,)), Linear(np.array([0]), (1,)))
    _, columns = move_columns(move)
    assert (columns["x_size"].tolist(), columns["y_size"].tolist(), columns["x_stride"].tolist()) == ([1], [5], [2])


def test_tiles_that_do_not_lie_side_by_side_in_the_scratchpad_take_an_instruction_each():
    move = TileMove("x", (3,), Linear(np.array([4]), (1,)), Linear(np.array([0]), (2,)))
    _, columns = move_columns(move)
    assert (columns["dram"].tolist(), columns["sram"].tolist()) == ([4, 5, 6], [0, 2, 4])
    assert columns["tiles"].tolist() == [1, 1, 1]


def test_too_much_padding_is_refused():
    inside = (Linear(np.array([-16]), (1,)),)
    move = TileMove("x", (20,), Linear(np.array([-16]), (1,)), Linear(np.array([0]), (1,)), inside=inside)
    with pytest.raises(CompileError) as refused:
        move_columns(move)
    assert str(refused.value) == ("x needs 16 tiles of padding on one side, LOAD adds at most 15; pad on the host")


def test_what_is_no_box_is_refused():
    diagonal = (Linear(np.array([0]), (1, -1)),)
    move = TileMove("x", (4, 4), Linear(np.array([0]), (4, 1)), Linear(np.array([0]), (4, 1)), guards=diagonal)
    with pytest.raises(CompileError) as refused:
        move_columns(move)
    assert str(refused.value) == (
        "x: the part that is copied is no box; tile its loops so that each bound is one loop's"
    )
