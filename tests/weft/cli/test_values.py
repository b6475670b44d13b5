"""Values of the command line: those that typer does not convert arrive as those that it does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from weft.cli.values import Verb, Verbs

CASES = [
    ([], ("a", None, 1, None, None, 7)),
    (["--text", "b", "--path", "c/d"], ("b", Path("c/d"), 1, None, None, 7)),
    (["--path", ""], ("a", Path("."), 1, None, None, 7)),
    (["--number", "3", "--many", "x", "--many", "y"], ("a", None, 3, [Path("x"), Path("y")], None, 7)),
    (["--no-switch", "--parsed", "0x10"], ("a", None, 1, None, False, 16)),
]
REFUSED = [["--number", "0"], ["--number", "x"], ["--parsed", "?"], ["--path"], ["--text"]]


def command_line(cls: type[Verb] | None) -> tuple[typer.Typer, list[Any]]:
    """An application of one command, which leaves its values in the list."""
    app, found = typer.Typer(cls=Verbs if cls else None), []

    def command(
        text: Annotated[str, typer.Option()] = "a",
        path: Annotated[Path | None, typer.Option()] = None,
        number: Annotated[int, typer.Option(min=1)] = 1,
        many: Annotated[list[Path] | None, typer.Option()] = None,
        switch: Annotated[bool | None, typer.Option("--switch/--no-switch")] = None,
        parsed: Annotated[int, typer.Option(parser=lambda text: int(str(text), 0))] = 7,
    ) -> None:
        found.append((text, path, number, many, switch, parsed))

    app.callback()(lambda: None)
    app.command("go", cls=cls)(command)
    return app, found


def outcome(cls: type[Verb] | None, arguments: list[str]) -> Any:
    app, found = command_line(cls)
    try:
        app(["go", *arguments], standalone_mode=False)
    except typer.TyperException as error:
        return error.format_message()
    return found[0]


@pytest.mark.parametrize(("arguments", "values"), CASES)
def test_values(arguments: list[str], values: tuple[Any, ...]) -> None:
    got = outcome(Verb, arguments)
    assert got == outcome(None, arguments)
    assert got == values


@pytest.mark.parametrize("arguments", REFUSED)
def test_refusals(arguments: list[str]) -> None:
    got = outcome(Verb, arguments)
    assert isinstance(got, str)
    assert got == outcome(None, arguments)
