"""The ``weft`` command: one file a verb. Wrong input is one sentence on stderr and exit code 2."""

from __future__ import annotations

import sys

from weft_hardware.errors import WeftError

from weft.extras import needs_extra


def main() -> None:
    """Entry point of ``weft`` and ``python -m weft``; exits with 0, 1 (mismatch), 2 (wrong input) or 130 (Ctrl-C)."""
    try:
        code = _run()
    except KeyboardInterrupt:
        code = 130
    except WeftError as error:
        print(f"weft: {error}", file=sys.stderr)
        code = 2
    sys.exit(code)


def _run() -> int:
    with needs_extra("cli", "the weft command"):
        import rich  # noqa: F401, its absence is told here, once for every verb
        import typer

    from .app import app_for

    try:
        # Outside standalone mode typer returns the code of an exit, and leaves errors to us.
        return app_for(sys.argv[1:])(prog_name="weft", standalone_mode=False) or 0
    except typer.TyperException as error:
        text = error.format_message().rstrip(".")
        if text:  # empty where a command was called without arguments: typer has printed its help
            context = getattr(error, "ctx", None)
            where = context.command_path if context else "weft"
            print(f"weft: {text}; see `{where} --help`", file=sys.stderr)
        return 2
    except typer.Abort:
        return 130
