"""``weft synth``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from . import options

if TYPE_CHECKING:
    from weft_hardware.synth.report import Report

Limit = typer.Option(metavar="N", min=0, help="Exit with 1 if more are used.")


def synth_command(
    config: options.Config = "vta",
    family: Annotated[str, typer.Option("--family", metavar="xc7|xcup|ecp5", help="The FPGA family.")] = "xc7",
    packed: options.Packed = False,
    route: Annotated[bool, typer.Option("--route", help="ecp5: place and route, for the clock it reaches.")] = False,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="The placement's random seed.")] = 1,
    max_luts: Annotated[float | None, Limit] = None,
    max_ffs: Annotated[float | None, Limit] = None,
    max_dsps: Annotated[float | None, Limit] = None,
    max_brams: Annotated[float | None, Limit] = None,
    min_fmax: Annotated[
        float | None, typer.Option(metavar="MHZ", min=0, help="Exit with 1 if the routed clock is slower.")
    ] = None,
    max_seconds: Annotated[
        float | None, typer.Option(metavar="S", min=0, help="End a tool that runs for longer.")
    ] = None,
    max_memory: Annotated[
        float | None, typer.Option(metavar="MIB", min=0, help="End a tool that takes more memory.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Measure area, logic depth and clock on an FPGA with open tools; takes minutes, kept for the next time."""
    from weft_boards.catalogue import boards_of
    from weft_hardware.synth.families import FAMILIES
    from weft_hardware.synth.flow import Flow, with_timing
    from weft_hardware.synth.report import Limits
    from weft_hardware.synth.tools import Bounds
    from weft_simulator.tsim.cache import cache_directory

    import weft
    from weft.errors import UsageError

    from .output import print_json, step_progress

    accelerator = weft.load_config(config)
    if family not in FAMILIES:
        raise UsageError(f"family {family!r} is not one of {', '.join(FAMILIES)}; choose one of them")
    if route and family != "ecp5":
        raise UsageError(f"--route knows ecp5 alone, not {family}: no open router covers it; leave --route out")
    if min_fmax is not None and not route:
        raise UsageError("--min-fmax needs a routed design; add --route, with --family ecp5")
    with step_progress() as tell:
        flow = Flow(cache_directory() / "synth", tell, Bounds(max_seconds, max_memory))
        report = flow.synthesise(accelerator, family, packed)
        if route:
            report = with_timing(report, flow.route(accelerator, packed, seed))
    broken = Limits(max_luts, max_ffs, max_dsps, max_brams, min_fmax).broken(report)
    shortages = {board.name: board.part.shortages(report.totals) for board in boards_of(family)}
    if json:
        boards = {name: {"fits": not short, "shortages": short} for name, short in shortages.items()}
        print_json({"config": config, **report.to_dict(), "boards": boards, "broken_limits": broken})
    else:
        _print_report(config, report, shortages)
    for sentence in broken:
        print(f"weft: {sentence}", file=sys.stderr)
    if broken:
        raise typer.Exit(1)


def _print_report(config: str, report: Report, shortages: dict[str, list[str]]) -> None:
    """Tables for people."""
    from rich.console import Console
    from rich.table import Table
    from weft_boards.catalogue import BOARDS
    from weft_hardware.synth.families import FAMILIES
    from weft_hardware.synth.report import CAVEAT

    family = FAMILIES[report.family]
    console = Console()
    multipliers = "packed" if report.packed_multipliers else "plain"
    table = Table(title=f"{config} on {family.title}, {multipliers} multipliers", title_justify="left", box=None)
    table.add_column("module")
    for heading in ("LUT", "of it RAM", "FF", "DSP", family.bram_unit):
        table.add_column(heading, justify="right")
    for depth, module in report.top.walk():
        table.add_row("  " * depth + module.name, *(f"{value:g}" for value in module.total.values()))
    console.print(table)
    for name, short in shortages.items():
        verdict = f"does not fit: {', '.join(short)}" if short else "fits"
        console.print(f"{BOARDS[name].title}, {BOARDS[name].part.name}: {verdict}", highlight=False)
    ends = f", from {report.depth.path[0]} to {report.depth.path[-1]}" if report.depth.path else ""
    console.print(f"logic depth: {report.depth.levels} levels{ends}", highlight=False)
    registers = report.dsp_registers
    if registers.blocks:
        console.print(
            f"DSP blocks: {registers.blocks}; operands registered inside {registers.operands}, "
            f"product {registers.products}",
            highlight=False,
        )
    if report.timing:
        timing = report.timing
        console.print(f"clock: {timing.fmax_mhz:.1f} MHz on {timing.device}, seed {timing.seed}", highlight=False)
        for place, delay in timing.critical_ns:
            console.print(f"  {delay:6.2f} ns  {place}", highlight=False)
    console.print(CAVEAT, highlight=False)
