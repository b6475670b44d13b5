"""``weft registers``."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options


def registers_command(
    c_header: Annotated[bool, typer.Option("--c-header", help="Print a C header for drivers.")] = False,
    json: options.Json = False,
) -> None:
    """Print the accelerator's AXI4-Lite register map."""
    from weft_hardware.c_header import render
    from weft_hardware.registers import REGISTERS

    from .output import print_json

    if c_header:
        print(render(), end="")
    elif json:
        print_json({register.name: register.offset for register in REGISTERS})
    else:
        for register in REGISTERS:
            print(f"{register.offset:#05x}  {register.name:20}  {register.access.name.lower():5}  {register.doc}")
