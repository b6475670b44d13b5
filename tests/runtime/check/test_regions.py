"""Sets of bytes and tiles against Python sets."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from weft_runtime.check.regions import Block, elements, gaps, key_of, repeated

blocks = st.builds(
    Block,
    start=st.integers(0, 40),
    length=st.integers(1, 12),
    pitch=st.integers(0, 20),
    rows=st.integers(1, 6),
)


def bytes_of(block: Block) -> set[int]:
    return {block.start + row * block.pitch + k for row in range(block.rows) for k in range(block.length)}


@given(blocks, st.integers(0, 160), st.integers(0, 40))
def test_meets_a_stretch(block, begin, length):
    assert block.meets(begin, begin + length) == bool(bytes_of(block) & set(range(begin, begin + length)))


@given(blocks, st.integers(-150, 150))
def test_meets_itself_moved(block, distance):
    moved = {byte + distance for byte in bytes_of(block)}
    assert block.meets_moved(distance) == bool(bytes_of(block) & moved)


@given(blocks, st.sampled_from([1, 2, 4]), st.integers(0, 3))
def test_key_in_granules(block, granule, before):
    """Scaled so that all its edges lie between granules."""
    scaled = Block(*(granule * value for value in (block.start, block.length, block.pitch)), block.rows)
    origin = -granule * before
    chosen = np.zeros(200, bool)
    chosen[scaled.key(origin, granule)] = True
    assert set(np.flatnonzero(chosen).tolist()) == {byte + before for byte in bytes_of(block)}


@given(st.integers(1, 1 << 12), st.integers(0, 9), st.integers(1, 12))
def test_repeated(mask, step, count):
    expected = 0
    for k in range(count):
        expected |= mask << k * step
    assert repeated(mask, step, count) == expected


@given(st.sets(st.integers(0, 300), min_size=1))
def test_key_of_a_mask(chosen):
    key = key_of(sum(1 << index for index in chosen))
    assert elements(key).tolist() == sorted(chosen)
    dense = max(chosen) - min(chosen) + 1 == len(chosen)
    assert isinstance(key, slice) == dense


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=5), st.integers(0, 30), st.integers(30, 60))
def test_gaps(chosen, begin, end):
    stretches = [(first, first + length) for first, length in chosen]
    covered = {byte for first, following in stretches for byte in range(first, following)}
    found = [byte for first, following in gaps(stretches, begin, end) for byte in range(first, following)]
    assert found == [byte for byte in range(begin, end) if byte not in covered]
