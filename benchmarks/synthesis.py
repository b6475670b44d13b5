"""What the accelerator takes of an FPGA, and its clock: open tools, not Vivado. Minutes, kept in the cache."""

from __future__ import annotations

from dataclasses import replace

from weft_hardware.config import AcceleratorConfig
from weft_hardware.presets import load_config
from weft_hardware.synth.flow import Flow
from weft_simulator.tsim.cache import cache_directory

SEEDS = (1, 2, 3)
MIN_MHZ = 100


def base(config: AcceleratorConfig) -> AcceleratorConfig:
    """A configuration without any extension."""
    return replace(config, epilogue_lanes=0, **dict.fromkeys(extensions(config), False))


def extensions(config: AcceleratorConfig) -> list[str]:
    """The extensions that are built in: those with a switch."""
    return [name for name, value in config.to_dict().items() if value is True]


def measure() -> dict[str, float | int | str]:
    """Areas at the ``pynq`` preset and the routed clock at the ``ecp5`` preset, each beside its goal."""
    flow = Flow(cache_directory() / "synth", lambda step: None)
    pynq = load_config("pynq")
    built_in = ", ".join([*extensions(pynq), f"{pynq.epilogue_lanes} epilogue lanes"])
    figures: dict[str, float | int | str] = {"extensions of the pynq preset": built_in}
    for name, config, packed, max_luts in (
        ("pynq base plain", base(pynq), False, 15_000),
        ("pynq base packed", base(pynq), True, 22_000),
        ("pynq packed", pynq, True, 40_000),
    ):
        report = flow.synthesise(config, "xc7", packed)
        totals = report.totals
        short = report.boards["PYNQ-Z1/Z2"]
        figures[f"{name}: LUT (goal ≤ {max_luts})"] = totals.luts
        figures[f"{name}: FF"] = totals.ffs
        figures[f"{name}: DSP48"] = totals.dsps
        figures[f"{name}: RAMB36"] = totals.brams
        figures[f"{name}: logic depth, levels"] = report.depth.levels
        figures[f"{name}: fits a Zynq-7020"] = f"no: {', '.join(short)}" if short else "yes"
    for seed in SEEDS:
        timing = flow.route(load_config("ecp5"), seed=seed)
        figures[f"ecp5, {timing.device}, seed {seed}: MHz (goal ≥ {MIN_MHZ})"] = round(timing.fmax_mhz, 2)
    return figures
