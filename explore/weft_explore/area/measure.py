"""The area and the clock of an accelerator as tools measure them, within bounds of time and memory."""

from __future__ import annotations

from pathlib import Path

from weft_hardware.config import AcceleratorConfig
from weft_hardware.parts import PARTS, Usage
from weft_hardware.synth.flow import Flow
from weft_hardware.synth.tools import Bounds

ROUTED_PART = PARTS["LFE5U-85F"]
"""What nextpnr places and routes for."""


def measure(
    config: AcceleratorConfig,
    family: str,
    packed: bool,
    cache: Path,
    max_seconds: float | None = None,
    max_bytes: int | None = None,
) -> Usage:
    """The area that synthesis reports; minutes, kept by content.

    Parameters
    ----------
    cache : Path
        A directory for results, that of `Flow`.
    max_seconds, max_bytes : optional
        What yosys may take.

    Raises
    ------
    SynthesisError
        If a tool is missing, fails or runs away.
    """
    return Flow(cache, bounds=_bounds(max_seconds, max_bytes)).synthesise(config, family, packed).totals


def routed_mhz(
    config: AcceleratorConfig,
    packed: bool,
    cache: Path,
    max_seconds: float | None = None,
    max_bytes: int | None = None,
    seed: int = 1,
) -> float | None:
    """The clock that nextpnr-ecp5 reaches; None where the `ROUTED_PART` cannot hold the accelerator.

    Raises
    ------
    SynthesisError
        If a tool is missing, fails or runs away.
    """
    flow = Flow(cache, bounds=_bounds(max_seconds, max_bytes))
    if ROUTED_PART.shortages(flow.synthesise(config, "ecp5", packed).totals):
        return None
    return flow.route(config, packed, seed).fmax_mhz


def _bounds(max_seconds: float | None, max_bytes: int | None) -> Bounds:
    return Bounds(max_seconds, None if max_bytes is None else max_bytes / 2**20)
