"""``weft config``."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options

app = typer.Typer(help="Accelerator configurations.", no_args_is_help=True)


@app.command("show")
def show(
    config: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A preset or a file.")] = "vta",
    json: options.Json = False,
) -> None:
    """Print a configuration as TOML, to be edited and used as a file."""
    from weft_hardware.presets import to_toml

    import weft

    from .output import print_json

    accelerator = weft.load_config(config)
    if json:
        print_json({**accelerator.to_dict(), "digest": accelerator.digest})
    else:
        print(f"# {config}: digest {accelerator.digest[:16]}")
        print(to_toml(accelerator), end="")


@app.command("list")
def list_presets(json: options.Json = False) -> None:
    """List the presets."""
    from weft_hardware.presets import PRESETS

    from .output import print_json

    if json:
        print_json({name: preset.to_dict() for name, preset in PRESETS.items()})
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("preset", "batch×in×out", "inp", "wgt", "acc", "uop", "AXI data", "address bits", box=None)
    for name, preset in PRESETS.items():
        table.add_row(
            name,
            f"{preset.batch}×{preset.block_in}×{preset.block_out}",
            *map(str, (preset.inp_depth, preset.wgt_depth, preset.acc_depth, preset.uop_depth)),
            *map(str, (preset.axi_data_bits, preset.axi_addr_bits)),
        )
    Console().print(table)
