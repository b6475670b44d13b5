"""The command tree."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from . import (
    asm,
    board,
    check,
    compile,
    config,
    demo,
    disasm,
    exec,
    explore,
    export,
    fuzz,
    link,
    opt,
    profile,
    registers,
    run,
    serve,
    synth,
    tune,
    verilog,
    zoo,
)

app = typer.Typer(
    name="weft",
    help="An open tensor accelerator: compile networks for it, simulate it to the cycle, look inside.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if not wanted:
        return
    try:
        print(version("weft"))
    except PackageNotFoundError:
        print("unknown (not installed)")
    raise typer.Exit


@app.callback()
def root(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """An open tensor accelerator: compile networks for it, simulate it to the cycle, look inside."""


app.command("compile")(compile.compile_command)
app.command("run")(run.run_command)
app.command("export")(export.export_command)
app.command("link")(link.link_command)
app.command("exec")(exec.exec_command)
app.command("serve")(serve.serve_command)
app.command("profile")(profile.profile_command)
app.command("check")(check.check_command)
app.command("opt")(opt.opt_command)
app.command("disasm")(disasm.disasm_command)
app.command("asm")(asm.asm_command)
app.add_typer(config.app, name="config")
app.command("verilog")(verilog.verilog_command)
app.command("registers")(registers.registers_command)
app.command("fuzz")(fuzz.fuzz_command)
app.add_typer(board.app, name="board")
app.command("tune")(tune.tune_command)
app.command("synth")(synth.synth_command)
app.command("explore")(explore.explore_command)
app.command("zoo")(zoo.zoo_command)
app.command("demo")(demo.demo_command)
