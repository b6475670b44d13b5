"""``weft export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options


def export_command(
    module_file: Annotated[Path, typer.Argument(metavar="OUT.weft", help="A compiled module.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="NET.so", help="The library to write.", show_default=False),
    ] = None,
    bare_metal: Annotated[
        Path | None,
        typer.Option(
            "--bare-metal", metavar="DIR", help="Write C99 without a library or a system here.", show_default=False
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            metavar="CPU",
            help="Of the library: armv7, aarch64, x86_64, riscv64; with --bare-metal once for each object.",
            show_default="x86_64, or riscv32 and cortex-m4",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Write a compiled module as a shared library with a C interface, or as C for bare metal."""
    from weft_runtime.host_targets import BARE_TARGETS

    import weft
    from weft.errors import UsageError

    from .output import print_values

    if (output is None) == (bare_metal is None):
        raise UsageError("weft export writes one thing; give either -o NET.so or --bare-metal DIR")
    module = weft.load(module_file)
    if bare_metal is not None:
        files = module.export_bare_metal(bare_metal, target or BARE_TARGETS)
        print_values({"folder": str(bare_metal), "files": len(files)}, json)
        return
    assert output is not None
    targets = target or ["x86_64"]
    if len(targets) > 1:
        raise UsageError(f"a library is for one target, given are {', '.join(targets)}; export once for each")
    header = module.export(output, targets[0])
    print_values({"library": str(output), "header": str(header), "target": targets[0]}, json)
