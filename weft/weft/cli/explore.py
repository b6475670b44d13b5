"""``weft explore``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options

if TYPE_CHECKING:
    from collections.abc import Callable

    from weft_explore.exploration import Exploration, Explored, Progress
    from weft_explore.plan import Plan


CONFIRMED = 10
"""Designs of the front that are confirmed if nothing is said."""


def explore_command(
    space: Annotated[Path, typer.Argument(metavar="SPACE.toml", help="What may be chosen.", show_default=False)],
    workload: Annotated[
        list[str],
        typer.Option("--workload", metavar="MODEL.onnx[=WEIGHT]", help="A network; give it once for each."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Where results are kept.")],
    objective: Annotated[
        list[str], typer.Option("--objective", metavar="NAME,…", help="What designs are compared by.")
    ] = ["cycles"],  # noqa: B006, typer copies it
    budget: Annotated[int, typer.Option("--budget", metavar="N", min=1, help="Designs to evaluate.")] = 100,
    constraint: Annotated[
        list[str] | None,
        typer.Option("--constraint", metavar="TEXT", help="'fits pynq-z2', 'luts <= 40000'.", show_default=False),
    ] = None,
    sampler: Annotated[str, typer.Option("--sampler", metavar="nsga2|tpe|random", help="How to choose.")] = "nsga2",
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Of all choices.")] = 0,
    generation: Annotated[
        int, typer.Option("--generation", metavar="N", min=2, help="Designs that are chosen at a time.")
    ] = 20,
    screened: Annotated[
        int,
        typer.Option("--screened", metavar="N", min=0, help="Designs that the analytic model looks at first."),
    ] = 400,
    tune_trials: Annotated[
        int | None,
        typer.Option(
            "--tune-trials",
            metavar="N",
            min=0,
            help="Schedules of each layer that are measured for each design, the compiler's own included.",
            show_default="what the space says, or 0: the compiler's own",
        ),
    ] = None,
    family: Annotated[
        str | None,
        typer.Option("--family", metavar="xc7|xcup|ecp5", help="The FPGA whose area counts.", show_default="xc7"),
    ] = None,
    technology: Annotated[str, typer.Option("--technology", metavar="45nm|7nm", help="Whose energies count.")] = "45nm",
    jobs: Annotated[
        int | None, typer.Option("--jobs", metavar="N", min=1, help="Processes.", show_default="one a CPU")
    ] = None,
    confirm: Annotated[
        int | None,
        typer.Option(
            "--confirm",
            metavar="K",
            min=0,
            help="Designs of the front to simulate and synthesise, minutes each; 0: none.",
            show_default="10",
        ),
    ] = None,
    confirm_minutes: Annotated[
        float, typer.Option("--confirm-minutes", metavar="M", min=0, help="What all of that may take.")
    ] = 60,
    route: Annotated[
        bool, typer.Option("--route", help="With --confirm and --family ecp5: the clock they reach, too.")
    ] = False,
    max_seconds: Annotated[
        float, typer.Option(metavar="S", min=0, help="End a tool that runs for longer, yosys or nextpnr.")
    ] = 3600,
    max_memory: Annotated[float, typer.Option(metavar="MIB", min=0, help="End a tool that takes more memory.")] = 8192,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", metavar="tcp://HOST:PORT", help="Of a Dask cluster.", show_default=False),
    ] = None,
    json: options.Json = False,
) -> None:
    """Search a space of accelerators for those that no other beats; killed and called again, it goes on.

    DIR holds a table of all designs (designs.csv), all figures (exploration.json), and the configurations of the front,
    ready for `weft compile --config`; where schedules were searched, with the records of the best ones beside them,
    for `weft compile --records`.
    """
    from weft_explore.constraints import family_of, parse_constraints
    from weft_explore.exploration import DONE, Exploration
    from weft_explore.objectives import parse_objectives
    from weft_explore.plan import Plan
    from weft_explore.space import load_space
    from weft_explore.workers import LocalProcesses, ThisProcess, Workers
    from weft_explore.workload import check_workload, load_workload
    from weft_hardware.errors import WeftError
    from weft_hardware.synth.families import FAMILIES
    from weft_hardware.synth.tools import Bounds

    from weft.errors import UsageError
    from weft.extras import needs_extra

    from .output import print_json

    if family is not None and family not in FAMILIES:
        raise UsageError(f"family {family!r} is not one of {', '.join(FAMILIES)}; choose one of them")
    constraints = parse_constraints(constraint or [])
    chosen_space = load_space(space)
    plan = Plan(
        space=chosen_space,
        workloads=tuple(map(load_workload, workload)),
        objectives=parse_objectives(objective),
        constraints=constraints,
        sampler=sampler,
        seed=seed,
        generation=generation,
        screened=screened,
        family=family_of(constraints, family),
        technology=technology,
        tune_trials=chosen_space.trials if tune_trials is None else tune_trials,
        bounds=Bounds(max_seconds, max_memory),
    )
    if route and not (confirm != 0 and plan.family == "ecp5"):
        raise UsageError("--route needs --confirm and --family ecp5, the one family with an open router; leave it out")
    with needs_extra("explore", "exploring"):
        import moocore  # noqa: F401, their absence is told here
        import optuna  # noqa: F401
    with needs_extra("compiler", "compiling a network"):
        import xdsl  # noqa: F401
    with needs_extra("timing", "the timing device"):
        import numba  # noqa: F401
    for one in plan.workloads:
        check_workload(one, plan.space.base)
    wanted = CONFIRMED if confirm is None else confirm
    if wanted:
        try:
            _needs_tools()
        except WeftError as error:
            if confirm is not None:
                raise
            wanted = 0
            print(f"weft: designs of the front will not be confirmed: {error}", file=sys.stderr)
    exploration = Exploration(plan, output)
    count = jobs or os.cpu_count() or 1
    if scheduler is not None:
        with needs_extra("explore", "a cluster"):
            from weft_explore.cluster import Cluster
        chosen: Workers = Cluster(plan.evaluator, scheduler)
    else:
        chosen = ThisProcess(plan.evaluator) if count == 1 else LocalProcesses(plan.evaluator, count)
    with _ended_by_sigterm():
        with chosen as workers, _progress(plan) as tell:
            explored = exploration.run(budget, workers, tell)
        try:
            if wanted:
                _confirm(exploration, wanted, route, 60 * confirm_minutes)
        finally:
            page = _write_page(output)
    front = exploration.front()
    counts: dict[str, Any] = {
        "designs": len(explored),
        "done": sum(found.state == DONE for found in explored),
        "front": len(front),
        "confirmed": sum(one["reason"] is None for one in exploration.confirmed.values()),
    }
    if json:
        rows = [{"id": found.number, "digest": found.design.digest, **found.values} for found in front]
        print_json({"output": str(output), **counts, "designs_on_front": rows})
    else:
        _print_front(plan, front)
        print(f"{counts['designs']} designs, {counts['done']} of them done, {counts['front']} on the front: {page}")


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM leaves the block as an exception does, so that whatever runs for it ends first."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _needs_tools() -> None:
    """See that designs can be confirmed, before anything is evaluated.

    Raises
    ------
    WeftError
        If a package is not installed; the message names it.
    """
    from weft_hardware.synth.tools import tool_version

    from weft.extras import needs_extra

    with needs_extra("rtl", "simulating designs of the front"):
        import amaranth  # noqa: F401
    tool_version("yosys")


def _confirm(exploration: Exploration, count: int, route: bool, seconds: float) -> None:
    """Confirm designs of the front, and say how the predictions did."""
    from weft_explore.confirm import Limits, confirm

    from .output import step_progress

    print(
        f"confirming up to {count} designs of the front, {seconds / 60:g} minutes at most; "
        "Ctrl-C leaves one out, twice all that remain",
        file=sys.stderr,
    )
    limits = Limits(exploration.plan.bounds, total=seconds)
    with step_progress() as tell:
        chosen = confirm(exploration, count, limits, route, tell)
    for found in chosen:
        known = exploration.confirmed[found.number]
        figures = [
            f"{name} {found.values[name]:g} → {value:g}" if name in found.values else f"{name} {value:g}"
            for name, value in known["values"].items()
        ]
        workloads = ", ".join(one["name"] for one in known["workloads"]) or "nothing"
        reason = f"; {known['reason']}" if known["reason"] else ""
        print(f"design {found.number}, simulated {workloads}: {', '.join(figures)}{reason}", file=sys.stderr)


def _write_page(directory: Path) -> Path:
    """The page, or the directory where there is no plotly to draw it."""
    from weft_explore.files import writable
    from weft_explore.page import write_page

    try:
        with writable(directory):
            return write_page(directory)
    except ModuleNotFoundError:
        return directory


@contextmanager
def _progress(plan: Plan) -> Iterator[Callable[[Progress], None]]:
    """A bar and the current front on a terminal, gone when the block ends."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Bar(*columns, console=console, disable=not console.is_terminal)
    if not console.is_terminal:
        yield lambda progress: None
        return
    task = bar.add_task("designs", total=None)
    with Live(bar, console=console, transient=True, refresh_per_second=4) as live:

        def tell(progress: Progress) -> None:
            screening = not progress.done and progress.screened
            total = plan.screened if screening else progress.budget
            what = "looked at by the analytic model" if screening else "designs"
            bar.update(task, completed=screening or progress.done, total=total, description=what)
            live.update(Group(bar, _table(plan, progress.front[:12], "front so far")))

        yield tell


def _table(plan: Plan, front: list[Explored], title: str) -> Any:
    """Designs with their objectives and with what they choose."""
    from rich.table import Table

    chosen = [name for name, values in plan.space.choices().items() if len(values) > 1]
    table = Table(title=title, title_justify="left", box=None)
    table.add_column("id", justify="right")
    for one in plan.objectives:
        table.add_column(one.name, justify="right")
    for name in chosen:
        table.add_column(name, justify="right", overflow="fold")
    for found in front:
        values = {**found.design.config.to_dict(), **vars(found.design.build)}
        figures = (f"{found.values[one.name]:,g}" for one in plan.objectives)
        table.add_row(str(found.number), *figures, *(str(values[name]).lower() for name in chosen))
    return table


def _print_front(plan: Plan, front: list[Explored]) -> None:
    from rich.console import Console

    Console().print(_table(plan, front, "front"))
