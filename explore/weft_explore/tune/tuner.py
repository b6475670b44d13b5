"""The loop of a tuning: which layer, which candidates, measure, tell."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Generic, Literal, Protocol

import numpy as np

from .cost_model import CostModel
from .problem import C, Measured, Problem
from .search import Evolution, GuidedEvolution, RandomSearch, Search
from .tasks import Task, next_task

BATCH = 16
"""Candidates proposed at a time: fewer teach the model more often, more cost less."""

Method = Literal["guided", "evolution", "random"]


class Measure(Protocol[C]):
    """Measures candidates of a problem, or knows what they cost."""

    def __call__(self, problem: Problem[C], candidates: Sequence[C]) -> list[Measured]: ...


def make_search(problem: Problem[C], seed: int, method: Method = "guided") -> Search[C]:
    """A search whose choices depend on the seed and the layer alone, not on the network around it."""
    layer = zlib.crc32(problem.key.encode())
    rng = np.random.default_rng([seed, layer])
    if method == "random":
        return RandomSearch(problem, rng)
    if method == "evolution":
        return Evolution(problem, rng)
    return GuidedEvolution(problem, rng, CostModel(seed))


class Tuning(Generic[C]):
    """Layers that share a number of trials.

    The same seed and the same cycles give the same trials: what ``measure`` knows already may be answered from records,
    so that a tuning that was broken off goes on where it was.

    Parameters
    ----------
    problems : sequence of Problem
        Different layers.
    measure : Measure
        See there.
    seed : int
    method : str
        Of the searches; ``guided`` is the one to use, the others are its controls.
    patient : bool
        Spend all trials, also where nothing is expected of them any more.

    Attributes
    ----------
    tasks : list of Task
        One a problem, in their order, as far as they have come.
    trials : int
        Candidates in all, those known already included.
    """

    def __init__(
        self,
        problems: Sequence[Problem[C]],
        measure: Measure[C],
        *,
        seed: int = 0,
        method: Method = "guided",
        patient: bool = False,
    ) -> None:
        self.tasks = [Task(problem, make_search(problem, seed, method), patient) for problem in problems]
        self.trials = 0
        self._measure = measure

    def run(self, trials: int, told: Callable[[], object] = lambda: None) -> None:
        """Go on until so many trials are spent in all, or nothing more is to be had.

        Parameters
        ----------
        told : callable
            Called after each batch.
        """
        while self.trials < trials and (task := next_task(self.tasks)) is not None:
            # What a search proposes must not depend on how many trials there are: more go on where fewer ended.
            candidates = task.search.ask(BATCH)[: trials - self.trials]
            task.tell(candidates, self._measure(task.problem, candidates) if candidates else [])
            self.trials += len(candidates)
            told()

    @property
    def reason(self) -> str:
        """Why it ended, in words."""
        open_tasks = [task for task in self.tasks if task.reason is None]
        if not self.tasks:
            return "no layer has a choice of schedules"
        if open_tasks:
            return f"all {self.trials} trials are spent; {len(open_tasks)} of {len(self.tasks)} layers may still gain"
        return f"stopped after {self.trials} trials: nothing more is to be had of any layer"
