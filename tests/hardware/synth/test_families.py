"""What primitives occupy, and which boards an accelerator fits."""

import pytest
from weft_hardware.synth.families import ECP5, FAMILIES, XC7, XCUP, Usage


@pytest.mark.parametrize(
    ("family", "primitive", "usage"),
    [
        (XC7, "LUT1", Usage(luts=1)),
        (XC7, "LUT6", Usage(luts=1)),
        (XC7, "INV", Usage(luts=1)),
        (XC7, "MUXF7", Usage()),
        (XC7, "CARRY4", Usage()),
        (XC7, "FDRE", Usage(ffs=1)),
        (XC7, "FDSE", Usage(ffs=1)),
        (XC7, "RAM32M", Usage(luts=4, lutram=4)),
        (XC7, "RAM64X1D", Usage(luts=2, lutram=2)),
        (XC7, "SRL16E", Usage(luts=1, lutram=1)),
        (XC7, "RAMB36E1", Usage(brams=1)),
        (XC7, "RAMB18E1", Usage(brams=0.5)),
        (XC7, "DSP48E1", Usage(dsps=1)),
        (XCUP, "RAMB18E2", Usage(brams=0.5)),
        (XCUP, "DSP48E2", Usage(dsps=1)),
        (XCUP, "CARRY8", Usage()),
        (ECP5, "LUT4", Usage(luts=1)),
        (ECP5, "CCU2C", Usage(luts=2)),
        (ECP5, "TRELLIS_DPR16X4", Usage(luts=4, lutram=4)),
        (ECP5, "DP16KD", Usage(brams=1)),
        (ECP5, "MULT18X18D", Usage(dsps=1)),
    ],
)
def test_primitives(family, primitive, usage):
    assert family.usage(primitive) == usage


def test_a_board_says_what_is_short():
    (zynq,) = XC7.boards
    assert zynq.shortages(zynq.capacity) == []
    assert zynq.shortages(zynq.capacity + Usage(dsps=36, brams=0.5)) == ["256 of 220 DSPs", "140.5 of 140 BRAMs"]


def test_every_board_says_where_its_figures_come_from():
    for family in FAMILIES.values():
        for board in family.boards:
            assert board.source
            assert min(board.capacity.values()) > 0
            assert board.capacity.lutram <= board.capacity.luts
