"""Searches of one layer's schedules: at random, by evolution, and by evolution that a cost model guides.

A search proposes candidates and is told what they cost; it never measures, so that one loop drives them all, whatever
the device. Everything random comes from one generator: the same seed and the same answers give the same proposals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol

import numpy as np
from numpy.typing import NDArray

from .cost_model import CostModel
from .problem import C, Measured, Problem

RETRIES = 50
"""Draws of a new candidate before the space is counted instead."""

COUNTABLE = 200_000
"""Sizes up to which what is left of a space is listed when random draws find nothing new."""

ELITE = 24
"""The best measured candidates, which evolution breeds from."""

CROSSED, FRESH = 0.3, 0.15
"""Shares of children that have two parents, and that have none."""

POOL, GENERATIONS = 128, 4
"""Candidates that the model ranks at a time, and how often they breed before the best are measured."""

CURIOSITY = 0.125
"""Share of each proposal drawn from the whole last generation: what the model errs about is never seen otherwise."""


class Search(Protocol[C]):
    """Proposes candidates of one problem."""

    def ask(self, count: int) -> list[C]:
        """Up to ``count`` candidates that were not proposed before; fewer only if there are no more."""
        ...

    def tell(self, candidates: Sequence[C], outcomes: Sequence[Measured]) -> None:
        """What they cost."""
        ...


class RandomSearch(Generic[C]):
    """Candidates at random, none twice; the default comes first.

    Parameters
    ----------
    problem : Problem
    rng : numpy.random.Generator
    """

    def __init__(self, problem: Problem[C], rng: np.random.Generator) -> None:
        self._problem, self._rng = problem, rng
        self._seen: set[C] = set()
        self._left: list[C] | None = None

    def ask(self, count: int) -> list[C]:
        chosen = self._first()
        chosen += self._new(count - len(chosen))
        return chosen

    def tell(self, candidates: Sequence[C], outcomes: Sequence[Measured]) -> None:
        """Nothing is learned."""

    def _first(self) -> list[C]:
        """The default, once."""
        if self._seen:
            return []
        self._seen.add(self._problem.default)
        return [self._problem.default]

    def _new(self, count: int) -> list[C]:
        """Candidates at random that were not proposed before, now proposed."""
        chosen: list[C] = []
        while len(chosen) < count and (candidate := self._draw()) is not None:
            self._seen.add(candidate)
            chosen.append(candidate)
        return chosen

    def _draw(self) -> C | None:
        if self._left is None:
            for _ in range(RETRIES):
                candidate = self._problem.sample(self._rng)
                if candidate not in self._seen:
                    return candidate
            # Almost everything was seen, or little of the space is ever drawn.
            size = self._problem.size
            if size is None or size > COUNTABLE:
                return None
            self._left = [candidate for candidate in self._problem.enumerate() if candidate not in self._seen]
            self._rng.shuffle(self._left)  # type: ignore[arg-type]
        while self._left:
            candidate = self._left.pop()
            if candidate not in self._seen:
                return candidate
        return None


class Evolution(RandomSearch[C]):
    """Children of the best candidates that were measured: two parents or one, changed in little, or none at all.

    The first proposal is what the compiler's analytic model likes best of a random pool.
    """

    def __init__(self, problem: Problem[C], rng: np.random.Generator) -> None:
        super().__init__(problem, rng)
        self._measured: list[C] = []
        self._cycles: list[float] = []

    def tell(self, candidates: Sequence[C], outcomes: Sequence[Measured]) -> None:
        self._measured += candidates
        self._cycles += [float("inf") if isinstance(outcome, str) else float(outcome) for outcome in outcomes]

    def ask(self, count: int) -> list[C]:
        chosen = self._first()
        elite = self._elite()
        if not elite:
            chosen += self._likely((count - len(chosen)) // 2)
        while elite and len(chosen) < count:
            child = next((c for _ in range(RETRIES) if (c := self._child(elite)) not in self._seen), None)
            if child is None:
                break
            self._seen.add(child)
            chosen.append(child)
        return chosen + self._new(count - len(chosen))

    def _elite(self) -> list[C]:
        """The best that ran, fastest first."""
        order = np.argsort(self._cycles, kind="stable")[:ELITE]
        return [self._measured[k] for k in order if np.isfinite(self._cycles[k])]

    def _likely(self, count: int) -> list[C]:
        """The best of a random pool by the analytic model, now proposed."""
        pool = [c for c in dict.fromkeys(self._problem.sample(self._rng) for _ in range(POOL)) if c not in self._seen]
        if not pool:
            return []
        order = np.argsort(self._problem.estimate(pool), kind="stable")[:count]
        chosen = [pool[k] for k in order]
        self._seen.update(chosen)
        return chosen

    def _child(self, parents: Sequence[C]) -> C:
        """Of parents that come best first: the better, the more children."""
        kind = self._rng.random()
        if kind < FRESH:
            return self._problem.sample(self._rng)
        child = self._parent(parents)
        if kind < FRESH + CROSSED and len(parents) > 1:
            child = self._problem.cross(child, self._parent(parents), self._rng)
            if child not in self._seen:
                return child
        return self._problem.mutate(child, self._rng)

    def _parent(self, parents: Sequence[C]) -> C:
        """One of them; the square of a uniform draw prefers the first."""
        return parents[int(len(parents) * self._rng.random() ** 2)]


class GuidedEvolution(Evolution[C]):
    """Evolution whose generations a cost model ranks; of the last one the most promising are measured.

    Parameters
    ----------
    model : CostModel
        Taught anew by every measurement.
    """

    def __init__(self, problem: Problem[C], rng: np.random.Generator, model: CostModel) -> None:
        super().__init__(problem, rng)
        self._model = model
        self._stale = False
        self._sights: dict[C, tuple[NDArray[np.float64], float]] = {}

    def tell(self, candidates: Sequence[C], outcomes: Sequence[Measured]) -> None:
        super().tell(candidates, outcomes)
        self._stale = True

    def ask(self, count: int) -> list[C]:
        self._learn()
        chosen = self._first()
        promising = [candidate for candidate in self._evolved() if candidate not in self._seen]
        sure = max(0, count - len(chosen) - int(CURIOSITY * count))
        chosen += promising[:sure]
        others = promising[sure:]
        for k in self._rng.permutation(len(others))[: count - len(chosen)]:
            chosen.append(others[k])
        self._seen.update(chosen)
        return chosen + self._new(count - len(chosen))

    def _learn(self) -> None:
        if self._stale:
            self._model.learn(*self._sight(self._measured), np.array(self._cycles))
            self._stale = False

    def _sight(self, candidates: Sequence[C]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Features and estimates; those of candidates that live on are not computed again."""
        new = [candidate for candidate in candidates if candidate not in self._sights]
        if new:
            rows = zip(new, self._problem.features(new), self._problem.estimate(new), strict=True)
            self._sights.update((candidate, (features, float(estimate))) for candidate, features, estimate in rows)
        features, estimates = zip(*(self._sights[candidate] for candidate in candidates), strict=True)
        return np.stack(features), np.array(estimates)

    def _evolved(self) -> list[C]:
        """The last of several generations under the model, most promising first."""
        pool = dict.fromkeys(self._elite())
        pool.update(dict.fromkeys(self._problem.sample(self._rng) for _ in range(POOL - len(pool))))
        ranked = self._ranked(list(pool))
        for _ in range(GENERATIONS):
            parents = ranked[: POOL // 4]
            children = dict.fromkeys(self._child(parents) for _ in range(POOL))
            # What was measured keeps its place as a parent: the model knows it best.
            ranked = self._ranked([*dict.fromkeys([*ranked[:POOL], *children])])
        return ranked

    def _ranked(self, candidates: Sequence[C]) -> list[C]:
        costs = self._model.predict(*self._sight(candidates))
        return [candidates[k] for k in np.argsort(costs, kind="stable")]
