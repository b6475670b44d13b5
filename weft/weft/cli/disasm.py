"""``weft disasm``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options

if TYPE_CHECKING:
    from weft_hardware.config import AcceleratorConfig
    from weft_runtime.module import Module


def disasm_command(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .weft module, or raw instructions.", show_default=False)
    ],
    config: Annotated[
        str | None,
        typer.Option("--config", metavar="NAME|FILE", help="Of raw instructions (default vta).", show_default=False),
    ] = None,
    image_base: Annotated[
        int,
        typer.Option("--image-base", metavar="ADDR", parser=options.parse_number, help="Address of FILE's first byte."),
    ] = 0,
    insn_addr: Annotated[
        int | None,
        typer.Option(
            "--insn-addr",
            metavar="ADDR",
            parser=options.parse_number,
            help="Address of the first instruction in a memory image (default: where FILE starts).",
        ),
    ] = None,
    insn_count: Annotated[
        int | None,
        typer.Option(
            "--insn-count", metavar="N", parser=options.parse_number, help="Instructions to show (default: all)."
        ),
    ] = None,
) -> None:
    """Show instructions as text: of a module's every launch, or of a raw stream or memory image."""
    import weft

    from .files import read_bytes

    data = read_bytes(file)
    if file.suffix == ".weft":
        lines = module_lines(weft.load(file))
    else:
        begin = image_base if insn_addr is None else insn_addr
        lines = raw_lines(data, image_base, begin, insn_count, weft.load_config(config or "vta"))
    sys.stdout.writelines(f"{line}\n" for line in lines)


def module_lines(module: Module) -> Iterator[str]:
    """Every launch of a module, under a heading that names its layer."""
    from weft_hardware.disasm import disassemble
    from weft_hardware.encoding import as_words

    config = module.content.config
    for layer, step, instructions in module.content.launches():
        yield f"{layer}: {step.count} instructions"
        yield from disassemble(as_words(instructions, config), config)


def raw_lines(data: bytes, base: int, begin: int, count: int | None, config: AcceleratorConfig) -> Iterator[str]:
    """Instructions in a memory image at ``base``.

    Raises
    ------
    WeftError
        If they do not lie in the image, or the bytes are no whole number of instructions.
    """
    from weft_hardware.disasm import disassemble
    from weft_hardware.encoding import as_words
    from weft_hardware.isa import instruction_bytes

    from weft.execute import check_stream

    size = instruction_bytes(config)
    first = begin - base
    if count is not None:
        check_stream(len(data), base, begin, count, config)
        data = data[first : first + count * size]
    else:
        check_stream(len(data), base, begin, 1, config)
        data = data[first:]
    return disassemble(as_words(data, config), config)
