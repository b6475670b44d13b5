"""What the micro-op buffer holds, against a buffer that is written and read."""

import numpy as np
import pytest
from weft_compiler.accel.micro_code import MicroKernels, residency
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import unpack_uops


def kernels(depth, sizes):
    found = MicroKernels(AcceleratorConfig(uop_depth=depth))
    for k, size in enumerate(sizes):
        found.add(np.stack([np.arange(size), np.full(size, k), np.zeros(size, np.int64)], axis=1))
    return found


def placed_in(known, uses):
    return residency(known.sizes, uses, known.capacity)


def replay(known, uses, placed):
    """The micro-ops that each use finds in the buffer, after the LOADs before it."""
    dram = np.concatenate(known.lists)
    buffer = np.full((known.config.uop_depth, 3), -1)
    sizes = known.sizes
    for position, use in enumerate(uses.tolist()):
        for load in np.flatnonzero(placed.before == position):
            first, size = int(placed.dram[load]), int(placed.size[load])
            buffer[int(placed.sram[load]) :][:size] = dram[first : first + size]
        begin = int(placed.begin[position])
        yield buffer[begin : begin + int(sizes[use])]


@pytest.mark.parametrize("depth", [8, 40, 512])
@pytest.mark.parametrize("seed", range(8))
def test_every_use_finds_its_micro_ops(seed, depth):
    rng = np.random.default_rng(seed)
    known = kernels(depth, rng.integers(1, 9, 12).tolist())
    uses = rng.integers(0, 12, 100)
    for use, found in zip(uses.tolist(), replay(known, uses, placed_in(known, uses)), strict=True):
        assert np.array_equal(found, known.lists[use]), seed


def test_all_that_fits_is_loaded_once():
    placed = placed_in(kernels(64, [20, 20, 20]), np.array([0, 1, 2, 0, 1]))
    assert (placed.before.tolist(), placed.size.tolist()) == ([0], [60])


def test_the_least_recently_used_makes_room():
    placed = placed_in(kernels(40, [20, 20, 20]), np.array([0, 1, 0, 2, 0, 1]))
    assert placed.before.tolist() == [0, 1, 3, 5]
    assert placed.sram.tolist() == [0, 20, 20, 20]


def test_equal_lists_are_kept_once():
    known = kernels(64, [4, 4])
    assert known.add(known.lists[0].copy()) == 0
    assert len(known.lists) == 2


def test_the_encoded_micro_ops_are_the_lists():
    known = kernels(64, [3, 2])
    columns = unpack_uops(known.encoded(), known.config)
    assert np.array_equal(np.stack([columns[n] for n in ("dst", "src", "wgt")], axis=1), np.concatenate(known.lists))
