"""``weft board``: lists, and refuses in one sentence."""

import json

from support.command import weft
from weft_boards.catalogue import BOARDS


def test_list():
    result = weft("board", "list")
    assert result.code == 0, result.err
    rows = [line.split() for line in result.out.splitlines()]
    assert [row[0] for row in rows[1:]] == list(BOARDS)
    assert rows[2] == ["pynq-z2", "Zynq-7020", "53200", "220", "140", "512", "MB", "pynq", "100", "MHz"]


def test_show():
    result = weft("board", "show", "kv260")
    assert result.code == 0, result.err
    assert "block RAMs   144, and 64 UltraRAMs\n" in result.out
    assert "memory       DDR4 high, 2,048 MB at 0x800000000\n" in result.out
    assert "registers    at 0xa0000000, through M_AXI_HPM0_FPD\n" in result.out
    values = json.loads(weft("board", "show", "kv260", "--json").out)
    assert values == json.loads(weft("board", "list", "--json").out)["kv260"]
    assert values["part"]["capacity"]["dsps"] == 1248


def test_a_board_that_does_not_exist():
    result = weft("board", "show", "de10")
    assert (result.code, result.out) == (2, "")
    assert result.err == f"weft: board 'de10' does not exist; choose one of {', '.join(BOARDS)}\n"
