"""``weft asm``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options

if TYPE_CHECKING:
    from weft_compiler.dialects.accel import FuncOp


def asm_command(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.mlir", help="A program in the accel dialect.", show_default=False)
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="OUT.bin", help="The instructions.", show_default=False)
    ],
    function: Annotated[
        str | None,
        typer.Option("--function", metavar="NAME", help="Which function, if there are several.", show_default=False),
    ] = None,
    uops: Annotated[
        Path | None,
        typer.Option("--uops", metavar="OUT.bin", help="Where the micro-ops go, if it has any.", show_default=False),
    ] = None,
    uop_addr: Annotated[
        int,
        typer.Option(
            "--uop-addr", metavar="ADDR", parser=options.parse_number, help="Their address, from the base register."
        ),
    ] = 0,
    json: options.Json = False,
) -> None:
    """Turn a program in text into bytes: each token taken once, each field in its range.

    The text is what `weft disasm --ir` shows, or of one's own. A function over tensors belongs into a module, whose
    compilation knows where they lie.
    """
    from weft.extras import needs_extra

    from .files import write_atomically
    from .output import print_values

    with needs_extra("compiler", "assembling a program"):
        from weft_compiler.accel.assembly import program_of
        from weft_compiler.dialects.accel import config_of

    chosen = find_function(file, function)
    refuse(chosen, uops)
    program = program_of(chosen, config_of(chosen.config), (), uop_addr)
    write_atomically(output, lambda stream: stream.write(program.instructions.astype("<u8").tobytes()))
    if uops is not None:
        write_atomically(uops, lambda stream: stream.write(program.uops.tobytes()))
    counts = {"instructions": len(program.instructions), "micro_ops": len(program.uops)}
    print_values({"output": str(output), "function": chosen.sym_name.data, **counts}, json)


def find_function(file: Path, name: str | None) -> FuncOp:
    """The accelerator function of a file that the name means, or the only one.

    Raises
    ------
    WeftError
        If there is none, or there are several and no name.
    """
    from weft_compiler.dialects.accel import FuncOp
    from weft_compiler.text import read_ir

    from weft.errors import UsageError

    functions = {op.sym_name.data: op for op in read_ir(file).body.block.ops if isinstance(op, FuncOp)}
    known = ", ".join(functions) or "none"
    if name is None and len(functions) == 1:
        return next(iter(functions.values()))
    if name is None:
        raise UsageError(f"{file} has {len(functions)} accelerator functions ({known}); choose one by --function")
    if name not in functions:
        raise UsageError(f"{file} has no accelerator function {name!r}; it has {known}")
    return functions[name]


def refuse(function: FuncOp, uops: Path | None) -> None:
    """Refuse what raw bytes cannot say.

    Raises
    ------
    WeftError
        If the function is over tensors, or its micro-ops have no file.
    """
    from weft.errors import UsageError

    name = function.sym_name.data
    if function.body.block.args:
        raise UsageError(
            f"@{name} takes {len(function.body.block.args)} tensors, whose addresses bytes have to know; "
            "call it in a module, or write addresses"
        )
    if function.micro_ops() is not None and uops is None:
        raise UsageError(f"@{name} has micro-ops; say by --uops which file they go to")
