"""What a board refuses, and the clocks it can make."""

import re
from dataclasses import replace

import pytest
from weft_boards.board import Clock
from weft_boards.catalogue import BOARDS
from weft_boards.errors import BoardError
from weft_hardware.presets import PRESETS

Z2, ULTRA96 = BOARDS["pynq-z2"], BOARDS["ultra96-v2"]


@pytest.mark.parametrize(
    ("board", "config", "message"),
    [
        (
            Z2,
            replace(PRESETS["pynq"], axi_data_bits=128),
            "axi_data_bits = 128 does not fit TUL PYNQ-Z2, whose S_AXI_HP0 is 64 bits wide; choose 64, or the preset "
            "pynq",
        ),
        (
            Z2,
            PRESETS["vta"],
            "max_burst = 256 does not fit TUL PYNQ-Z2, whose S_AXI_HP0 (AXI3) takes bursts of 16 beats; choose at most "
            "16, or the preset pynq",
        ),
        (
            Z2,
            replace(PRESETS["pynq"], axi_addr_bits=40),
            "axi_addr_bits = 40 does not fit TUL PYNQ-Z2, whose S_AXI_HP0 has 32 address bits; choose at most 32, or "
            "the preset pynq",
        ),
        (
            ULTRA96,
            replace(PRESETS["ultra96"], axi_data_bits=256),
            "axi_data_bits = 256 does not fit Avnet Ultra96-V2, whose S_AXI_HP0_FPD is 64 or 128 bits wide; choose 64 "
            "or 128, or the preset ultra96",
        ),
    ],
)
def test_ports_that_cannot_be_joined(board, config, message):
    with pytest.raises(BoardError, match=f"^{re.escape(message)}$"):
        board.check(config)


@pytest.mark.parametrize(
    ("clock", "asked", "made", "divisors"),
    [
        (Z2.clock, 100, 100, (5, 2)),
        (Z2.clock, 150, 1000 / 7, (7, 1)),
        (Z2.clock, 1000, 1000, (1, 1)),
        (ULTRA96.clock, 187.5, 187.5, (4, 2)),
        (BOARDS["ulx3s"].clock, 55, 600 / 11, (11,)),
        (Clock("x", 100, 50, (3,)), 33.4, 100 / 3, (3,)),
    ],
)
def test_the_nearest_clock_is_no_faster_than_asked_for(clock, asked, made, divisors):
    mhz, chosen = clock.nearest(asked)
    assert mhz == pytest.approx(made)
    assert sorted(chosen) == sorted(divisors)


@pytest.mark.parametrize(("mhz", "shown"), [(2000, "2000"), (0.1, "0.1"), (-5, "-5")])
def test_a_clock_that_cannot_be_made(mhz, shown):
    message = f"clock of {shown} MHz cannot be made from the I/O PLL (FCLK_CLK0); choose 0.252 to 1000 MHz"
    with pytest.raises(BoardError, match=f"^{re.escape(message)}$"):
        Z2.clock.nearest(mhz)


def test_memory_beyond_the_address_bits_is_out_of_reach():
    kv260 = BOARDS["kv260"]
    assert sum(memory.size for memory in kv260.reachable(PRESETS["ultra96"])) == 4 << 30
    assert [memory.name for memory in kv260.reachable(PRESETS["vta"])] == ["DDR4 low"]
