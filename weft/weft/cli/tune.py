"""``weft tune``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options

if TYPE_CHECKING:
    from rich.table import Table
    from weft_explore.tune.journal import Journal
    from weft_explore.tune.tasks import Task
    from weft_explore.tune.tuner import Tuning


def tune_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="A quantised network.", show_default=False)],
    records: Annotated[
        list[Path],
        typer.Option(
            "--records",
            metavar="FILE.jsonl",
            help="Where each measurement is appended, and taken from if it is there; further files are only read.",
            show_default=False,
        ),
    ],
    device: Annotated[
        str, typer.Option("--device", metavar="timing|tsim|grpc://HOST", help="What measures the schedules.")
    ] = "timing",
    config: options.Config = "vta",
    trials: Annotated[
        int, typer.Option("--trials", metavar="N", min=1, help="Schedules in all, those in the records included.")
    ] = 1000,
    seed: Annotated[int, typer.Option("--seed", metavar="S", min=0, help="Of all that is random.")] = 0,
    batch: Annotated[int, typer.Option("--batch", metavar="N", min=1, help="Where the model leaves it open.")] = 1,
    read_latency: options.ReadLatency = 50,
    extensions: Annotated[
        bool, typer.Option("--extensions/--no-extensions", help="As the network will be compiled.")
    ] = True,
    json: options.Json = False,
) -> None:
    """Search the fastest schedule of each layer by measuring; `weft compile --records` takes what is found.

    It stops when nothing more is to be had. Stop it at any moment: what was measured is in the records, and the same
    command goes on from there.
    """
    import weft
    from weft.tuning import network_cycles, open_tuning

    from .files import read_bytes
    from .output import build_progress

    accelerator = weft.load_config(config)
    source = read_bytes(model)
    how: dict[str, Any] = {"read_latency": read_latency, "batch": batch, "extensions": extensions}
    with (
        build_progress() as progress,
        open_tuning(
            source,
            accelerator,
            records,
            device=device,
            seed=seed,
            settings={"progress": progress} if device == "tsim" else None,
            **how,
        ) as (tuning, journal),
    ):
        from weft_compiler.records import describe_damage, ranked_schedules, read_records

        for sentence in describe_damage(journal.records.damage):
            print(f"weft: {sentence}", file=sys.stderr)
        try:
            with _progress(tuning, trials, model.name) as told:
                tuning.run(trials, told)
        except KeyboardInterrupt:
            _print_summary(tuning, journal, None, json)
            raise
        best = ranked_schedules(read_records(records).ranked(accelerator.digest, journal.device))
    network = tuple(network_cycles(source, accelerator, chosen, **how) for chosen in ({}, best))
    _print_summary(tuning, journal, network, json)


@contextmanager
def _progress(tuning: Tuning[Any], trials: int, title: str) -> Iterator[Callable[[], None]]:
    """A callable that shows the layers as they are, on a terminal's stderr; gone when the block ends."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda: None
        return
    bar = Progress(
        TextColumn(title), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    )
    spent = bar.add_task("", total=trials)
    with Live(console=console, transient=True, refresh_per_second=4, vertical_overflow="visible") as live:

        def told() -> None:
            bar.update(spent, completed=tuning.trials, description=_sum_text(tuning.tasks))
            live.update(Group(_table(tuning.tasks), bar))

        told()
        yield told


def _sum_text(tasks: Sequence[Task[Any]]) -> str:
    """The network's cycles, the layers one after another."""
    known = [task for task in tasks if isfinite(task.best) and isfinite(task.default)]
    before = sum(task.problem.weight * task.default for task in known)
    after = sum(task.problem.weight * task.best for task in known)
    return f"{before:,.0f} → {after:,.0f} cycles" if known else ""


def _table(tasks: Sequence[Task[Any]]) -> Table:
    from rich.table import Table

    table = Table(box=None)
    table.add_column("layer")
    for title in ("times", "trials", "default", "tuned", "gain"):
        table.add_column(title, justify="right")
    table.add_column("why no further", overflow="fold")
    for task in tasks:
        table.add_row(
            task.problem.name,
            str(task.problem.weight),
            str(task.trials),
            _cycles(task.default),
            _cycles(task.best),
            _gain(task.default, task.best),
            task.reason or "",
        )
    return table


def _cycles(value: float) -> str:
    return f"{value:,.0f}" if isfinite(value) else "–"


def _gain(before: float, after: float) -> str:
    return f"{100 * (1 - after / before):.1f} %" if isfinite(before) and isfinite(after) else "–"


def _print_summary(tuning: Tuning[Any], journal: Journal, network: Sequence[int] | None, as_json: bool) -> None:
    """The table, why it ended, and the whole network before and after."""
    from .output import print_json

    if as_json:
        print_json(_values(tuning, journal, network))
        return
    from rich.console import Console

    console = Console()
    console.print(_table(tuning.tasks))
    sentence = f"{tuning.reason}; {journal.measured} measured, {journal.known} known from records"
    console.print(sentence, highlight=False, soft_wrap=True)
    if network is not None:
        before, after = network
        console.print(
            f"whole network, layers overlapping: {before:,} → {after:,} cycles ({_gain(before, after)} less)",
            highlight=False,
        )


def _values(tuning: Tuning[Any], journal: Journal, network: Sequence[int] | None) -> Mapping[str, Any]:
    layers = [
        {
            "name": task.problem.name,
            "layer": task.problem.layer,
            "times": task.problem.weight,
            "trials": task.trials,
            "default_cycles": task.default if isfinite(task.default) else None,
            "tuned_cycles": task.best if isfinite(task.best) else None,
            "reason": task.reason,
        }
        for task in tuning.tasks
    ]
    values = {"trials": tuning.trials, "measured": journal.measured, "known": journal.known, "reason": tuning.reason}
    if network is not None:
        values |= {"network": {"default_cycles": network[0], "tuned_cycles": network[1]}}
    return {**values, "layers": layers}
