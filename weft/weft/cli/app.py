"""The command tree."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer

from .values import Verb, Verbs

GROUPS = ("config", "board")
"""Verbs of several commands."""

VERBS = (
    *("compile", "run", "export", "link", "exec", "serve", "profile", "check", "opt", "disasm", "asm", "config"),
    *("verilog", "registers", "fuzz", "board", "tune", "synth", "explore", "zoo", "demo"),
)
"""All, in the order of the help; each has a file of its name."""


def app_for(arguments: Sequence[str]) -> typer.Typer:
    """The tree as far as a command line needs it: its verb alone, or all, for help and for what is no verb.

    Typer looks at every parameter of every command that it is given, which takes longer than what many verbs do.
    """
    app = typer.Typer(
        name="weft",
        cls=Verbs,
        help="An open tensor accelerator: compile networks for it, simulate it to the cycle, look inside.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(root)
    for verb in arguments[:1] if arguments and arguments[0] in VERBS else VERBS:
        module = import_module(f".{verb}", __package__)
        if verb in GROUPS:
            app.add_typer(module.app, name=verb)
        else:
            app.command(verb, cls=Verb)(getattr(module, f"{verb}_command"))
    return app


def _show_version(wanted: bool) -> None:
    if not wanted:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        print(version("weft"))
    except PackageNotFoundError:
        print("unknown (not installed)")
    raise typer.Exit


def root(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """An open tensor accelerator: compile networks for it, simulate it to the cycle, look inside."""
