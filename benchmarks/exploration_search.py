"""Design-space exploration: how many evaluations a search needs, and how near it comes to the true front.

The small space has 1536 designs, the network is one convolution of 3×3 (64 to 64 channels, 28×28), so that all of them
can be evaluated: that is the true front. Objectives are cycles, LUTs and BRAMs; the reference point is a tenth beyond
the true front's worst. Random search is the control, over the same valid designs without repetition; N = 300, 5 seeds.
The large space is `examples/spaces/pynq.toml` with what fits a PYNQ-Z2, the same network, the reference point a tenth
beyond the worst of all fronts that random search finds. What is evaluated is kept in the cache directory.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, median
from typing import Any

from weft_explore.constraints import parse_constraints
from weft_explore.design import Design
from weft_explore.evaluate import Evaluator, Outcome
from weft_explore.exploration import DONE, Exploration
from weft_explore.front import on_front
from weft_explore.objectives import parse_objectives
from weft_explore.page.progress import hypervolumes
from weft_explore.plan import Plan
from weft_explore.results import Results, key_of
from weft_explore.space import load_space, parse_space
from weft_explore.workers import LocalProcesses, Workers
from weft_explore.workload import Workload
from weft_simulator.tsim.cache import cache_directory

SPACE = """
base = "pynq"
[space]
block_in = [8, 16, 32]
block_out = { same = "block_in" }
inp_depth = { low = 256, high = 2048, log = true }
wgt_depth = { low = 64, high = 512, log = true }
acc_depth = { low = 256, high = 2048, log = true }
epilogue_lanes = [2, 8]
axi_data_bits = [64, 128]
packed = [false, true]
"""
LARGE = Path(__file__).parents[1] / "examples" / "spaces" / "pynq.toml"
BUDGET = 300
SEEDS = range(5)
SEARCHES: dict[str, dict[str, Any]] = {
    "nsga2": {},
    "nsga2 without analytic model": {"screened": 0},
    "tpe": {"sampler": "tpe"},
    "tpe without analytic model": {"sampler": "tpe", "screened": 0},
}


class Known:
    """Workers that evaluate what no benchmark evaluated before, and keep it."""

    def __init__(self, inner: Workers, evaluator: Evaluator) -> None:
        path = cache_directory() / "benchmarks"
        path.mkdir(exist_ok=True)
        self._inner, self._evaluator = inner, evaluator
        self._results = Results(path / "exploration.jsonl")
        self._rough: dict[str, Outcome] = {}

    def outcomes(self, designs: Sequence[Design], rough: bool = False) -> Iterator[tuple[int, Outcome]]:
        keys = [key_of(design, self._evaluator) for design in designs]
        known = self._rough.get if rough else self._results.get
        missing = {key: k for k, key in enumerate(keys) if known(key) is None}
        for number, outcome in self._inner.outcomes([designs[k] for k in missing.values()], rough):
            k = list(missing.values())[number]
            if rough:
                self._rough[keys[k]] = outcome
            else:
                self._results.add(keys[k], designs[k], outcome)
        for k, key in enumerate(keys):
            outcome = known(key)
            assert outcome is not None
            yield k, outcome

    def __enter__(self) -> Known:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


def _one_convolution() -> bytes:
    from weft.zoo.builder import NetworkBuilder
    from weft.zoo.quantiser import quantised

    builder = NetworkBuilder("conv", seed=0)
    model = builder.model(builder.conv(builder.input("image", (1, 64, 28, 28)), 64, 3))
    return quantised(model, activations="uint8", per_channel=True, qdq=True, bytes_in=True, seed=0)


def measure() -> dict[str, Any]:
    plan = Plan(
        space=parse_space(SPACE),
        workloads=(Workload("conv", _one_convolution()),),
        objectives=parse_objectives(["cycles,luts,brams"]),
    )
    with LocalProcesses(plan.evaluator, os.cpu_count() or 1) as processes:
        workers = Known(processes, plan.evaluator)
        return {**_small(plan, workers), **_large(plan, workers)}


def _small(plan: Plan, workers: Workers) -> dict[str, Any]:
    designs = list(plan.space.designs())
    outcomes = dict(workers.outcomes(designs))
    done = [(d, outcomes[k]) for k, d in enumerate(designs) if outcomes[k].reason is None]
    costs = [plan.costs(plan.values(design, outcome)) for design, outcome in done]
    true_front = {cost for cost, keep in zip(costs, on_front(costs), strict=True) if keep}
    point = [max(column) * 1.1 for column in zip(*true_front, strict=True)]
    true_volume = hypervolumes(sorted(true_front), point)[-1]
    random = [_searched(replace(plan, sampler="random", seed=seed), workers) for seed in SEEDS]
    target = mean(hypervolumes(found, point)[-1] for found in random)
    figures: dict[str, Any] = {
        "small: designs, of which evaluated": f"{len(designs)}, {len(done)}",
        "small: points on the true front": len(true_front),
        "small: random: share of the true hypervolume": round(target / true_volume, 4),
    }
    for name, changes in SEARCHES.items():
        runs = [_searched(replace(plan, seed=seed, **changes), workers) for seed in SEEDS]
        volumes = [hypervolumes(found, point) for found in runs]
        found = [len(true_front & set(_front(run))) for run in runs]
        figures |= _figures(f"small: {name}", volumes, target)
        figures |= {
            f"small: {name}: share of the true hypervolume": round(mean(v[-1] for v in volumes) / true_volume, 4),
            f"small: {name}: points of the true front found, by seed": ", ".join(map(str, found)),
        }
    return figures


def _large(small: Plan, workers: Workers) -> dict[str, Any]:
    constraints = parse_constraints(["fits pynq-z2"])
    plan = replace(small, space=load_space(LARGE), constraints=constraints)
    random = [_searched(replace(plan, sampler="random", seed=seed), workers) for seed in SEEDS]
    ends = [cost for run in random for cost in _front(run)]
    point = [max(column) * 1.1 for column in zip(*ends, strict=True)]
    target = mean(hypervolumes(run, point)[-1] for run in random)
    figures: dict[str, Any] = {"large: combinations": plan.space.size}
    for name in ("nsga2", "nsga2 without analytic model"):
        runs = [_searched(replace(plan, seed=seed, **SEARCHES[name]), workers) for seed in SEEDS]
        volumes = [hypervolumes(run, point) for run in runs]
        figures |= _figures(f"large: {name}", volumes, target)
        figures[f"large: {name}: hypervolume against random's"] = round(mean(v[-1] for v in volumes) / target, 4)
    return figures


def _figures(name: str, volumes: list[list[float]], target: float) -> dict[str, Any]:
    """How soon hypervolumes reach random's."""
    reached = [next((k + 1 for k, volume in enumerate(v) if volume >= target), None) for v in volumes]
    known = [count if count is not None else BUDGET + 1 for count in reached]
    return {
        f"{name}: evaluations to random's final hypervolume, by seed": ", ".join(str(c or "never") for c in reached),
        f"{name}: fewer evaluations than random's {BUDGET}, median": f"{BUDGET / median(known):.1f}x",
    }


def _searched(plan: Plan, workers: Workers) -> list[tuple[float, ...] | None]:
    """The costs of each design that was evaluated, in order; None where it failed."""
    with tempfile.TemporaryDirectory() as directory:
        explored = Exploration(plan, Path(directory)).search(BUDGET, workers)
    return [plan.costs(found.values) if found.state == DONE else None for found in explored]


def _front(run: list[tuple[float, ...] | None]) -> list[tuple[float, ...]]:
    done = [costs for costs in run if costs is not None]
    return [costs for costs, keep in zip(done, on_front(done), strict=True) if keep]
