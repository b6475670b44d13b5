"""The top level's pins are the board's, each once, and the constraints name every bit of every port."""

import re
from itertools import chain

import pytest
from weft_boards.catalogue import BOARDS
from weft_hardware.presets import PRESETS
from weft_hardware.rtl.ulx3s.top import INPUT_MHZ, LOOP_DIVISOR, PINS, TOP, constraints, top_rtlil
from weft_hardware.serial_link import BAUD

pytestmark = pytest.mark.rtl


def test_constraints_name_every_bit_of_every_port():
    text = top_rtlil(PRESETS["tiny4"], 12, BAUD)
    header = text[text.index(f"module \\{TOP}\n") :].partition("\nend\n")[0]
    ports = {
        name: int(width or 1)
        for width, name in re.findall(r"wire (?:width (\d+) )?(?:input|output|inout) \d+ +\\(\w+)\n", header)
    }
    assert ports == {name: len(balls) for name, balls in PINS.items()}
    located = re.findall(r'LOCATE COMP "(\S+)" SITE "(\w+)";', constraints())
    expected = {n if w == 1 else f"{n}[{k}]" for n, w in ports.items() for k in range(w)}
    assert {port for port, _ in located} == expected
    balls = list(chain.from_iterable(PINS.values()))
    assert sorted(ball for _, ball in located) == sorted(balls)
    assert len(set(balls)) == len(balls)


def test_the_loop_is_the_boards_clock_source():
    assert BOARDS["ulx3s"].clock.source_mhz == INPUT_MHZ * LOOP_DIVISOR
