"""Searches on a landscape whose optimum is known."""

from collections.abc import Iterator
from statistics import median

import numpy as np
import pytest
from support.toy_problem import BEST, Choice, ToyProblem
from weft_explore.tune.tuner import Method, Tuning, make_search

METHODS: tuple[Method, ...] = ("random", "evolution", "guided")


def best_of(method: Method, trials: int, seed: int) -> float:
    tuning = Tuning([ToyProblem()], lambda problem, some: problem.measure(some), seed=seed, method=method, patient=True)
    tuning.run(trials)
    return tuning.tasks[0].best


def proposals(method: Method, seed: int, batches: int = 6) -> list[Choice]:
    problem = ToyProblem()
    search = make_search(problem, seed, method)
    found = []
    for _ in range(batches):
        batch = search.ask(16)
        assert len(batch) == 16
        search.tell(batch, problem.measure(batch))
        found += batch
    return found


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_proposed_twice_and_the_default_first(method: Method) -> None:
    found = proposals(method, 1)
    assert found[0] == ToyProblem.default
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_proposes_the_same(method: Method) -> None:
    first = proposals(method, 3)
    assert proposals(method, 3) == first
    assert proposals(method, 4) != first


def test_evolution_beats_random_search_and_the_model_beats_evolution() -> None:
    found = {method: [best_of(method, 48, seed) for seed in range(5)] for method in METHODS}
    assert median(found["guided"]) < median(found["evolution"]) < median(found["random"]), found


def test_guided_evolution_finds_the_optimum() -> None:
    assert [best_of("guided", 200, seed) for seed in range(5)] == [ToyProblem().cost(Choice(BEST))] * 5


class _Few(ToyProblem):
    """All but one dimension are fixed: eight choices."""

    size = 8

    def sample(self, rng: np.random.Generator) -> Choice:
        return Choice((int(rng.integers(8)), 0, 0, 0))

    def mutate(self, candidate: Choice, rng: np.random.Generator) -> Choice:
        return self.sample(rng)

    def enumerate(self) -> Iterator[Choice]:
        yield from (Choice((k, 0, 0, 0)) for k in range(8))


@pytest.mark.parametrize("method", METHODS)
def test_a_small_space_is_proposed_whole_and_then_nothing(method: Method) -> None:
    problem = _Few()
    search = make_search(problem, 0, method)
    first = search.ask(5)
    search.tell(first, problem.measure(first))
    assert {*first, *search.ask(16)} == set(problem.enumerate())
    assert search.ask(16) == []
