"""Designs that the analytic model looked at, and which of them are worth an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .front import on_front, spread
from .plan import Plan
from .space import Point
from .workers import Workers

NEIGHBOURS = 3
"""Evaluated designs whose error the analytic model is taken to have nearby."""


class Candidates:
    """Points with rough costs, found by a search that the analytic model alone answers.

    Parameters
    ----------
    plan : Plan
        Whose objectives and constraints hold here, too.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._rows: dict[Point, int] = {}
        self._costs: list[tuple[float, ...]] = []
        self._scale = np.array([max(1, len(p.choices) - 1) for p in plan.space.parameters], np.float64)

    def look(self, workers: Workers, tell: Callable[[int], None]) -> None:
        """Search; ``tell`` is told how many designs were looked at."""
        from .study import Search

        plan = self._plan
        rough = Search(replace(plan, sampler="nsga2"))
        while rough.told < plan.screened and (asked := rough.ask(plan.screened)):
            designs = [plan.space.design(point) for _, point in asked]
            known = [design for design in designs if design is not None]
            outcomes = dict(workers.outcomes(known, rough=True))
            for k, (number, point) in enumerate(asked):
                outcome = outcomes[k]
                if outcome.reason is not None:
                    rough.tell(number, None)
                    continue
                costs = plan.costs(plan.values(known[k], outcome))
                rough.tell(number, costs)
                self._rows[point] = len(self._costs)
                self._costs.append(costs)
            tell(rough.told)

    def best(self, known: Sequence[tuple[Point, tuple[float, ...] | None]], count: int) -> list[Point]:
        """Points that were not evaluated yet and that none that was is expected to beat, far from each other.

        Parameters
        ----------
        known : sequence
            Evaluated points with their costs, None where they failed.
        """
        if not self._costs:
            return []
        points = list(self._rows)
        expected = self._expected(points, known)
        done = np.array([costs for _, costs in known if costs is not None], np.float64)
        taken = {point for point, _ in known}
        new = [k for k, point in enumerate(points) if point not in taken]
        if len(done) and new:
            hopeful = on_front(np.vstack([done, expected[new]]))[len(done) :]
            new = [k for k, hope in zip(new, hopeful, strict=True) if hope]
        return [points[new[k]] for k in spread(expected[new], count)] if new else []

    def _expected(
        self, points: Sequence[Point], known: Sequence[tuple[Point, tuple[float, ...] | None]]
    ) -> NDArray[np.float64]:
        """Rough costs times the factor by which those of the nearest evaluated points were wrong."""
        rough = np.array(self._costs, np.float64)
        both = [(point, costs) for point, costs in known if costs is not None and point in self._rows]
        if not both:
            return rough
        told = rough[[self._rows[point] for point, _ in both]]
        found = np.array([costs for _, costs in both], np.float64)
        usable = np.all((told != 0) & (found != 0) & (np.sign(told) == np.sign(found)), axis=1)
        if not usable.any():
            return rough
        factors = np.log(found[usable] / told[usable])
        at = np.array([point for point, _ in both], np.float64)[usable] / self._scale
        distance = np.linalg.norm((np.array(points) / self._scale)[:, None, :] - at[None, :, :], axis=2)
        nearest = np.argsort(distance, axis=1, kind="stable")[:, :NEIGHBOURS]
        return rough * np.exp(factors[nearest].mean(axis=1))
