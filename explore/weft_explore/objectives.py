"""What designs are compared by."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import ExploreError


@dataclass(frozen=True)
class Objective:
    """One figure of a design.

    Parameters
    ----------
    name, unit : str
    goal : str
        ``"min"`` or ``"max"``.
    needs : str
        What it is taken from: ``"programs"``, ``"area"`` or ``"route"``; time needs programs, too.
    """

    name: str
    unit: str
    goal: str
    needs: str

    def cost(self, value: float) -> float:
        """The figure so that less is better."""
        return value if self.goal == "min" else -value


OBJECTIVES: dict[str, Objective] = {
    objective.name: objective
    for objective in (
        Objective("cycles", "cycles", "min", "programs"),
        Objective("energy", "µJ", "min", "programs"),
        Objective("luts", "LUTs", "min", "area"),
        Objective("ffs", "FFs", "min", "area"),
        Objective("dsps", "DSPs", "min", "area"),
        Objective("brams", "BRAMs", "min", "area"),
        Objective("fmax", "MHz", "max", "route"),
        Objective("time", "µs", "min", "route"),
    )
}
"""By name."""


def parse_objectives(names: Sequence[str]) -> tuple[Objective, ...]:
    """Objectives by their names, each perhaps several with commas between.

    Raises
    ------
    ExploreError
        If there is none, one is not known, or one is there twice.
    """
    found: list[Objective] = []
    for name in (part.strip() for text in names for part in text.split(",")):
        if name not in OBJECTIVES:
            close = difflib.get_close_matches(name, OBJECTIVES, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise ExploreError(f"objective {name!r} does not exist; choose among {', '.join(OBJECTIVES)}{hint}")
        if OBJECTIVES[name] in found:
            raise ExploreError(f"objective {name!r} is there twice; leave one out")
        found.append(OBJECTIVES[name])
    if not found:
        raise ExploreError("there is no objective; give one: --objective cycles,luts")
    return tuple(found)
