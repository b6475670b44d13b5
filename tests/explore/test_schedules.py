"""Schedules searched for each design: better or the compiler's own, the same for everybody, usable as records."""

import json
from dataclasses import replace

import pytest
from support.explored import plan, summary
from weft.models import digits_onnx
from weft.profile import profile_module
from weft_compiler.conv_task import ConvTask
from weft_compiler.records import read_records, schedules
from weft_compiler.tiling_cost import least_cycles
from weft_compiler.tiling_search import choose_tiling, likely_tilings
from weft_explore import schedules as searching
from weft_explore.cycles import READ_LATENCY
from weft_explore.design import Design
from weft_explore.evaluate import Evaluator
from weft_explore.exploration import Exploration
from weft_explore.objectives import parse_objectives
from weft_explore.schedules import tuned_layers
from weft_explore.space import parse_space
from weft_explore.workers import LocalProcesses, ThisProcess
from weft_explore.workload import Workload
from weft_hardware.presets import PRESETS, load_config
from weft_simulator.tsim.model import MemoryTiming

import weft

pytest.importorskip("numba", reason="needs numba, of the timing extra")

CONV = ConvTask(ic=3, oc=5, ih=14, iw=14, kh=3, kw=3, pads=(1, 1, 1, 1))
SMALL = replace(PRESETS["pynq"], block_in=8, block_out=8, epilogue_lanes=8, inp_depth=128, wgt_depth=64, acc_depth=64)
SPACE = """
base = "pynq"
[space]
block_in = [8, 16]
block_out = { same = "block_in" }
inp_depth = [128, 512, 2048]
wgt_depth = [64, 256]
[schedules]
trials = 12
"""


def joint(**changes):
    space = parse_space(SPACE)
    objectives = parse_objectives(["cycles", "luts"])
    return plan(**{"space": space, "objectives": objectives, "tune_trials": space.trials, **changes})


def test_more_trials_never_take_more_cycles():
    found = [tuned_layers([CONV], SMALL, trials, seed=0) for trials in (2, 12, 40)]
    layers = [layer for by_key in found for layer in by_key.values()]
    assert [layer.trials for layer in layers] == [2, 12, 40]
    assert len({layer.untuned for layer in layers}) == 1
    cycles = [layer.cycles for layer in layers]
    assert cycles == sorted(cycles, reverse=True)
    assert least_cycles(CONV, SMALL) <= cycles[-1] < layers[0].untuned


def test_a_layer_of_which_nothing_is_to_be_had_is_left(monkeypatch):
    monkeypatch.setattr(searching, "ENOUGH", 1.5)
    searching._tuned.cache_clear()
    ((layer),) = tuned_layers([CONV], SMALL, 40, seed=1).values()
    assert (layer.trials, layer.cycles) == (1, layer.untuned)
    searching._tuned.cache_clear()


def test_the_likeliest_schedule_is_the_compilers_own():
    tilings = likely_tilings(CONV, SMALL, 8)
    assert tilings[0] == choose_tiling(CONV, SMALL)
    assert len(set(tilings)) == 8
    assert [tiling.cycles for tiling in tilings] == sorted(tiling.cycles for tiling in tilings)


def test_designs_of_the_front_take_their_cycles_with_their_records(tmp_path):
    """Compiled with both files and profiled, to the cycle; and most of them fewer than without."""
    exploration = Exploration(joint(), tmp_path)
    exploration.run(6, ThisProcess(exploration.plan.evaluator))
    report = json.loads((tmp_path / "exploration.json").read_text())
    front = [row for row in report["designs"] if row["front"]]
    for row in front:
        config = load_config(tmp_path / row["file"])
        records = read_records([tmp_path / row["records"]])
        assert not records.damage
        chosen = schedules(records.best(config.digest))
        for used, cycles in ((chosen, row["values"]["cycles"]), ({}, row["untuned_cycles"])):
            module = weft.compile(digits_onnx(), config, schedules=used)
            with weft.open_device("timing", config, memory=MemoryTiming(read_latency=READ_LATENCY)) as device:
                assert profile_module(module, device).total.cycles == cycles
        assert sum(layer["cycles"] for layer in row["layers"]) == row["values"]["cycles"]
    assert any(row["values"]["cycles"] < row["untuned_cycles"] for row in front)
    header = (tmp_path / "designs.csv").read_text().splitlines()[0]
    assert header.startswith("id,state,front,cycles,luts,untuned cycles,batch,")
    assert {path.suffix for path in (tmp_path / "front").iterdir()} == {".toml", ".jsonl"}


@pytest.mark.slow
def test_schedules_are_the_same_whoever_searches_them(tmp_path):
    here, there = (Exploration(joint(generation=3), tmp_path / name) for name in ("here", "there"))
    here.run(3, ThisProcess(here.plan.evaluator))
    searching._tuned.cache_clear()
    with LocalProcesses(there.plan.evaluator, 2) as workers:
        there.run(3, workers)
    assert summary(here) == summary(there)
    assert [here.outcome(found).layers for found in here.explored] == [
        there.outcome(found).layers for found in there.explored
    ]


def test_schedules_that_are_worse_for_the_whole_network_are_not_taken(monkeypatch):
    workloads = (Workload("digits", digits_onnx()),)
    plain = Evaluator(workloads, PRESETS["pynq"]).evaluate(Design(SMALL))

    def worst(tasks, config, trials, seed):
        """Tiles of one pixel, said to be better."""
        found = tuned_layers(tasks, config, 1, seed)
        one = {"order": ["y", "x"], "tiles": {"y": 1, "x": 1}, "slots": {"inp": 1, "wgt": 1, "acc": 1}}
        one["levels"] = {"inp": 2, "wgt": 0, "acc": 2, "param": 0}
        return {
            key: replace(layer, candidate=one, cycles=1)
            for key, layer in found.items()
            if layer.name.startswith("3×3, 8×8")
        }

    monkeypatch.setattr(searching, "tuned_layers", worst)
    outcome = Evaluator(workloads, PRESETS["pynq"], trials=8).evaluate(Design(SMALL))
    assert outcome.layers == ()
    assert outcome.untuned == outcome.cycles == plain.cycles
