"""Designs of a front once more: simulated as RTL and synthesised, beside what was predicted of them."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from weft_hardware.config import AcceleratorConfig
from weft_hardware.errors import WeftError
from weft_hardware.synth.tools import Bounds
from weft_simulator.tsim.cache import cache_directory, content_key

from .area import RunawayError, routed_mhz
from .area import measure as synthesise
from .cycles import measure
from .design import Design
from .evaluate import BOUNDS, Outcome, network
from .exploration import Exploration, Explored
from .files import append_line, whole_lines
from .results import tools_key
from .workload import Workload

INTERRUPTED = "left out by Ctrl-C"

SIMULATED_CYCLES = 50_000_000
"""What is simulated of a design at most: the workloads of the fewest cycles, as many as fit. About a minute."""

Progress = Callable[[str], None]
Found = TypeVar("Found")


@dataclass(frozen=True)
class Limits:
    """What a confirmation may take.

    Parameters
    ----------
    bounds : Bounds
        Of each tool of a synthesis.
    cycles : int
        Simulated for a design.
    total : float
        Seconds in which all designs are to be confirmed; those for which no time is left are not.
    """

    bounds: Bounds = BOUNDS
    cycles: int = SIMULATED_CYCLES
    total: float = math.inf

    @property
    def over(self) -> str:
        """Why a design is not confirmed for which no time is left."""
        return f"the {self.total:g} s for all designs are over (--confirm-minutes); allow more"


@dataclass(frozen=True)
class Simulated:
    """A workload's cycles, as predicted and on the RTL."""

    name: str
    predicted: int
    confirmed: int


@dataclass(frozen=True)
class Confirmation:
    """What was found of one design.

    Parameters
    ----------
    values : dict
        Of the exploration's objectives those that were measured; ``cycles`` where every workload was simulated.
    workloads : tuple of Simulated
        Those that were simulated.
    reason : str, optional
        Why something could not be measured.
    is_final : bool
        Whether it would be the same with more time and memory.
    """

    values: Mapping[str, float]
    workloads: tuple[Simulated, ...] = ()
    reason: str | None = None
    is_final: bool = True

    def to_json(self) -> dict[str, Any]:
        workloads = [asdict(one) for one in self.workloads]
        return {"values": dict(self.values), "workloads": workloads, "reason": self.reason}


def along(front: Sequence[Found], count: int) -> list[Found]:
    """``count`` designs of a front that is in order, both ends among them, the others evenly between."""
    if count >= len(front):
        return list(front)
    if count == 1:
        return [front[0]]
    places = [round(k * (len(front) - 1) / (count - 1)) for k in range(count)]
    return [front[place] for place in places]


def confirm(
    exploration: Exploration,
    count: int = 10,
    limits: Limits | None = None,
    route: bool = False,
    tell: Progress = lambda step: None,
) -> list[Explored]:
    """Confirm designs of an exploration's front, and write them into its directory as each is done.

    What is known already, of the same design by the same sources, is not done again. Ctrl-C leaves out the design that
    is being confirmed, a second one all that remain. These and those that took more than the limits are marked, and
    confirmed when it is called again.

    Parameters
    ----------
    route : bool
        For the family ecp5: place and route for the clock, too.
    tell : callable
        Told which design is at work, and what with.

    Returns
    -------
    list of Explored
        The designs that were chosen.

    Raises
    ------
    KeyboardInterrupt
        On the second Ctrl-C, when all is written.
    """
    limits, interrupts = limits or Limits(), 0
    until = time.monotonic() + limits.total
    chosen = along(exploration.front(), count)
    left = [found for found in chosen if found.number not in exploration.confirmed]
    for place, found in enumerate(left):
        if interrupts > 1 or time.monotonic() >= until:
            reason = INTERRUPTED if interrupts > 1 else limits.over
            exploration.confirmed[found.number] = Confirmation({}, reason=reason).to_json()
            continue
        title = f"design {found.number}, {place + 1} of {len(left)} to confirm"
        try:
            one = _confirm_one(exploration, found, limits, until, route, lambda what, t=title: tell(f"{t}: {what}"))
            if one.is_final:
                line = json.dumps({"key": key_of(exploration, found.design), "confirmed": one.to_json()})
                append_line(exploration.directory / "confirmed.jsonl", line)
        except KeyboardInterrupt:
            interrupts += 1
            one = Confirmation({}, reason=INTERRUPTED)
        exploration.confirmed[found.number] = one.to_json()
        exploration.write()
    exploration.write()
    if interrupts > 1:
        raise KeyboardInterrupt
    return chosen


def known(exploration: Exploration) -> dict[int, dict[str, Any]]:
    """What the directory knows of confirmations, by the designs' numbers."""
    lines: dict[str, dict[str, Any]] = {}
    for line in whole_lines(exploration.directory / "confirmed.jsonl"):
        try:
            data = json.loads(line)
            lines[data["key"]] = data["confirmed"]
        except (ValueError, KeyError, TypeError):
            continue  # damaged: it is confirmed again
    keys = ((found.number, key_of(exploration, found.design)) for found in exploration.explored)
    return {number: lines[key] for number, key in keys if key in lines}


def key_of(exploration: Exploration, design: Design) -> str:
    """What a confirmation depends on."""
    plan = exploration.plan
    how = (str(plan.tune_trials), str(plan.seed)) if plan.tune_trials > 1 else ()
    return content_key(tools_key(), plan.family, design.digest, *how, *(w.sha256 for w in plan.workloads))


def _confirm_one(
    exploration: Exploration, found: Explored, limits: Limits, until: float, route: bool, tell: Progress
) -> Confirmation:
    plan, design = exploration.plan, found.design
    names = [objective.name for objective in plan.objectives]
    values: dict[str, float] = {}
    reasons: list[str] = []
    simulated: list[Simulated] = []
    is_final = True
    tell("simulating its RTL")
    try:
        simulated = _simulate(design, plan.workloads, exploration.outcome(found), limits.cycles)
        cycles = {one.name: one.confirmed for one in simulated}
        if len(cycles) == len(plan.workloads):
            values["cycles"] = sum(w.weight * cycles[w.name] for w in plan.workloads)
        else:
            left = [w.name for w in plan.workloads if w.name not in cycles]
            reasons.append(f"too long to simulate, beyond {limits.cycles:,} cycles: {', '.join(left)}")
    except (WeftError, MemoryError) as error:
        reasons.append(f"tsim: {error or 'there is not enough memory'}")
    tell("synthesising it")
    cache = cache_directory() / "synth"
    try:
        usage = synthesise(design.config, plan.family, design.build.packed, cache, _left(limits, until))
        values |= {name: getattr(usage, name) for name in ("luts", "ffs", "dsps", "brams")}
        if route:
            tell("placing and routing it")
            mhz = routed_mhz(design.config, design.build.packed, cache, _left(limits, until))
            if mhz is None:
                reasons.append("its clock is unknown: an LFE5U-85F cannot hold it")
            else:
                values["fmax"] = mhz
    except RunawayError as error:
        is_final = False
        reasons.append(limits.over if time.monotonic() >= until else f"synthesis: {error}")
    except (WeftError, MemoryError) as error:
        reasons.append(f"synthesis: {error or 'there is not enough memory'}")
    told = {name: value for name, value in values.items() if name in names or name == "fmax"}
    return Confirmation(told, tuple(simulated), "; ".join(reasons) or None, is_final)


def _left(limits: Limits, until: float) -> Bounds:
    """Of the next tool, which has no more time than is left for all designs."""
    left, seconds = until - time.monotonic(), limits.bounds.seconds
    return replace(limits.bounds, seconds=left if seconds is None else min(left, seconds))


def _simulate(design: Design, workloads: Sequence[Workload], outcome: Outcome, most: int) -> list[Simulated]:
    """Run the shortest workloads on the RTL, as many as ``most`` cycles allow."""
    from weft_simulator.tsim.device import TsimDevice

    def open_device(config: AcceleratorConfig, **options: Any) -> TsimDevice:
        return TsimDevice(config, packed_multipliers=design.build.packed, **options)

    found: list[Simulated] = []
    for workload in sorted(workloads, key=lambda w: outcome.cycles[w.name]):
        predicted = outcome.cycles[workload.name]
        most -= predicted
        if most < 0:
            break
        content = network(workload.data).programs(design.config, outcome.schedules)
        found.append(Simulated(workload.name, predicted, measure(content, open_device).cycles))
    return found
