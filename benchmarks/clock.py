"""The clock that the accelerator reaches on ECP5: yosys and nextpnr, not Diamond. Minutes, kept in the cache."""

from __future__ import annotations

from weft_hardware.presets import load_config
from weft_hardware.synth.flow import Flow
from weft_simulator.tsim.cache import cache_directory

SEEDS = (1, 2, 3)
MIN_MHZ = 100


def measure() -> dict[str, float | int | str]:
    """The routed clock at the ``ecp5`` preset for each seed of the placement, beside its goal."""
    flow = Flow(cache_directory() / "synth", lambda step: None)
    figures: dict[str, float | int | str] = {}
    for seed in SEEDS:
        timing = flow.route(load_config("ecp5"), seed=seed)
        figures[f"{timing.device}, seed {seed}: MHz (goal ≥ {MIN_MHZ})"] = round(timing.fmax_mhz, 2)
    return figures
