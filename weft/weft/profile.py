"""Where the cycles of a network or a program go: by layer, by module, and against what the hardware could do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import as_words
from weft_hardware.work import Work, count_work
from weft_runtime.device import ActivityCycles, Device, RunReport, activity_names, add_activities
from weft_runtime.errors import DeviceError
from weft_runtime.module import Module
from weft_runtime.module_model import AcceleratorStep, ModuleContent
from weft_runtime.parts import works
from weft_runtime.session import Inputs, LayerProfile, Session

from .devices import open_device
from .trace import TracedLaunch

LATENCY = "latency"
"""What bounds a row none of whose resources is in use half of the time: they wait for each other."""


@dataclass(frozen=True)
class Row:
    """One layer, or a whole program.

    Parameters
    ----------
    macs : int
        Of the network, without padding to blocks; of a raw program all that it computes.
    cycles : int or None
        None for what the host does.
    activity : ActivityCycles or None
        For each module what it did; each module's add up to ``cycles``.
    work : Work
        What the row's programs ask for.
    host_seconds : float
    """

    name: str
    placement: str
    macs: int
    cycles: int | None
    activity: ActivityCycles | None
    work: Work
    host_seconds: float = 0.0

    def shares(self, config: AcceleratorConfig) -> dict[str, float]:
        """For each resource the share of the cycles in which it must have worked, 0..1."""
        if not self.cycles:
            return {}
        return {name: least / self.cycles for name, least in self.work.least_cycles(config).items()}

    def bound(self, config: AcceleratorConfig) -> str:
        """The resource that limits the row, or `LATENCY`; empty for the host's."""
        shares = self.shares(config)
        if not shares:
            return ""
        name = max(shares, key=lambda name: shares[name])
        return name if shares[name] >= 0.5 else LATENCY

    def intensity(self) -> float:
        """MACs a byte of DRAM traffic."""
        moved = self.work.read_bytes + self.work.write_bytes
        return self.macs / moved if moved else 0.0

    def to_dict(self, config: AcceleratorConfig) -> dict[str, Any]:
        """Plain numbers, ready for JSON; one level deep but for ``activity``."""
        values: dict[str, Any] = {
            "name": self.name,
            "placement": self.placement,
            "macs": self.macs,
            "cycles": self.cycles,
            "host_seconds": round(self.host_seconds, 6),
        }
        if self.cycles is None:
            return values
        values |= {"macs_per_cycle": round(self.macs / self.cycles, 2), "macs_per_byte": round(self.intensity(), 2)}
        values |= {"bound": self.bound(config)}
        values |= {f"{name}_share": round(share, 4) for name, share in self.shares(config).items()}
        values |= vars(self.work)
        if self.activity is not None:
            values["activity"] = activity_names(self.activity)
        return values


@dataclass(frozen=True)
class Profile:
    """All rows and their sum; ``launches`` are those that the device traced."""

    config: AcceleratorConfig
    rows: tuple[Row, ...]
    launches: tuple[TracedLaunch, ...] = ()

    @property
    def total(self) -> Row:
        """All rows as one; its activities are those of the accelerator's cycles."""
        cycles = [row.cycles for row in self.rows if row.cycles is not None]
        activities = [row.activity for row in self.rows if row.cycles is not None]
        known = [activity for activity in activities if activity is not None]
        return Row(
            name="total",
            placement="",
            macs=sum(row.macs for row in self.rows if row.cycles is not None),
            cycles=sum(cycles) if cycles else None,
            activity=add_activities(known) if known and len(known) == len(activities) else None,
            work=sum((row.work for row in self.rows), Work()),
            host_seconds=sum(row.host_seconds for row in self.rows),
        )

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "peak_macs_per_cycle": self.config.macs,
            "bytes_per_cycle": self.config.axi_bytes,
            "rows": [row.to_dict(self.config) for row in self.rows],
            "total": self.total.to_dict(self.config),
        }


def profile_module(module: Module, device: Device, inputs: Inputs | None = None) -> Profile:
    """Run a network once and say what each layer took.

    Parameters
    ----------
    inputs : optional
        Zeros if absent: cycles depend on micro-ops, never on tensor values.

    Raises
    ------
    DeviceError
        If the device models no time, or its counters do not add up.
    """
    content = module.content
    if inputs is None:
        inputs = {tensor.name: np.zeros(tensor.shape, tensor.numpy_dtype) for tensor in content.inputs}
    with Session(module, device) as session:
        session.run(inputs)
    layers = session.last_profile
    if any(step.parts and not report.parts for step, report in zip(_steps(content), _reports(session), strict=True)):
        layers = _told_apart(module, device, inputs, session) or layers
    asked = [Work()] * len(content.layers)
    for _, step, instructions in content.launches():
        for layer, work in zip(step.layers, works(instructions, step, content.config), strict=True):
            asked[layer] += work
    rows = tuple(
        Row(
            name=layer.name,
            placement=layer.placement,
            macs=layer.macs,
            cycles=layer.cycles,
            activity=layer.activity,
            work=work,
            host_seconds=layer.host_seconds,
        )
        for layer, work in zip(layers, asked, strict=True)
    )
    if all(row.cycles is None for row in rows) and any(work.instructions for work in asked):
        raise models_no_time()
    return _checked(Profile(content.config, rows, _traced(session.last_launches)))


def _steps(content: ModuleContent) -> list[AcceleratorStep]:
    return [step for step in content.steps if isinstance(step, AcceleratorStep)]


def _reports(session: Session) -> list[RunReport]:
    return [report for _, report in session.last_launches]


def _told_apart(module: Module, device: Device, inputs: Inputs, session: Session) -> list[LayerProfile] | None:
    """The layers as the timing model tells them apart; None where it does not take the same cycles.

    tsim reports whole launches. Its memory may do what the timing model does not predict.
    """
    memory = getattr(device, "memory_timing", None)
    if memory is None:
        return None
    try:
        with open_device("timing", module.content.config, memory=memory) as model, Session(module, model) as again:
            again.run(inputs)
    except DeviceError:
        return None
    pairs = zip(_reports(session), _reports(again), strict=True)
    if any((mine.cycles, mine.activity) != (theirs.cycles, theirs.activity) for mine, theirs in pairs):
        return None
    return [
        replace(layer, host_seconds=mine.host_seconds)
        for mine, layer in zip(session.last_profile, again.last_profile, strict=True)
    ]


def profile_program(name: str, stream: bytes, report: RunReport, config: AcceleratorConfig) -> Profile:
    """The one row of a raw program that a device ran.

    Raises
    ------
    DeviceError
        As `profile_module`.
    """
    if report.cycles is None:
        raise models_no_time()
    work = count_work(as_words(stream, config), config)
    macs = work.gemm_cycles * config.macs
    row = Row(name, "accelerator", macs, report.cycles, report.activity, work)
    return _checked(Profile(config, (row,), _traced([(name, report)])))


def _traced(launches: Iterable[tuple[str, RunReport]]) -> tuple[TracedLaunch, ...]:
    return tuple(
        TracedLaunch(name, report.cycles, report.timeline)
        for name, report in launches
        if report.cycles is not None and report.timeline is not None
    )


def models_no_time() -> DeviceError:
    """What to say of a device such as `functional`."""
    return DeviceError("this device models no time, so there is nothing to profile; use --device tsim or timing")


def _checked(profile: Profile) -> Profile:
    for row in profile.rows:
        for module, counts in (row.activity or {}).items():
            if sum(counts.values()) != row.cycles:
                raise DeviceError(
                    f"the activities of {module.name.lower()} in {row.name} are {sum(counts.values())} cycles of "
                    f"{row.cycles}; the device's counters are wrong, please report it"
                )
    return profile
