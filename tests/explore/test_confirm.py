"""Confirmation of a front: which designs, what is measured of them, and what is said where that fails."""

import json
import time

import pytest
from weft.models import digits_onnx
from weft_explore import confirm as confirming
from weft_explore.area import RunawayError, SynthesisError
from weft_explore.confirm import Limits, along, confirm
from weft_explore.exploration import Exploration
from weft_explore.objectives import parse_objectives
from weft_explore.plan import Plan
from weft_explore.space import parse_space
from weft_explore.workers import ThisProcess
from weft_explore.workload import Workload
from weft_hardware.parts import Usage
from weft_hardware.synth.tools import Bounds
from weft_simulator.timing.device import TimingDevice

pytest.importorskip("optuna", reason="needs optuna, of the explore extra")

SPACE = """
base = "tiny8"
[space]
batch = 1
inp_depth = 256
wgt_depth = 128
block_in = [4, 8]
acc_depth = [64, 128, 256]
"""


@pytest.fixture
def explored(tmp_path):
    workloads = (Workload("digits", digits_onnx()),)
    objectives = parse_objectives(["cycles", "luts", "brams"])
    plan = Plan(space=parse_space(SPACE), workloads=workloads, objectives=objectives, generation=3, screened=0)
    exploration = Exploration(plan, tmp_path)
    exploration.run(6, ThisProcess(plan.evaluator))
    return exploration


@pytest.fixture
def quick(monkeypatch):
    """The timing model for the RTL, and a synthesis that is told what to find; counts them."""
    made = {"synthesised": 0, "simulated": 0, "usage": Usage(luts=12_345, brams=6, dsps=100, ffs=7)}

    def synthesise(config, family, packed, cache, bounds):
        made["synthesised"] += 1
        made["bounds"] = bounds
        time.sleep(made.get("sleep", 0))
        if isinstance(made["usage"], Exception):
            raise made["usage"]
        return made["usage"]

    def simulate(config, packed_multipliers, **options):
        made["simulated"] += 1
        return TimingDevice(config, **options)

    monkeypatch.setattr(confirming, "synthesise", synthesise)
    monkeypatch.setattr("weft_simulator.tsim.device.TsimDevice", simulate)
    return made


def rows(exploration):
    report = json.loads((exploration.directory / "exploration.json").read_text())
    return [row for row in report["designs"] if row["confirmed"]]


@pytest.mark.parametrize(
    ("count", "front", "places"),
    [(1, 5, [0]), (2, 5, [0, 4]), (3, 5, [0, 2, 4]), (5, 5, [0, 1, 2, 3, 4]), (9, 3, [0, 1, 2]), (3, 0, [])],
)
def test_designs_are_spread_along_the_front(count, front, places):
    assert along(list(range(front)), count) == places


def test_measured_values_stand_beside_the_predicted_ones(explored, quick):
    chosen = confirm(explored, 2)
    confirmed = rows(explored)
    assert [row["id"] for row in confirmed] == sorted(found.number for found in chosen)
    for row in confirmed:
        assert row["confirmed"]["reason"] is None
        assert row["confirmed"]["values"] == {"cycles": row["values"]["cycles"], "luts": 12_345, "brams": 6}
        cycles = row["values"]["cycles"]
        assert row["confirmed"]["workloads"] == [{"name": "digits", "predicted": cycles, "confirmed": cycles}]
    table = (explored.directory / "designs.csv").read_text().splitlines()
    assert table[0].endswith(",reason,confirmed cycles,confirmed luts,confirmed brams,not confirmed")
    assert sum(",12345," in line for line in table) == len(chosen)


def test_nothing_is_confirmed_twice(explored, quick):
    confirm(explored, 1)
    again = Exploration(explored.plan, explored.directory)
    again.run(6, ThisProcess(explored.plan.evaluator))
    confirm(again, 1)
    assert (quick["synthesised"], quick["simulated"]) == (1, 1)
    assert len(rows(again)) == 1


@pytest.mark.parametrize(("error", "tries"), [(SynthesisError("yosys fell"), 1), (RunawayError("yosys was ended"), 2)])
def test_a_synthesis_that_fails_is_named_and_tried_again_if_more_may_help(explored, quick, error, tries):
    quick["usage"] = error
    chosen = confirm(explored, 3)
    for row in rows(explored):
        assert row["confirmed"]["reason"] == f"synthesis: {error}"
        assert list(row["confirmed"]["values"]) == ["cycles"]
    assert len(rows(explored)) == len(chosen)
    again = Exploration(explored.plan, explored.directory)
    again.run(6, ThisProcess(explored.plan.evaluator))
    confirm(again, 3)
    assert quick["synthesised"] == tries * len(chosen)


def test_a_synthesis_for_which_no_time_is_left_does_not_blame_its_own_bound(explored, quick):
    quick |= {"sleep": 2, "usage": RunawayError("yosys was ended after 2 s, more than the 2 s it may take")}
    confirm(explored, 1, Limits(Bounds(3600, 1000), total=2))
    (row,) = rows(explored)
    assert row["confirmed"]["reason"] == "the 2 s for all designs are over (--confirm-minutes); allow more"
    assert 0 < quick["bounds"].seconds < 2
    assert quick["bounds"].memory_mib == 1000


def test_workloads_too_long_to_simulate_are_named(explored, quick):
    confirm(explored, 1, Limits(cycles=100))
    (row,) = rows(explored)
    assert row["confirmed"]["reason"] == "too long to simulate, beyond 100 cycles: digits"
    assert row["confirmed"]["workloads"] == []
    assert list(row["confirmed"]["values"]) == ["luts", "brams"]


@pytest.fixture
def stopped(quick, monkeypatch):
    """Ctrl-C during the syntheses of these numbers, from 0."""
    at, synthesise = set(), confirming.synthesise

    def interrupted(*arguments, **bounds):
        if quick["synthesised"] in at:
            quick["synthesised"] += 1
            raise KeyboardInterrupt
        return synthesise(*arguments, **bounds)

    monkeypatch.setattr(confirming, "synthesise", interrupted)
    return at


def test_ctrl_c_leaves_out_one_design_and_a_second_one_all_that_remain(explored, quick, stopped):
    count = len(explored.front())
    assert count > 1
    stopped |= {0}
    confirm(explored, count)
    left_out = {"values": {}, "workloads": [], "reason": "left out by Ctrl-C"}
    assert [row["confirmed"] for row in rows(explored)].count(left_out) == 1
    again = Exploration(explored.plan, explored.directory)
    again.run(6, ThisProcess(explored.plan.evaluator))
    quick["synthesised"] = 0
    stopped.clear()
    confirm(again, count)
    assert quick["synthesised"] == 1
    assert all(row["confirmed"]["reason"] is None for row in rows(again))


def test_two_ctrl_c_end_it_with_everything_written(explored, quick, stopped):
    count = len(explored.front())
    stopped |= {0, 1}
    with pytest.raises(KeyboardInterrupt):
        confirm(explored, count)
    assert quick["synthesised"] == 2
    assert [row["confirmed"]["reason"] for row in rows(explored)] == ["left out by Ctrl-C"] * count


def test_designs_for_which_no_time_is_left_are_marked(explored, quick):
    confirm(explored, 2, Limits(total=0))
    assert quick["synthesised"] == 0
    assert [row["confirmed"]["reason"] for row in rows(explored)] == [
        "the 0 s for all designs are over (--confirm-minutes); allow more"
    ] * 2


@pytest.mark.slow
@pytest.mark.synth
def test_a_front_on_the_rtl_and_synthesised(explored):
    (found,) = confirm(explored, 1)
    (row,) = rows(explored)
    assert row["id"] == found.number
    assert row["confirmed"]["reason"] is None
    assert row["confirmed"]["values"]["cycles"] == row["values"]["cycles"]
    assert row["confirmed"]["values"]["brams"] == row["values"]["brams"]
    assert row["confirmed"]["values"]["luts"] == pytest.approx(row["values"]["luts"], rel=0.05)
