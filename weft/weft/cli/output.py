"""Numbers for people or, with ``--json``, for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


def print_json(values: Mapping[str, Any]) -> None:
    """One JSON object on standard output."""
    print(json.dumps(values, indent=2))


def print_values(values: Mapping[str, Any], as_json: bool) -> None:
    """As JSON, or one ``name: value`` a line, leaving out what is None."""
    if as_json:
        print_json(values)
        return
    for name, value in values.items():
        if value is not None:
            print(f"{name.replace('_', ' ')}: {value}")


@contextmanager
def build_progress() -> Iterator[Any]:
    """A callable (stage, done, total) that shows a progress bar on stderr, gone when the block ends."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks: dict[str, Any] = {}

        def tell(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total)
            progress.update(tasks[stage], completed=done, total=total)

        yield tell


@contextmanager
def step_progress() -> Iterator[Any]:
    """A callable that shows what tools do, and for how long, on a terminal; gone when the block ends."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("starting", total=None)
        yield lambda step: progress.update(task, description=step[:70])
