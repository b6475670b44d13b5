"""The learned model of cycles."""

import numpy as np
import pytest
from support.toy_problem import ToyProblem
from weft_explore.tune.cost_model import MIN_SAMPLES, CostModel


def measured(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, estimates and cycles of random choices; those that fail take forever."""
    problem, rng = ToyProblem(), np.random.default_rng(seed)
    chosen = [problem.sample(rng) for _ in range(count)]
    cycles = [float("inf") if isinstance(cost, str) else float(cost) for cost in problem.measure(chosen)]
    return problem.features(chosen), problem.estimate(chosen), np.array(cycles)


def agreement(predicted: np.ndarray, cycles: np.ndarray) -> float:
    """Of two rankings: Spearman's coefficient."""
    ranks = [np.argsort(np.argsort(values)) for values in (predicted, cycles)]
    return float(np.corrcoef(*ranks)[0, 1])


def test_without_measurements_it_is_the_analytic_model() -> None:
    features, estimates, cycles = measured(MIN_SAMPLES - 1, 1)
    model = CostModel()
    assert model.predict(features, estimates) == pytest.approx(np.log(estimates))
    model.learn(features, estimates, cycles)
    assert model.predict(features, estimates) == pytest.approx(np.log(estimates))


def test_measurements_make_it_rank_better() -> None:
    features, estimates, cycles = measured(400, 2)
    ran = np.isfinite(cycles)
    model = CostModel()
    before = agreement(model.predict(features, estimates)[ran], cycles[ran])
    model.learn(*measured(200, 3))
    after = agreement(model.predict(features, estimates)[ran], cycles[ran])
    assert after > before + 0.05, (before, after)


def test_failures_are_predicted_to_be_slow() -> None:
    features, estimates, cycles = measured(400, 4)
    model = CostModel()
    model.learn(*measured(200, 5))
    predicted, failed = model.predict(features, estimates), ~np.isfinite(cycles)
    assert np.median(predicted[failed]) > np.quantile(predicted[~failed], 0.75)


def test_the_same_seed_learns_the_same() -> None:
    features, estimates, _ = measured(50, 6)
    models = [CostModel(seed) for seed in (1, 1, 2)]
    for model in models:
        model.learn(*measured(100, 7))
    first, same, other = (model.predict(features, estimates) for model in models)
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)
