"""``weft opt``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options

if TYPE_CHECKING:
    from weft_hardware.config import AcceleratorConfig
    from xdsl.dialects.builtin import ModuleOp
    from xdsl.passes import ModulePass


def opt_command(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A module of IR, or an .onnx file.", show_default=False)
    ] = None,
    passes: Annotated[
        str | None,
        typer.Option("--passes", metavar="A,B,…", help="The passes to run, in this order.", show_default=False),
    ] = None,
    stop_after: Annotated[
        str | None,
        typer.Option(
            "--stop-after",
            metavar="PASS",
            help="Run up to this pass: of --passes, or of a whole compilation.",
            show_default=False,
        ),
    ] = None,
    print_after: Annotated[bool, typer.Option("--print-after", help="Print the IR behind every pass.")] = False,
    show_list: Annotated[bool, typer.Option("--list", help="List the passes in their order, and exit.")] = False,
    config: options.Config = "vta",
    batch: Annotated[int, typer.Option("--batch", metavar="N", min=1, help="Where an .onnx file leaves it open.")] = 1,
    longest: Annotated[
        int | None,
        typer.Option(
            "--longest", metavar="N", min=0, help="Leave out constants of more bytes, for reading.", show_default=False
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="OUT.mlir", help="Default: standard output.", show_default=False),
    ] = None,
) -> None:
    """Run passes of the compiler one by one on a module of IR, verified before and behind each.

    Without --passes and --stop-after the module is read, verified and printed.
    """
    import weft
    from weft.errors import UsageError
    from weft.extras import needs_extra

    from .files import write_atomically

    accelerator = weft.load_config(config)
    with needs_extra("compiler", "running passes"):
        from weft_compiler.pipeline import run_passes
        from weft_compiler.text import print_ir

    if show_list:
        sys.stdout.writelines(f"{line}\n" for line in listed(accelerator))
        return
    if file is None:
        raise UsageError("weft opt needs a FILE of IR or an .onnx file; weft opt --list shows the passes")
    steps = chosen(passes, stop_after, accelerator)
    module = read_module(file, batch)

    def show(name: str, ir: ModuleOp) -> None:
        if print_after:
            sys.stdout.write(f"// after {name}\n{print_ir(ir, longest)}")

    run_passes(module, accelerator, show, steps)
    text = print_ir(module, longest)
    if output is not None:
        write_atomically(output, lambda stream: stream.write(text.encode()))
    elif not print_after or not steps:
        sys.stdout.write(text)


def chosen(passes: str | None, stop_after: str | None, config: AcceleratorConfig) -> list[ModulePass]:
    """The passes that the options name.

    Raises
    ------
    WeftError
        If one does not exist, or the one to stop after is none of those to run.
    """
    from weft_compiler.pipeline import named_passes, passes_for

    from weft.errors import UsageError

    if passes is not None:
        steps = named_passes([name.strip() for name in passes.split(",") if name.strip()], config)
    else:
        steps = list(passes_for(config)) if stop_after else []
    if stop_after is None:
        return steps
    named_passes([stop_after], config)
    names = [step.name for step in steps]
    if stop_after not in names:
        raise UsageError(f"--stop-after {stop_after} is none of the passes to run: {', '.join(names)}; add it")
    return steps[: names.index(stop_after) + 1]


def read_module(file: Path, batch: int) -> ModuleOp:
    """A module of IR, or what an ``.onnx`` file is imported as."""
    from weft_compiler.onnx_import import import_onnx
    from weft_compiler.text import read_ir

    return import_onnx(file, batch=batch) if file.suffix == ".onnx" else read_ir(file)


def listed(config: AcceleratorConfig) -> list[str]:
    """A line for each pass: its name, and what it does."""
    from weft_compiler.pipeline import extra_passes, passes_for

    def lines(steps: tuple[ModulePass, ...]) -> list[str]:
        return [f"  {step.name:24} {(step.__doc__ or '').strip().splitlines()[0]}" for step in steps]

    return ["a compilation, in order:", *lines(passes_for(config)), "when asked for:", *lines(extra_passes(config))]
