"""The area and the clock of an accelerator as tools measure them, within bounds of time and memory."""

from __future__ import annotations

from pathlib import Path

from weft_hardware.config import AcceleratorConfig
from weft_hardware.parts import PARTS, Usage
from weft_hardware.synth.flow import Flow
from weft_hardware.synth.tools import UNBOUNDED, Bounds

ROUTED_PART = PARTS["LFE5U-85F"]
"""What nextpnr places and routes for."""


def measure(config: AcceleratorConfig, family: str, packed: bool, cache: Path, bounds: Bounds = UNBOUNDED) -> Usage:
    """The area that synthesis reports; minutes, kept by content.

    Parameters
    ----------
    cache : Path
        A directory for results, that of `Flow`.
    bounds : Bounds
        What yosys may take.

    Raises
    ------
    SynthesisError
        If a tool is missing or fails.
    RunawayError
        If it takes more than the bounds.
    """
    return Flow(cache, bounds=bounds).synthesise(config, family, packed).totals


def routed_mhz(
    config: AcceleratorConfig, packed: bool, cache: Path, bounds: Bounds = UNBOUNDED, seed: int = 1
) -> float | None:
    """The clock that nextpnr-ecp5 reaches; None where the `ROUTED_PART` cannot hold the accelerator.

    Raises
    ------
    SynthesisError, RunawayError
        As `measure`.
    """
    flow = Flow(cache, bounds=bounds)
    if ROUTED_PART.shortages(flow.synthesise(config, "ecp5", packed).totals):
        return None
    return flow.route(config, packed, seed).fmax_mhz
