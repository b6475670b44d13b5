"""Several layers that share their trials."""

from support.toy_problem import ToyProblem
from weft_explore.tune.tuner import Tuning


def run(problems: list[ToyProblem], trials: int, **options: bool) -> Tuning:
    tuning = Tuning(problems, lambda problem, some: problem.measure(some), seed=1, **options)
    tuning.run(trials)
    return tuning


def test_trials_are_never_exceeded() -> None:
    problems = [ToyProblem("a"), ToyProblem("b")]
    assert run(problems, 37).trials == 37
    assert sum(problem.asked for problem in problems) == 37


def test_a_layer_with_nothing_to_gain_leaves_its_trials_to_others() -> None:
    tuning = run([ToyProblem("flat", flat=True), ToyProblem("rewarding")], 400)
    flat, rewarding = tuning.tasks
    assert flat.trials < rewarding.trials
    assert rewarding.best == rewarding.problem.base


def test_it_stops_when_nothing_more_is_to_be_had_and_says_so() -> None:
    tuning = run([ToyProblem("a"), ToyProblem("b", flat=True)], 100_000)
    assert tuning.trials < 2000
    assert tuning.reason == f"stopped after {tuning.trials} trials: nothing more is to be had of any layer"
    assert all("gained nothing" in (task.reason or "") for task in tuning.tasks)


def test_patience_spends_all() -> None:
    tuning = run([ToyProblem("a", flat=True)], 450, patient=True)
    assert tuning.trials == 450
    assert tuning.reason == "all 450 trials are spent; 1 of 1 layers may still gain"


def test_without_layers_there_is_nothing_to_do() -> None:
    assert run([], 100).reason == "no layer has a choice of schedules"


def test_a_layers_trials_do_not_depend_on_its_neighbours() -> None:
    alone = run([ToyProblem("a")], 64)
    beside = run([ToyProblem("a"), ToyProblem("b", flat=True, base=1)], 80)
    assert beside.tasks[0].trials == 64
    assert beside.tasks[0].candidate == alone.tasks[0].candidate
