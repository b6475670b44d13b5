"""Every board's facts fit together."""

import re
from itertools import pairwise

import pytest
from weft_boards.board import Kind
from weft_boards.catalogue import BOARDS, boards_of, find_board
from weft_boards.errors import BoardError
from weft_hardware.presets import load_config
from weft_hardware.registers import ADDRESS_BITS


@pytest.mark.parametrize("name", BOARDS)
def test_facts_fit_together(name):
    board = BOARDS[name]
    assert board.name == name
    board.check(load_config(board.preset))
    assert board.clock.nearest(board.clock.default_mhz)[0] == pytest.approx(board.clock.default_mhz)
    assert board.sources
    if board.control_port:
        port = board.control_port
        assert port.registers % (1 << 16) == 0
        assert port.begin <= port.registers <= port.begin + port.size - (1 << ADDRESS_BITS)
        assert all(m.begin + m.size <= port.begin or m.begin >= port.begin + port.size for m in board.memories)
    spans = sorted((memory.begin, memory.begin + memory.size) for memory in board.memories)
    assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))
    assert spans[-1][1] <= 1 << board.memory_port.address_bits
    if board.memory_port.protocol == "AXI3":
        assert board.memory_port.max_burst == 16
    assert (board.kind is Kind.ECP5) == (board.control_port is None) == (board.part.family == "ecp5")


def test_a_board_that_does_not_exist():
    message = (
        "board 'pynqz2' does not exist; choose one of pynq-z1, pynq-z2, ultra96-v1, ultra96-v2, zcu104, kv260, ulx3s "
        "(did you mean 'pynq-z2'?)"
    )
    with pytest.raises(BoardError, match=f"^{re.escape(message)}$"):
        find_board("pynqz2")


def test_boards_of_a_family():
    assert [board.name for board in boards_of("xc7")] == ["pynq-z1", "pynq-z2"]
    assert [board.name for board in boards_of("ecp5")] == ["ulx3s"]
