"""Memories as yosys mapped them in syntheses of whole accelerators."""

from __future__ import annotations

import pytest
from weft_explore.area.memories import Mapped, mapped


@pytest.mark.parametrize(
    ("width", "depth", "brams"), [(128, 2048, 7.5), (2048, 1024, 57), (512, 1024, 14.5), (32, 8192, 8), (32, 96, 0.5)]
)
def test_wide_and_deep_memories_are_block_rams(width: int, depth: int, brams: float) -> None:
    assert mapped(width, depth, "xc7") == Mapped(brams=brams)


def test_words_that_are_written_in_parts_fill_up_bytes_of_nine_bits() -> None:
    assert mapped(256, 512, "xc7", granularity=64).brams == 4
    assert mapped(256, 512, "xc7").brams == 4
    assert mapped(252, 512, "xc7").brams == 3.5


@pytest.mark.parametrize(("width", "depth", "luts"), [(128, 48, 172), (512, 20, 344), (128, 15, 88)])
def test_shallow_memories_are_tables_whose_output_is_registered_beside_them(width: int, depth: int, luts: int) -> None:
    assert mapped(width, depth, "xc7") == Mapped(luts=luts, registers=width)


def test_a_memory_read_at_once_is_never_a_block_ram() -> None:
    assert mapped(32, 4096, "xc7", registered=False).brams == 0
    assert mapped(17, 8, "xc7", registered=False) == Mapped(luts=12)


def test_more_rows_of_tables_are_chosen_between() -> None:
    assert mapped(32, 128, "xc7", registered=False).rows == 2


def test_two_bits_are_flip_flops() -> None:
    assert mapped(2, 1, "xc7", registered=False) == Mapped(registers=2)


def test_a_block_ram_that_cannot_read_the_old_word_is_helped() -> None:
    assert mapped(64, 200, "ecp5") == Mapped(brams=2, registers=128, logic=64)
    assert mapped(64, 200, "xc7").logic == 0
