"""What an exploration is asked to do; all of it but the tools' bounds shapes the front."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from weft_hardware.parts import Usage
from weft_hardware.synth.tools import Bounds

from .constraints import Bound, Constraint, Fits
from .design import Design
from .energy import TECHNOLOGIES, Accesses, energy_uj
from .errors import ExploreError
from .evaluate import BOUNDS, Evaluator, Outcome
from .objectives import Objective
from .space import Space
from .workload import Workload

_SHAPING = ("sampler", "seed", "generation", "screened", "family", "technology", "tune_trials")
SAMPLERS = ("nsga2", "tpe", "random")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One exploration.

    Parameters
    ----------
    sampler : str
        One of `SAMPLERS`.
    seed : int
    generation : int
        Designs that are chosen at a time: none of a generation knows the others' results.
    screened : int
        Designs that the analytic model looks at first; of each generation the best of them come before the sampler's
        own. 0: none.
    family : str
        The FPGA family whose area is estimated.
    technology : str
        Whose energies count, see `energy.TECHNOLOGIES`.
    tune_trials : int
        Schedules of each layer that are measured for each design; 0: all layers have the compiler's own.
    bounds : Bounds
        What a tool may take that places and routes a design.
    """

    space: Space
    workloads: tuple[Workload, ...]
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...] = ()
    sampler: str = "nsga2"
    seed: int = 0
    generation: int = 20
    screened: int = 400
    family: str = "xc7"
    technology: str = "45nm"
    tune_trials: int = 0
    bounds: Bounds = BOUNDS

    def __post_init__(self) -> None:
        for name, value, known in (
            ("sampler", self.sampler, SAMPLERS),
            ("technology", self.technology, tuple(TECHNOLOGIES)),
        ):
            if value not in known:
                raise ExploreError(f"{name} {value!r} does not exist; choose one of {', '.join(known)}")
        if self.generation < 2:
            raise ExploreError(f"a generation of {self.generation} has no two parents; choose 2 designs or more")
        if not self.workloads:
            raise ExploreError("there is no workload; give a network: --workload MODEL.onnx")
        names = [w.name for w in self.workloads]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ExploreError(f"two workloads are named {twice[0]!r}; rename one of the files")
        if self._needs("route") and self.family != "ecp5":
            raise ExploreError(
                f"fmax and time need a routed design, and no open router covers {self.family}; choose --family ecp5, "
                "or leave them out"
            )

    def _needs(self, source: str) -> bool:
        return any(part.needs == source for part in (*self.objectives, *self.constraints))

    def to_json(self) -> dict[str, Any]:
        """All that shapes the front, so that a directory can say whether it holds the same exploration."""
        return {
            "base": self.space.base.to_dict(),
            "space": self.space.choices(),
            "workloads": [{"name": w.name, "sha256": w.sha256, "weight": w.weight} for w in self.workloads],
            "objectives": [objective.name for objective in self.objectives],
            "constraints": [constraint.text for constraint in self.constraints],
            **{name: getattr(self, name) for name in _SHAPING},
        }

    @property
    def evaluator(self) -> Evaluator:
        routes, trials = self._needs("route"), self.tune_trials
        return Evaluator(self.workloads, self.space.base, routes, self.bounds, trials, self.seed)

    def usage(self, design: Design) -> Usage:
        """The estimated area."""
        return _estimate(design, self.family)

    def refusal(self, design: Design) -> str | None:
        """Why a design need not be evaluated: what its area breaks."""
        area: dict[str, float] = {}
        for constraint in self.constraints:
            if constraint.needs != "area":
                continue
            if isinstance(constraint, Fits):
                found = constraint.shortages(self.usage(design))
            else:
                area = area or self._area(design)
                found = constraint.broken(area)
            if found:
                return found
        return None

    def _area(self, design: Design) -> dict[str, float]:
        usage = self.usage(design)
        return {name: getattr(usage, name) for name in ("luts", "ffs", "dsps", "brams")}

    def values(self, design: Design, outcome: Outcome) -> dict[str, float]:
        """Every figure that is known of a design that did not fail."""
        technology = TECHNOLOGIES[self.technology]
        energies = {name: energy_uj(Accesses(**a), design.config, technology) for name, a in outcome.accesses.items()}
        values: dict[str, float] = {
            "cycles": sum(w.weight * outcome.cycles[w.name] for w in self.workloads),
            "energy": round(sum(w.weight * energies[w.name] for w in self.workloads), 3),
        }
        if self._needs("area"):
            values |= self._area(design)
        if outcome.fmax is not None:
            values |= {"fmax": outcome.fmax, "time": round(values["cycles"] / outcome.fmax, 3)}
        return values

    def broken(self, values: Mapping[str, float]) -> str | None:
        """The first bound that figures break."""
        found = (c.broken(values) for c in self.constraints if isinstance(c, Bound))
        return next((reason for reason in found if reason), None)

    def costs(self, values: Mapping[str, float]) -> tuple[float, ...]:
        """The objectives so that less is better."""
        return tuple(objective.cost(values[objective.name]) for objective in self.objectives)


@lru_cache(maxsize=4096)
def _estimate(design: Design, family: str) -> Usage:
    from .area import estimate

    return estimate(design.config, family, design.build.packed)
