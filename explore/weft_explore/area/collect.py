"""``python -m weft_explore.area.collect``: synthesise the modules of the area model's designs, as many as time allows.

What is known is not done again, so it can be stopped at any moment and started anew.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from weft_hardware.parts import Usage
from weft_hardware.synth import ecp5_timing
from weft_hardware.synth.families import FAMILIES, Family
from weft_hardware.synth.flow import Flow
from weft_hardware.synth.tools import SynthesisError, run_tool
from weft_simulator.tsim.cache import cache_directory

from .data import DATA, DATAPATH, read_lines
from .designs import Design, fitted, held_out, whole
from .modules import Module, rtlil, split

BATCH = 14
"""Modules in one run of yosys: the run's start is shared, and the time a module takes grows with their number."""

TOP = "parts_top"
_SCRIPT = "read_rtlil parts.il; {script}; tee -q -o area.json stat -json"


def synthesise_parts(modules: Mapping[str, Module], family: Family) -> dict[str, Usage]:
    """What each module needs without those below it, by the module's digest.

    Raises
    ------
    SynthesisError
        If yosys is missing or fails.
    """
    with tempfile.TemporaryDirectory(prefix="weft-area-") as name:
        directory = Path(name)
        (directory / "parts.il").write_text(rtlil(modules, TOP))
        (directory / "timing.v").write_text(ecp5_timing.verilog())
        run_tool("yosys", ("-p", _SCRIPT.format(script=family.script(TOP, apart=True))), directory, lambda step: None)
        statistics = json.loads((directory / "area.json").read_text())["modules"]
    return {digest: _usage(statistics[f"\\part_{digest}"]["num_cells_by_type"], family) for digest in modules}


def _usage(cells: Mapping[str, int], family: Family) -> Usage:
    return sum((family.usage(cell) * number for cell, number in cells.items()), Usage())


def _batches(items: Sequence[tuple[str, Module]], size: int) -> Iterator[Sequence[tuple[str, Module]]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def collect(designs: Iterable[Design], family: Family, directory: Path, until: float) -> None:
    """Add designs to a directory's ``designs.jsonl``, and their modules to its ``FAMILY.jsonl``."""
    from weft_hardware.rtl.verilog import TOP as ACCELERATOR
    from weft_hardware.rtl.verilog import rtlil_text

    parts_path, designs_path = directory / f"{family.name}.jsonl", directory / "designs.jsonl"
    known = {line["part"] for line in read_lines(parts_path)}
    paths = {line["name"]: line["parts"] for line in read_lines(designs_path)}
    for design in designs:
        if time.time() > until:
            return
        if design.name in paths and known.issuperset(paths[design.name].values()):
            continue
        modules = split(rtlil_text(design.config, design.packed), ACCELERATOR)
        if design.name not in paths:
            _append(
                designs_path,
                {
                    "name": design.name,
                    "held_out": design.held_out,
                    "packed": design.packed,
                    "config": design.config.to_dict(),
                    "parts": {path: module.digest for path, module in modules.items()},
                },
            )
        missing = {module.digest: module for module in modules.values() if module.digest not in known}
        for batch in _batches(list(missing.items()), BATCH):
            for digest, usage in _synthesised(dict(batch), family):
                _append(parts_path, {"part": digest, **asdict(usage)})
                known.add(digest)
        print(f"{family.name}: design {design.name}, {len(missing)} new modules", flush=True)


def collect_whole(designs: Iterable[Design], family: Family, directory: Path, until: float) -> None:
    """Add whole designs to a directory's ``whole.jsonl``: what a family that dissolves the hierarchy makes of one."""
    path = directory / "whole.jsonl"
    known = {(line["family"], line["name"]) for line in read_lines(path)}
    for design in designs:
        if time.time() > until:
            return
        if (family.name, design.name) in known:
            continue
        try:
            report = Flow(cache_directory() / "synth").synthesise(design.config, family.name, design.packed)
        except SynthesisError as error:
            print(f"{family.name}: whole design {design.name}: {error}", file=sys.stderr, flush=True)
            continue
        line = {"name": design.name, "family": family.name, "packed": design.packed, "held_out": design.held_out}
        datapath = report.part(DATAPATH).total
        parts = {"": (report.totals + datapath * -1).values(), DATAPATH: datapath.values()}
        line |= {"config": design.config.to_dict(), "parts": parts}
        _append(path, line | {"tools": list(report.tools)})
        print(f"{family.name}: whole design {design.name}", flush=True)


def _synthesised(modules: Mapping[str, Module], family: Family) -> Iterator[tuple[str, Usage]]:
    """`synthesise_parts`, in smaller and smaller batches where yosys fails; without those that it fails at alone."""
    try:
        yield from synthesise_parts(modules, family).items()
    except SynthesisError as error:
        names = list(modules)
        print(f"{len(names)} modules, {', '.join(names)}: {error}", file=sys.stderr, flush=True)
        for half in (names[: len(names) // 2], names[len(names) // 2 :]):
            if half and len(names) > 1:
                yield from _synthesised({name: modules[name] for name in half}, family)


def _append(path: Path, line: Mapping[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", choices=FAMILIES, default="xc7")
    parser.add_argument("--held-out", type=int, default=6)
    parser.add_argument("--only-held-out", action="store_true")
    parser.add_argument("--whole", action="store_true", help="each design as one, instead of its modules")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--directory", type=Path, default=DATA)
    chosen = parser.parse_args()
    chosen.directory.mkdir(parents=True, exist_ok=True)
    judged = list(held_out(chosen.held_out))
    known = whole() if chosen.whole else fitted()
    designs = judged if chosen.only_held_out else [*known, *judged]
    # A kill ends yosys, too, whose process is none of this one's group.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    gather = collect_whole if chosen.whole else collect
    gather(designs, FAMILIES[chosen.family], chosen.directory, time.time() + 60 * chosen.minutes)


if __name__ == "__main__":
    sys.exit(main())
