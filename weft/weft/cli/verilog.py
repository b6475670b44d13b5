"""``weft verilog``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options


def verilog_command(
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE.v", help="The file to write.", show_default=False)
    ],
    config: options.Config = "vta",
    packed: options.Packed = False,
) -> None:
    """Write the accelerator as Verilog; the top module is weft_accelerator."""
    import weft
    from weft.extras import needs_extra

    from .files import write_atomically

    accelerator = weft.load_config(config)
    with needs_extra("rtl", "writing Verilog"):
        from weft_hardware.rtl.verilog import emit

        text = emit(accelerator, packed)
    write_atomically(output, lambda file: file.write(text.encode()))
