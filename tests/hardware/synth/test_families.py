"""What primitives occupy."""

import pytest
from weft_hardware.synth.families import ECP5, XC7, XCUP, Usage


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
