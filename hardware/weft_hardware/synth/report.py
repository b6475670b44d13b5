"""What a synthesis and a routing measured, and which of a user's limits they break."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .families import FAMILIES, Family, Usage
from .netlist import Depth, DspRegisters, ModuleUsage

CAVEAT = (
    "These are the figures of open tools (yosys, nextpnr), not of Vivado or Diamond: "
    "areas are estimates before packing, and nothing here is a timing of Vivado's."
)


@dataclass(frozen=True)
class Timing:
    """A routed design.

    Parameters
    ----------
    fmax_mhz : float
        The clock that nextpnr says it reaches.
    device, seed : str, int
        The part and its speed grade; the placement's random seed.
    critical_ns : tuple
        The critical path: for each step the place in the design and its delay in nanoseconds.
    """

    fmax_mhz: float
    device: str
    seed: int
    critical_ns: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Report:
    """One accelerator in one family."""

    family: str
    packed_multipliers: bool
    tools: tuple[str, ...]
    top: ModuleUsage
    depth: Depth
    dsp_registers: DspRegisters
    timing: Timing | None = None

    @property
    def totals(self) -> Usage:
        return self.top.total

    def part(self, path: str) -> ModuleUsage:
        """One module, with all below it; nothing where the design has none of that path."""
        found = self.top
        for name in path.split("."):
            found = next((part for part in found.parts if part.name == name), ModuleUsage(name, Usage()))
        return found

    def to_dict(self) -> dict[str, Any]:
        """All figures, ready for JSON."""
        return {
            "family": self.family,
            "packed_multipliers": self.packed_multipliers,
            "tools": list(self.tools),
            "bram_unit": FAMILIES[self.family].bram_unit,
            "totals": asdict(self.totals),
            "logic_depth": asdict(self.depth),
            "dsp_registers": asdict(self.dsp_registers),
            "timing": None if self.timing is None else asdict(self.timing),
            "modules": _module_dict(self.top),
            "caveat": CAVEAT,
        }


def _module_dict(module: ModuleUsage) -> dict[str, Any]:
    return {"name": module.name, **asdict(module.total), "parts": [_module_dict(part) for part in module.parts]}


def module_from_dict(values: Mapping[str, Any]) -> ModuleUsage:
    """What `Report.to_dict` made of a module."""
    usage = Usage(**{name: values[name] for name in asdict(Usage())})
    return ModuleUsage(values["name"], usage, tuple(map(module_from_dict, values["parts"])))


@dataclass(frozen=True)
class Limits:
    """What a user allows; None where anything is allowed."""

    max_luts: float | None = None
    max_ffs: float | None = None
    max_dsps: float | None = None
    max_brams: float | None = None
    min_fmax: float | None = None

    def broken(self, report: Report) -> list[str]:
        """A sentence for each limit that the report breaks."""
        family: Family = FAMILIES[report.family]
        totals = report.totals
        checks = (
            ("--max-luts", self.max_luts, totals.luts, "LUTs"),
            ("--max-ffs", self.max_ffs, totals.ffs, "flip-flops"),
            ("--max-dsps", self.max_dsps, totals.dsps, "DSP blocks"),
            ("--max-brams", self.max_brams, totals.brams, f"block RAMs ({family.bram_unit})"),
        )
        sentences = [
            f"{used:g} {what} exceed {option} {limit:g}"
            for option, limit, used, what in checks
            if limit is not None and used > limit
        ]
        if self.min_fmax is not None and report.timing is not None and report.timing.fmax_mhz < self.min_fmax:
            sentences.append(f"{report.timing.fmax_mhz:.2f} MHz fall short of --min-fmax {self.min_fmax:g}")
        return sentences
