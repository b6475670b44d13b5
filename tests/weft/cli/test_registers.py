"""``weft registers``: the map as a table, as JSON and as a C header."""

import json

from support.command import weft
from weft_hardware.c_header import render
from weft_hardware.registers import REGISTERS


def test_table():
    result = weft("registers")
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert len(lines) == len(REGISTERS)
    assert lines[0] == "0x000  IDENTITY              read   reads 0x54464557 (``WEFT``)"


def test_json():
    assert json.loads(weft("registers", "--json").out) == {r.name: r.offset for r in REGISTERS}


def test_c_header():
    assert weft("registers", "--c-header").out == render()
