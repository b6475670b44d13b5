"""Which layer gets the next trials: that whose next batch takes most cycles away from the whole network.

The network takes ``Σ weight · cycles``. Its gradient by the trials of one layer is the weight times what a batch of
them gains, of which the layer's past tells a bound (`stopping.Prospect`): its mean is the backward difference, its
width the optimism without which a layer that was unlucky once would never be tried again.

Source
------
Zheng et al., "Ansor: Generating High-Performance Tensor Programs for Deep Learning" (OSDI 2020), section 6; differs in
the optimistic part, a confidence bound instead of ``cycles / trials``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Generic

from .problem import C, Measured, Problem
from .search import Search
from .stopping import Prospect


@dataclass
class Task(Generic[C]):
    """A layer, its search, and what came of it so far.

    Parameters
    ----------
    problem : Problem
    search : Search
    patient : bool
        It is never left for want of gain: for comparisons at an equal number of trials.
    """

    problem: Problem[C]
    search: Search[C]
    patient: bool = False
    prospect: Prospect = field(default_factory=Prospect)
    trials: int = 0
    default: float = inf
    best: float = inf
    candidate: C | None = None
    failure: str | None = None
    reason: str | None = None
    """Why it gets no more trials; None while it does."""

    def tell(self, candidates: Sequence[C], outcomes: Sequence[Measured]) -> None:
        """Outcomes of a batch; an empty one means that the space is exhausted."""
        if not candidates:
            self.reason = f"all {self.trials} candidates were measured"
            return
        self.search.tell(candidates, outcomes)
        self.trials += len(candidates)
        before = self.best
        for candidate, outcome in zip(candidates, outcomes, strict=True):
            if isinstance(outcome, str):
                self.failure = self.failure or outcome
                continue
            if candidate == self.problem.default:
                self.default = outcome
            if outcome < self.best:
                self.best, self.candidate = outcome, candidate
        # The first batch holds the default: what it gains is gained over that.
        before = before if isfinite(before) else self.default
        if isfinite(before):
            self.prospect.tell(before, self.best)
        elif self.trials >= HOPELESS and self.candidate is None:
            self.reason = f"none of {self.trials} candidates ran: {self.failure}"
        if not self.prospect.is_worth_it and not self.patient:
            self.reason = self.prospect.verdict

    @property
    def gain(self) -> float:
        """Cycles of the network that the next batch is expected to take away; unknown layers come first."""
        return self.problem.weight * self.best * self.prospect.bound if isfinite(self.best) else inf


HOPELESS = 128
"""Trials after which a layer is given up of which no candidate ran."""


def next_task(tasks: Sequence[Task[C]]) -> Task[C] | None:
    """The task with the most to gain, the first of equals; None when all are done."""
    live = [task for task in tasks if task.reason is None]
    # An unknown layer has no gain to compare: the one with the fewest trials first.
    return max(live, key=lambda task: (task.gain, -task.trials), default=None)
