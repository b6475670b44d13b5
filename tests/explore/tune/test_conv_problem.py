"""Convolutions as a search sees them."""

import re
from dataclasses import replace

import numpy as np
import pytest
from weft_compiler.conv_task import ConvTask, Requantisation
from weft_compiler.errors import CompileError
from weft_compiler.tasks import layer_key, lowered
from weft_hardware.presets import VTA
from weft_simulator.timing.parameters import FIRST
from weft_simulator.tsim.model import MemoryTiming

pytest.importorskip("numba", reason="needs numba")

from weft_explore.tune.conv_problem import ConvProblem
from weft_simulator.timing.device import TimingDevice

TASK = ConvTask(ic=2, oc=3, ih=9, iw=9, kh=3, kw=3, pads=(1,) * 4, requantisation=Requantisation(zero_point=3))


@pytest.fixture(scope="module")
def problem():
    return ConvProblem(TASK, VTA, MemoryTiming(read_latency=50))


def test_layers_that_differ_in_numbers_are_one(problem):
    other = replace(TASK, requantisation=Requantisation(zero_point=9))
    assert ConvProblem(other, VTA).key == problem.key == f"{layer_key(TASK)}@{VTA.digest}"
    assert ConvProblem(replace(TASK, oc=2), VTA).key != problem.key
    assert ConvProblem(TASK, replace(VTA, reads_in_flight=2)).key != problem.key


def test_changes_and_crosses_stay_in_the_space(problem):
    rng = np.random.default_rng(0)
    a, b = problem.default, problem.sample(rng)
    for _ in range(200):
        a, b = problem.mutate(a, rng), problem.cross(a, b, rng)
        assert problem.sketches.contains(a)
        assert problem.sketches.contains(b)
        assert problem.from_json(a.to_json()) == a


def test_every_candidate_has_as_many_finite_features(problem):
    rng = np.random.default_rng(0)
    found = problem.features([problem.sample(rng) for _ in range(20)])
    assert found.shape[0] == 20
    assert np.isfinite(found).all()
    assert len(np.unique(found, axis=0)) > 10


def test_a_device_measures_what_the_model_predicts(problem):
    device = TimingDevice(VTA, memory=MemoryTiming(read_latency=50))
    measured = ConvProblem(TASK, VTA, device=device)
    rng = np.random.default_rng(2)
    candidates = [problem.default, *(problem.sample(rng) for _ in range(3))]
    cycles = problem.measure(candidates)
    assert measured.measure(candidates) == cycles
    assert min(cycles) > FIRST


def test_a_candidate_is_measured_once(problem, monkeypatch):
    (cycles,) = problem.measure([problem.default])
    monkeypatch.setattr(problem._timed, "cycles", lambda _: pytest.fail("measured again"))
    assert problem.measure([problem.default, problem.default]) == [cycles, cycles]


def test_a_schedule_that_cannot_be_had_is_a_sentence(problem):
    whole = replace(problem.default, slots=dict.fromkeys(problem.default.slots, 999))
    (message,) = problem.measure([whole])
    assert message.startswith("INP needs 999 × ")


def test_the_estimate_of_the_default_is_near(problem):
    (cycles,), (estimate,) = problem.measure([problem.default]), problem.estimate([problem.default])
    assert 0.5 < estimate / cycles < 2


def test_a_schedule_given_to_the_compiler_is_the_one_measured(problem):
    other = problem.mutate(problem.default, np.random.default_rng(3))
    found = lowered(TASK, VTA, {problem.layer: other.to_json()})
    assert found.tiling == other != lowered(TASK, VTA).tiling


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": ["q"], "tiles": {"q": 1}}, "loop 'q' is none of n, g, oc, y, x, ic, ky, kx, or is there twice"),
        ({"tiles": {"oc": 9}, "order": ["oc"]}, "tile 9 of loop oc is not within 1..2"),
        ({"levels": {"inp": 9, "wgt": 0, "acc": 0, "param": 0}}, "level 9 of INP is not within 0.."),
        ({"slots": {"inp": 3, "wgt": 1, "acc": 1}}, "3 slots of INP are not 1 or 2"),
        ({"slots": None}, "it says no loops, tiles, levels and slots ("),
    ],
)
def test_what_is_no_schedule_of_the_layer_is_refused(problem, change, message):
    data = {**problem.default.to_json(), **change}
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        problem.from_json(data)
    with pytest.raises(CompileError) as refused:
        lowered(TASK, VTA, {problem.layer: data})
    assert str(refused.value).startswith(f"the schedule of layer {problem.layer} cannot be used: {message}")
    assert str(refused.value).endswith("; tune the layer anew")


def test_threads_measure_the_same(problem):
    candidates = [problem.sample(np.random.default_rng(k)) for k in range(12)]
    threaded = ConvProblem(TASK, VTA, threads=3)
    assert threaded.measure(candidates) == ConvProblem(TASK, VTA).measure(candidates)
