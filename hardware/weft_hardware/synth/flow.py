"""Synthesis of the whole accelerator, and place and route of it, with results kept by content."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..config import AcceleratorConfig
from ..sources import rtl_sources
from . import ecp5_timing
from .families import FAMILIES, Family
from .netlist import Depth, DspRegisters, dsp_registers, logic_depth, module_usage, usage_by_name
from .report import Report, Timing, module_from_dict
from .tools import UNBOUNDED, Bounds, Progress, SynthesisError, run_tool, tool_version

DEVICE = "LFE5U-85F-6"
NEXTPNR_DEVICE = ("--85k", "--speed", "6", "--package", "CABGA756")
TARGET_MHZ = 100


TOP, TIMING_TOP = "weft_accelerator", "weft_timing"
ACCELERATOR = "accelerator"
"""The accelerator's instance in the timing top."""

HIERARCHY_SCRIPT = (
    "read_rtlil design.il; {script}; tee -q -o area.json stat -json; flatten; opt_clean; write_json netlist.json"
)
FLAT_SCRIPT = "read_rtlil design.il; {script} -json netlist.json"


def _silent(step: str) -> None:
    """Progress that nobody follows."""


class Flow:
    """Measures accelerators.

    Parameters
    ----------
    cache : Path, optional
        A directory that keeps results, named by all that shapes them: configuration, RTL sources, tool versions and
        scripts. Without one everything is measured anew.
    progress : Progress, optional
        Told what the tools do, never when a result comes from the cache.
    bounds : Bounds
        What each run of a tool may take; they shape no result.

    Raises
    ------
    SynthesisError
        From any method: if a tool is missing, fails or exceeds a bound, or the family is unknown.
    """

    def __init__(self, cache: Path | None = None, progress: Progress | None = None, bounds: Bounds = UNBOUNDED) -> None:
        self._cache = cache
        self._progress = progress or _silent
        self._bounds = bounds
        if cache is not None:
            cache.mkdir(parents=True, exist_ok=True)

    def synthesise(self, config: AcceleratorConfig, family: str, packed_multipliers: bool = False) -> Report:
        """Area by module, logic depth and DSP registers; takes minutes where the cache does not know it."""
        known = FAMILIES.get(family)
        if known is None:
            raise SynthesisError(f"family {family!r} is not one of {', '.join(FAMILIES)}; choose one of them")
        key, tools = self._key(config, packed_multipliers, known)

        def measure() -> bytes:
            if known.flattens:
                modules, cells = self._flat_netlist(config, known, packed_multipliers)
                top = usage_by_name(cells, modules, ACCELERATOR, known)
            else:
                statistics, cells = self._kept_hierarchy(config, known, packed_multipliers)
                top = module_usage(statistics, TOP, known)
            report = Report(family, packed_multipliers, tools, top, logic_depth(cells), dsp_registers(cells))
            return json.dumps(report.to_dict()).encode()

        return _report(json.loads(self._kept(f"{key}.json", measure)))

    def route(self, config: AcceleratorConfig, packed_multipliers: bool = False, seed: int = 1) -> Timing:
        """Place and route for `DEVICE`, between the registers of `rtl.timing.RegisteredPorts`."""
        key, _ = self._key(config, packed_multipliers, FAMILIES["ecp5"])
        options = (*NEXTPNR_DEVICE, "--freq", str(TARGET_MHZ), "--timing-allow-fail", "--lpf-allow-unconstrained")

        def timing() -> bytes:
            netlist = gzip.decompress(self._netlist(config, FAMILIES["ecp5"], packed_multipliers))
            with _directory() as directory:
                (directory / "netlist.json").write_bytes(netlist)
                files = ("--json", "netlist.json", "--report", "report.json")
                run_tool(
                    "nextpnr-ecp5", (*options, *files, "--seed", str(seed)), directory, self._progress, self._bounds
                )
                return (directory / "report.json").read_bytes()

        routed = _digest(key, tool_version("nextpnr-ecp5"), *options, str(seed))
        return read_timing(json.loads(self._kept(f"{routed}.route.json", timing)), seed)

    def _kept_hierarchy(self, config: AcceleratorConfig, family: Family, packed_multipliers: bool) -> tuple[Any, Any]:
        """yosys's statistics by module, and the cells once all is flat."""
        from ..rtl.verilog import rtlil_text

        self._progress("amaranth: elaborating")
        text = rtlil_text(config, packed_multipliers)
        with _directory() as directory:
            (directory / "design.il").write_text(text)
            script = HIERARCHY_SCRIPT.format(script=family.script(TOP))
            run_tool("yosys", ("-p", script), directory, self._progress, self._bounds)
            self._progress("reading the netlist")
            statistics = json.loads((directory / "area.json").read_text())
            return statistics, json.loads((directory / "netlist.json").read_text())["modules"][TOP]["cells"]

    def _flat_netlist(
        self, config: AcceleratorConfig, family: Family, packed_multipliers: bool
    ) -> tuple[set[str], Any]:
        """The paths of all modules below the timing top, and its cells."""
        content = json.loads(gzip.decompress(self._netlist(config, family, packed_multipliers)))
        self._progress("reading the netlist")
        return set(content["weft_modules"]), content["modules"][TIMING_TOP]["cells"]

    def _netlist(self, config: AcceleratorConfig, family: Family, packed_multipliers: bool) -> bytes:
        """The flat netlist of the timing top, with the names of the modules it was made of; compressed JSON."""

        def make() -> bytes:
            from ..rtl.timing import rtlil_text

            self._progress("amaranth: elaborating")
            text = rtlil_text(config, packed_multipliers)
            modules = re.findall(rf"^module \\{TIMING_TOP}\.([^$\s]+)", text, re.MULTILINE)
            with _directory() as directory:
                (directory / "design.il").write_text(text)
                (directory / "timing.v").write_text(ecp5_timing.verilog())
                run_tool(
                    "yosys",
                    ("-p", FLAT_SCRIPT.format(script=family.script(TIMING_TOP))),
                    directory,
                    self._progress,
                    self._bounds,
                )
                content = json.loads((directory / "netlist.json").read_text())
            return gzip.compress(json.dumps({**content, "weft_modules": modules}).encode(), 1)

        key, _ = self._key(config, packed_multipliers, family)
        return self._kept(f"{key}.netlist.json.gz", make)

    def _key(self, config: AcceleratorConfig, packed_multipliers: bool, family: Family) -> tuple[str, tuple[str, ...]]:
        """A name for what synthesis makes, equal only where that would be equal; and the tools that make it."""
        tools = (_amaranth_version(), tool_version("yosys"))
        files = [*rtl_sources(), *sorted(Path(__file__).parent.glob("*.py"))]
        sources = [f"{path.name} {path.read_text()}" for path in files]
        return _digest(config.digest, str(packed_multipliers), repr(family), *tools, *sources), tools

    def _kept(self, name: str, make: Callable[[], bytes]) -> bytes:
        """A file of the cache, made if it is not there; whole or not at all, also with two makers at a time."""
        if self._cache is None:
            return make()
        path = self._cache / name
        if not path.exists():
            content = make()
            descriptor, unfinished = tempfile.mkstemp(dir=self._cache, prefix=f"{name}.")
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            os.replace(unfinished, path)
        return path.read_bytes()


@contextmanager
def _directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="weft-synth-") as name:
        yield Path(name)


def read_timing(report: dict[str, Any], seed: int) -> Timing:
    """The clock and the critical path of nextpnr's JSON report; the slowest clock counts.

    Raises
    ------
    SynthesisError
        If no clock was timed.
    """
    clocks = {name: clock["achieved"] for name, clock in report["fmax"].items()}
    if not clocks:
        raise SynthesisError("nextpnr timed no clock: the design has no path between registers")
    slowest = min(clocks, key=lambda name: clocks[name])
    path = next((p["path"] for p in report["critical_paths"] if slowest in p["from"] and slowest in p["to"]), [])
    steps = tuple((f"{step['type']} {step['to']['cell']}.{step['to']['port']}", step["delay"]) for step in path)
    return Timing(clocks[slowest], DEVICE, seed, steps)


def with_timing(report: Report, timing: Timing) -> Report:
    """A report of ECP5, its routing added."""
    return replace(report, tools=(*report.tools, tool_version("nextpnr-ecp5")), timing=timing)


def _report(values: dict[str, Any]) -> Report:
    """What `Report.to_dict` made of a report without timing."""
    depth = values["logic_depth"]
    return Report(
        values["family"],
        values["packed_multipliers"],
        tuple(values["tools"]),
        module_from_dict(values["modules"]),
        Depth(depth["levels"], tuple(depth["path"])),
        DspRegisters(**values["dsp_registers"]),
    )


def _amaranth_version() -> str:
    if importlib.util.find_spec("amaranth") is None:
        raise SynthesisError(
            "synthesis needs the Python package 'amaranth', which is not installed; run: pip install 'weft[rtl,synth]'"
        )
    return f"amaranth {version('amaranth')}"


def _digest(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    return digest.hexdigest()[:32]
