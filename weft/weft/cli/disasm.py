"""``weft disasm``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options

if TYPE_CHECKING:
    from weft_hardware.config import AcceleratorConfig
    from weft_hardware.encoding import Words


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
    ir: Annotated[
        bool, typer.Option("--ir", help="As IR of the accel dialect, tokens as values; `weft asm` takes it back.")
    ] = False,
) -> None:
    """Show instructions as text: of a module's every launch, or of a raw stream or memory image."""
    import weft

    from .files import read_bytes

    data = read_bytes(file)
    if file.suffix == ".weft":
        module = weft.load(file)
        accelerator = module.content.config
        programs = [(layer, as_program(data, accelerator)) for layer, _, data in module.content.launches()]
    else:
        begin = image_base if insn_addr is None else insn_addr
        accelerator = weft.load_config(config or "vta")
        programs = [("", raw_program(data, image_base, begin, insn_count, accelerator))]
    if ir:
        sys.stdout.write(ir_text(programs, accelerator))
    else:
        sys.stdout.writelines(f"{line}\n" for line in lines_of(programs, accelerator))


def lines_of(programs: Sequence[tuple[str, Words]], config: AcceleratorConfig) -> Iterator[str]:
    """Every program's instructions, under a heading if it has a name."""
    from weft_hardware.disasm import disassemble

    for name, words in programs:
        if name:
            yield f"{name}: {len(words)} instructions"
        yield from disassemble(words, config)


def ir_text(programs: Sequence[tuple[str, Words]], config: AcceleratorConfig) -> str:
    """Every program as a function of the `accel` dialect.

    Raises
    ------
    WeftError
        If a program has no such form, see `weft_compiler.accel.assembly`.
    """
    from weft.extras import needs_extra

    with needs_extra("compiler", "showing a program as IR"):
        from weft_compiler.accel.assembly import function_of_words
        from weft_compiler.text import print_ir
        from xdsl.dialects.builtin import ModuleOp

        return print_ir(ModuleOp([function_of_words(words, config, name or "program") for name, words in programs]))


def as_program(data: bytes, config: AcceleratorConfig) -> Words:
    from weft_hardware.encoding import as_words

    return as_words(data, config)


def raw_program(data: bytes, base: int, begin: int, count: int | None, config: AcceleratorConfig) -> Words:
    """Instructions in a memory image at ``base``.

    Raises
    ------
    WeftError
        If they do not lie in the image, or the bytes are no whole number of instructions.
    """
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
    return as_program(data, config)
