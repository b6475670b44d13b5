"""Limits and JSON of a report."""

import json

import pytest
from weft_hardware.synth.families import Usage
from weft_hardware.synth.flow import _report, read_timing
from weft_hardware.synth.netlist import Depth, DspRegisters, ModuleUsage
from weft_hardware.synth.report import Limits, Report, Timing
from weft_hardware.synth.tools import SynthesisError

PART = ModuleUsage("macs", Usage(luts=60, dsps=256))
TOP = ModuleUsage("top", Usage(luts=100, lutram=4, ffs=200, dsps=256, brams=109.5), (PART,))
REPORT = Report("xc7", False, ("tool 1",), TOP, Depth(7, ("a LUT6", "b LUT2")), DspRegisters(256, 255, 254))
ROUTED = Report("ecp5", False, (), TOP, Depth(7, ()), DspRegisters(0, 0, 0), Timing(99.96, "LFE5U-85F-6", 3, ()))


def test_limits_that_hold():
    assert Limits(100, 200, 256, 109.5).broken(REPORT) == []
    assert Limits().broken(REPORT) == []
    assert Limits(min_fmax=99.9).broken(ROUTED) == []


def test_limits_that_break():
    assert Limits(99, 199, 220, 109).broken(REPORT) == [
        "100 LUTs exceed --max-luts 99",
        "200 flip-flops exceed --max-ffs 199",
        "256 DSP blocks exceed --max-dsps 220",
        "109.5 block RAMs (RAMB36) exceed --max-brams 109",
    ]
    assert Limits(min_fmax=100).broken(ROUTED) == ["99.96 MHz fall short of --min-fmax 100"]


def test_json_says_all_and_reads_back():
    values = json.loads(json.dumps(REPORT.to_dict()))
    assert values["totals"]["brams"] == 109.5
    assert values["modules"]["parts"][0] == {
        **dict.fromkeys(("lutram", "ffs", "brams"), 0),
        **{"name": "macs", "luts": 60, "dsps": 256, "parts": []},
    }
    assert "not of Vivado" in values["caveat"]
    assert _report(values) == REPORT


def test_timing_is_that_of_the_slowest_clock():
    def step(cell, delay):
        return {"type": "logic", "delay": delay, "to": {"cell": cell, "port": "Z"}}

    report = {
        "fmax": {"clk": {"achieved": 81.5}, "jtag": {"achieved": 200.0}},
        "critical_paths": [
            {"from": "posedge jtag", "to": "posedge jtag", "path": [step("slow", 1.0)]},
            {"from": "posedge clk", "to": "posedge clk", "path": [step("a", 0.5), step("b", 11.0)]},
        ],
    }
    timing = read_timing(report, 4)
    assert (timing.fmax_mhz, timing.seed) == (81.5, 4)
    assert timing.critical_ns == (("logic a.Z", 0.5), ("logic b.Z", 11.0))


def test_no_clock_is_an_error():
    with pytest.raises(SynthesisError, match=r"^nextpnr timed no clock: the design has no path between registers$"):
        read_timing({"fmax": {}, "critical_paths": []}, 1)
