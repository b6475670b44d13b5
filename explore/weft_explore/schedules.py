"""Schedules of a design's layers: searched for each layer and configuration, measured exactly on the timing model.

Schedules of different hardware cannot be compared, since tiles that fit one do not fit another. So they are no
dimension of the space: each design has a search of its own inside, and is judged by the best that this found.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from weft_compiler.conv_task import ConvTask
from weft_compiler.records import Record
from weft_compiler.tasks import Task
from weft_compiler.tiling import Tiling
from weft_compiler.tiling_cost import least_cycles
from weft_compiler.tiling_search import likely_tilings
from weft_hardware.config import AcceleratorConfig
from weft_simulator.tsim.model import MemoryTiming

from .cycles import READ_LATENCY

if TYPE_CHECKING:
    from .tune.conv_problem import ConvProblem

BATCH = 8
"""Schedules that are chosen at a time: none of them knows the others' cycles."""

POOL = 64
"""Changes of the best schedules of which the analytic model chooses a batch."""

PARENTS = 4
"""How many of the best are changed."""

SLOW = 4
"""A layer whose schedules must be compiled to be measured has one trial where others have so many."""

ENOUGH = 0.01
"""A layer so near to what no schedule goes below is left: nothing is to be had."""


@dataclass(frozen=True)
class TunedLayer:
    """The best schedule that was found of a layer.

    Parameters
    ----------
    layer : str
        `weft_compiler.tasks.layer_key`.
    name : str
        For people.
    candidate : Mapping
        The schedule as JSON.
    cycles, untuned : int
        Of the layer alone in memory, and of the compiler's own schedule.
    trials : int
        Schedules that were measured, that of the compiler included.
    """

    layer: str
    name: str
    candidate: Mapping[str, Any]
    cycles: int
    untuned: int
    trials: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def record(self, config: AcceleratorConfig, seed: int, version: str) -> Record:
        """For ``weft compile --records``."""
        return Record(
            layer=self.layer,
            config=config.digest,
            name=self.name,
            candidate=self.candidate,
            cycles=self.cycles,
            device="timing",
            memory={"read_latency": READ_LATENCY},
            seed=seed,
            time=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            weft=version,
        )


def tuned_layers(tasks: Iterable[Task], config: AcceleratorConfig, trials: int, seed: int) -> dict[str, TunedLayer]:
    """The best schedules found of those layers that have a choice, by `layer_key`.

    Follows from the arguments alone, whoever computes it, and in whichever order.
    """
    found = (_tuned(task, config, trials, seed) for task in tasks if isinstance(task, ConvTask))
    return {one.layer: one for one in found if one is not None}


@lru_cache(maxsize=4096)
def _tuned(task: ConvTask, config: AcceleratorConfig, trials: int, seed: int) -> TunedLayer | None:
    """The compiler's own schedule, then those that its model likes next, then changes of the best; None if it fails."""
    from .tune.conv_problem import ConvProblem

    problem = ConvProblem(task, config, MemoryTiming(read_latency=READ_LATENCY))
    own = problem.default
    (first,) = problem.measure([own])
    if isinstance(first, str):
        return None
    enough = (1 + ENOUGH) * least_cycles(task, config)
    if not problem.is_quick:
        trials = max(2, trials // SLOW)
    cycles: dict[Tiling, int] = {own: first}
    rng = np.random.default_rng([seed, zlib.crc32(problem.key.encode())])
    seen, batch = {own}, likely_tilings(problem.task, problem.sketches.config, BATCH)[1:]
    while len(seen) < trials and min(cycles.values()) > enough:
        chosen = [tiling for tiling in dict.fromkeys(batch) if tiling not in seen][: trials - len(seen)]
        seen.update(chosen)
        outcomes = zip(chosen, problem.measure(chosen), strict=True)
        cycles |= {tiling: outcome for tiling, outcome in outcomes if not isinstance(outcome, str)}
        batch = _changed(problem, sorted(cycles, key=lambda t: cycles[t])[:PARENTS], seen, rng)
        if not batch:
            break
    best = min(cycles, key=lambda t: cycles[t])
    return TunedLayer(problem.layer, problem.name, best.to_json(), cycles[best], first, len(seen))


def _changed(problem: ConvProblem, parents: list[Tiling], seen: set[Tiling], rng: np.random.Generator) -> list[Tiling]:
    """Of changes of the best schedules those that the analytic model likes best; the better is changed more often."""
    places = (len(parents) * rng.random(POOL) ** 2).astype(int)
    pool = [made for made in dict.fromkeys(problem.mutate(parents[k], rng) for k in places) if made not in seen]
    order = np.argsort(problem.estimate(pool), kind="stable")[:BATCH] if pool else ()
    return [pool[k] for k in order]
