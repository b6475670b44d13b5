"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def parse_number(text: str | int) -> int:
    """A decimal number, or a hexadecimal one behind ``0x``; typer also passes defaults, which are numbers already."""
    if isinstance(text, int):
        return text
    try:
        value = int(text, 16) if text.lower().startswith("0x") else int(text, 10)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a number; write it in decimal or as 0x hexadecimal") from None
    if value < 0:
        raise typer.BadParameter(f"{text} is negative; write a number from 0 up")
    return value


IMAGE_BASE = typer.Option(
    "--image-base",
    metavar="ADDR",
    parser=parse_number,
    help="Physical address of the image's first byte.",
    show_default=False,
)
INSN_ADDR = typer.Option(
    "--insn-addr",
    metavar="ADDR",
    parser=parse_number,
    help="Physical address of the image's first instruction.",
    show_default=False,
)
INSN_COUNT = typer.Option(
    "--insn-count", metavar="N", parser=parse_number, help="Instructions of the image's program.", show_default=False
)
"""Where a program lies in a raw memory image; for verbs that need it and for those that can do without."""

Config = Annotated[
    str, typer.Option("--config", metavar="NAME|FILE", help="A preset, a TOML file or a vta_config.json.")
]
Device = Annotated[
    str, typer.Option("--device", metavar="functional|tsim|timing|grpc://HOST", help="What executes the program.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the numbers as one JSON object.")]
ReadLatency = Annotated[
    int, typer.Option("--read-latency", metavar="N", min=0, help="tsim: cycles until the memory answers.")
]
MaxCycles = Annotated[int | None, typer.Option("--max-cycles", metavar="N", help="tsim: give up after so many cycles.")]
Cache = Annotated[
    bool, typer.Option("--cache/--no-cache", help="Take what was compiled before from the cache, and keep it there.")
]
Wave = Annotated[
    Path | None, typer.Option("--wave", metavar="FILE.vcd|.fst", help="tsim: write a waveform.", show_default=False)
]
WaveStart = Annotated[
    int, typer.Option("--wave-start", metavar="N", help="The waveform's first cycle, from the first launch on.")
]
WaveStop = Annotated[
    int | None, typer.Option("--wave-stop", metavar="N", help="The cycle before which the waveform ends.")
]
Packed = Annotated[
    bool, typer.Option("--packed", help="Two products a multiplier: half the DSP blocks; programs do not see it.")
]
InputFile = Annotated[Path, typer.Argument(metavar="FILE", show_default=False)]
