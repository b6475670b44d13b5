"""``weft check``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options
from .output import print_json

if TYPE_CHECKING:
    from weft_hardware.config import AcceleratorConfig
    from weft_runtime.check import Report

SHOWN = 50
"""Findings in the table; ``--json`` holds all."""


def check_command(
    file: Annotated[
        Path,
        typer.Argument(metavar="PROGRAM", help="A raw memory image, or a .weft module.", show_default=False),
    ],
    image_base: Annotated[int | None, options.IMAGE_BASE] = None,
    insn_addr: Annotated[int | None, options.INSN_ADDR] = None,
    insn_count: Annotated[int | None, options.INSN_COUNT] = None,
    config: Annotated[
        str | None,
        typer.Option("--config", metavar="NAME|FILE", help="Of an image (default vta).", show_default=False),
    ] = None,
    json: options.Json = False,
) -> None:
    """Prove that a program ends with the same result whatever the timing, or show what is in the way.

    Races on scratchpads and DRAM, tokens that are missing or left, full queues, addresses and indices outside, illegal
    instructions. An image takes the options of `weft exec`; of a module, every launch is checked.

    Exit code 1 if anything is found.
    """
    from rich.console import Console

    import weft

    from .files import read_bytes

    given = {"--image-base": image_base, "--insn-addr": insn_addr, "--insn-count": insn_count, "--config": config}
    with Console(stderr=True).status("checking"):
        if file.suffix == ".weft":
            reports = _check_module(file, given)
        else:
            accelerator = weft.load_config(config or "vta")
            reports = [(file.name, _check_image(read_bytes(file), given, accelerator))]
    if json:
        print_json({"program": str(file), "launches": [_to_dict(name, report) for name, report in reports]})
    else:
        for name, report in reports:
            _show(name, report)
    raise typer.Exit(0 if all(report.passed for _, report in reports) else 1)


def _check_module(file: Path, given: dict[str, Any]) -> list[tuple[str, Report]]:
    from weft_runtime.check import check_module

    import weft
    from weft.errors import UsageError

    for option, value in given.items():
        if value is not None:
            raise UsageError(
                f"{option} = {value} has no meaning for a module, which says all that itself; leave it out"
            )
    return check_module(weft.load(file).content)


def _check_image(data: bytes, given: dict[str, Any], config: AcceleratorConfig) -> Report:
    """An image as `weft exec` runs it: base registers 0, the image the only memory."""
    import numpy as np
    from weft_runtime.check import check_program
    from weft_runtime.device import Launch
    from weft_runtime.dram import Dram

    from weft.errors import UsageError
    from weft.execute import check_stream

    for option in ("--image-base", "--insn-addr", "--insn-count"):
        if given[option] is None:
            raise UsageError(f"{option} is missing; an image needs it, a module's file name ends with .weft")
    base, address, count = given["--image-base"], given["--insn-addr"], given["--insn-count"]
    check_stream(len(data), base, address, count, config)
    return check_program(Launch(address, count), Dram(np.frombuffer(data, np.uint8), base), config)


def _to_dict(name: str, report: Report) -> dict[str, Any]:
    return {
        "name": name,
        "instructions": len(report.words),
        "findings": [report.to_dict(finding) for finding in report.findings],
    }


def _show(name: str, report: Report) -> None:
    """One line for a sound program, a table for another."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if report.passed:
        console.print(f"{name}: {len(report.words)} instructions, sound", highlight=False)
        return
    title = f"{name}: {len(report.words)} instructions, {_findings(len(report.findings))}"
    table = Table(title=title, title_justify="left", show_lines=True)
    for heading in ("finding", "where", "instructions", "what is wrong, and the way out"):
        table.add_column(heading, overflow="fold")
    for finding in report.findings[:SHOWN]:
        lines = "\n".join(f"{index}  {report.text(index)}" for index in finding.instructions)
        table.add_row(finding.kind.value, str(finding.span or ""), lines, report.sentence(finding))
    console.print(table, highlight=False)
    if len(report.findings) > SHOWN:
        console.print(f"and {_findings(len(report.findings) - SHOWN)} more; --json has all", highlight=False)


def _findings(count: int) -> str:
    return "1 finding" if count == 1 else f"{count} findings"
