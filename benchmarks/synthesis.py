"""What the accelerator takes of a Zynq-7000 at the ``pynq`` preset: yosys, not Vivado. Minutes, kept in the cache."""

from __future__ import annotations

from dataclasses import dataclass, replace

from weft_hardware.config import AcceleratorConfig
from weft_hardware.parts import PARTS
from weft_hardware.presets import load_config
from weft_hardware.synth.flow import Flow
from weft_hardware.synth.report import Limits
from weft_simulator.tsim.cache import cache_directory

PYNQ = load_config("pynq")


def extensions(config: AcceleratorConfig) -> list[str]:
    """The extensions that are built in: those with a switch."""
    return [name for name, value in config.to_dict().items() if value is True]


def without_extensions(config: AcceleratorConfig) -> AcceleratorConfig:
    """What is left of a configuration with every extension parameterised away."""
    return replace(config, epilogue_lanes=0, **dict.fromkeys(extensions(config), False))


@dataclass(frozen=True)
class Build:
    """An accelerator for xc7, and the goals it is measured by."""

    config: AcceleratorConfig
    packed: bool
    goals: Limits


BUILDS = {
    "pynq base plain": Build(without_extensions(PYNQ), False, Limits(max_luts=15_000)),
    "pynq base packed": Build(without_extensions(PYNQ), True, Limits(max_luts=22_000)),
    "pynq packed": Build(PYNQ, True, Limits(max_luts=40_000, max_dsps=220, max_brams=140)),
}


def measure() -> dict[str, float | int | str]:
    """Areas, each beside its goal, and what the clock depends on."""
    flow = Flow(cache_directory() / "synth", lambda step: None)
    built_in = ", ".join([*extensions(PYNQ), f"{PYNQ.epilogue_lanes} epilogue lanes"])
    figures: dict[str, float | int | str] = {"extensions of the pynq preset": built_in}
    for name, build in BUILDS.items():
        report = flow.synthesise(build.config, "xc7", build.packed)
        totals, goals = report.totals, build.goals
        for what, value, goal in (
            ("LUT", totals.luts, goals.max_luts),
            ("FF", totals.ffs, goals.max_ffs),
            ("DSP48", totals.dsps, goals.max_dsps),
            ("RAMB36", totals.brams, goals.max_brams),
        ):
            figures[f"{name}: {what}" + (f" (goal ≤ {goal:g})" if goal else "")] = value
        short = PARTS["Zynq-7020"].shortages(totals)
        figures[f"{name}: logic depth, levels"] = report.depth.levels
        figures[f"{name}: fits a Zynq-7020"] = f"no: {', '.join(short)}" if short else "yes"
        registers = report.dsp_registers
        figures[f"{name}: DSP48 with operands, with product registered"] = f"{registers.operands}, {registers.products}"
    return figures
