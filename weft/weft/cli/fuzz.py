"""``weft fuzz``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from weft_hardware.config import AcceleratorConfig

from weft.extras import needs_extra

from . import options
from .output import print_values

if TYPE_CHECKING:
    from weft_simulator.lockstep.campaign import Finding
    from weft_simulator.lockstep.coverage import Coverage


def fuzz_command(
    programs: Annotated[
        int, typer.Option("--programs", metavar="N", min=1, help="Random programs for each configuration.")
    ] = 200,
    seed: Annotated[int, typer.Option("--seed", metavar="S", min=0, help="Seed of the first one.")] = 0,
    config: Annotated[
        str,
        typer.Option(
            "--config",
            metavar="NAME|FILE|pairwise",
            help="A preset, a file, or `pairwise`: 26 configurations in which every two choices meet.",
        ),
    ] = "vta",
    device: options.Device = "tsim",
    stalls: Annotated[bool, typer.Option("--stalls", help="The memory stalls at random and answers late.")] = False,
    faults: Annotated[
        bool, typer.Option("--faults", help="Programs with one thing wrong: all must refuse them alike.")
    ] = False,
    keep: Annotated[Path, typer.Option("--keep", metavar="DIR", help="Where failing programs are written.")] = Path(
        "fuzz-failures"
    ),
    replay: Annotated[
        Path | None,
        typer.Option("--replay", metavar="FILE", help="Run a failing program again instead.", show_default=False),
    ] = None,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="Tell which opcodes, flags, boundary values and hazards were shown.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Run random programs on the functional simulator and on the RTL, and compare every byte.

    A model written from the instruction set alone arbitrates. A program that fails is made as small as it goes, and
    written to a file. Exit code 1 if anything differs. Give --device functional to leave the RTL out.
    """
    with needs_extra("compiler", "weft fuzz"):
        import llvmlite  # noqa: F401, the functional simulator needs it
    if device == "tsim":
        with needs_extra("rtl", "the tsim device"):
            import amaranth  # noqa: F401
    if replay is not None:
        finding = _replay(replay, device)
        print_values({"program": str(replay), "difference": finding or "none"}, json)
        raise typer.Exit(1 if finding else 0)
    values = _campaign(_configurations(config), range(seed, seed + programs), device, stalls, faults, coverage, keep)
    print_values(values, json)
    raise typer.Exit(1 if values["failures"] else 0)


def _configurations(config: str) -> dict[str, AcceleratorConfig]:
    from weft_simulator.lockstep.pairwise import CONFIGURATIONS

    import weft

    return CONFIGURATIONS if config == "pairwise" else {config: weft.load_config(config)}


def _openers(device: str) -> tuple[Any, ...]:
    from weft_simulator.lockstep.campaign import open_functional, open_tsim

    from weft.errors import UsageError

    if device not in ("functional", "tsim"):
        raise UsageError(f"device {device!r} cannot be fuzzed; use functional or tsim")
    return (open_functional, open_tsim) if device == "tsim" else (open_functional,)


def _campaign(
    configurations: dict[str, AcceleratorConfig],
    seeds: range,
    device: str,
    stalls: bool,
    faults: bool,
    coverage: bool,
    keep: Path,
) -> dict[str, Any]:
    from rich.console import Console
    from rich.progress import Progress
    from weft_simulator.lockstep import campaign
    from weft_simulator.lockstep.coverage import Coverage

    openers = _openers(device)
    console = Console(stderr=True)
    done, files, shown = 0, [], {name: Coverage(config) for name, config in configurations.items() if coverage}
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        total = progress.add_task("programs", total=len(configurations) * len(seeds))
        for name, configuration in configurations.items():
            progress.update(total, description=name)
            before = len(files)
            settings = {"stalls": stalls, "faults": faults, "openers": openers, "coverage": shown.get(name)}
            for finding in campaign.run(configuration, seeds, **settings):
                done += 1
                progress.advance(total)
                if finding is not None:
                    files.append(_keep(finding, keep))
                    progress.console.print(f"{name}: {finding.sentence}\n  kept in {files[-1]}", highlight=False)
            progress.console.print(f"{name}: {len(seeds)} programs, {len(files) - before} fail", highlight=False)
    return {
        "configurations": len(configurations),
        "programs": done,
        "first_seed": seeds.start,
        "failures": len(files),
        "files": ", ".join(files) or None,
        **{f"coverage of {name}": _told(covered) for name, covered in shown.items()},
    }


def _told(coverage: Coverage) -> str:
    """The share of the bins that were hit, and the names of the others."""
    holes = f"; never: {', '.join(coverage.missing)}" if coverage.missing else ""
    return f"{coverage.ratio:.1%} of {len(coverage.bins)} bins{holes}"


def _keep(finding: Finding, directory: Path) -> str:
    """Write a failing program; returns its file."""
    from weft_simulator.lockstep.record import Record

    directory.mkdir(parents=True, exist_ok=True)
    stem = f"{finding.program.config.digest[:8]}-{finding.program.name.replace(' ', '-').replace(',', '')}"
    path = directory / f"{stem}.npz"
    Record(finding.program, finding.timing, finding.sentence).save(path)
    return str(path)


def _replay(path: Path, device: str) -> str | None:
    """What still differs when a recorded program runs again."""
    from weft_simulator.lockstep.campaign import Bench
    from weft_simulator.lockstep.record import Record

    record = Record.load(path)
    bench = Bench(record.program.config, record.timing, _openers(device))
    return bench.difference_alone(record.program)
