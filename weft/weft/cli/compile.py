"""``weft compile``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options

if TYPE_CHECKING:
    from weft_compiler.options import Scheduled
    from weft_compiler.placement import Placement
    from weft_compiler.records import Record
    from weft_hardware.config import AcceleratorConfig
    from weft_runtime.module import Module


def compile_command(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL.onnx|IR.mlir", help="A quantised network, or a module of IR.", show_default=False
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="OUT.weft", help="The module to write.")
    ] = None,
    report: Annotated[
        bool, typer.Option("--report", help="First say of every node where it will run and why.")
    ] = False,
    full_report: Annotated[
        bool, typer.Option("--full-report", help="The same, with the nodes of which nothing is left.")
    ] = False,
    config: options.Config = "vta",
    batch: Annotated[int, typer.Option("--batch", metavar="N", min=1, help="Where the model leaves it open.")] = 1,
    cache: options.Cache = True,
    dump_ir: Annotated[
        Path | None,
        typer.Option("--dump-ir", metavar="DIR", help="Write every level of the compilation here.", show_default=False),
    ] = None,
    host_target: Annotated[
        list[str] | None,
        typer.Option(
            "--host-target",
            metavar="CPU",
            help="Carry host code for this CPU; give it once for each.",
            show_default="x86_64",
        ),
    ] = None,
    link: Annotated[
        bool | None,
        typer.Option(
            "--link/--no-link",
            help="Carry the host code as libraries, too: a board loads them without LLVM.",
            show_default="as --host-target is given",
        ),
    ] = None,
    overlap: Annotated[
        bool, typer.Option("--overlap/--no-overlap", help="Let a layer load while the one before drains.")
    ] = True,
    extensions: Annotated[
        bool,
        typer.Option("--extensions/--no-extensions", help="Use more than the base instruction set."),
    ] = True,
    records: Annotated[
        list[Path] | None,
        typer.Option(
            "--records",
            metavar="FILE.jsonl",
            help="Take the best schedules that `weft tune` recorded; give it once for each file.",
            show_default=False,
        ),
    ] = None,
    measured_on: Annotated[
        str | None,
        typer.Option("--measured-on", metavar="DEVICE", help="Whose records count where several devices have some."),
    ] = None,
    raw: Annotated[
        Path | None,
        typer.Option("--raw", metavar="DIR", help="Write memory image and addresses here, too.", show_default=False),
    ] = None,
    json: options.Json = False,
) -> None:
    """Compile a quantised ONNX network, or a module of IR, for an accelerator."""
    import time

    from weft_compiler import HOST_TARGETS, CompileOptions
    from weft_compiler.records import ranked_schedules

    import weft
    from weft.compile_cache import Place, kept_file
    from weft.errors import UsageError

    from .files import read_bytes
    from .output import print_json, print_values

    report |= full_report
    if output is None and not report:
        raise UsageError("weft compile has no output; name a file: -o OUT.weft, or see the placement alone: --report")
    accelerator = weft.load_config(config)
    source = model if model.suffix == ".mlir" else read_bytes(model)
    if report and not isinstance(source, bytes):
        raise UsageError(f"--report takes an .onnx file, {model} is IR; see it by weft opt --passes inline,place")
    placed = weft.placement(source, accelerator, batch=batch, extensions=extensions) if report else None
    if placed is not None and not json:
        _print_placement(placed, full_report)
    if output is None:
        if json and placed is not None:
            print_json({"placement": [asdict(row) for row in placed]})
        return
    if measured_on is not None and not records:
        raise UsageError(f"--measured-on {measured_on} chooses among records; give some: --records FILE.jsonl")
    ranked = _ranked(records, accelerator, measured_on) if records else {}
    scheduled: list[Scheduled] = []
    shaping = {
        "batch": batch,
        "host_targets": host_target or HOST_TARGETS,
        "overlap": overlap,
        "extensions": extensions,
        "schedules": ranked_schedules(ranked),
    }
    link = bool(host_target) if link is None else link
    place = None
    begin = time.perf_counter()
    # What becomes of records is known to a compilation alone.
    if cache and dump_ir is None and isinstance(source, bytes) and not records:
        place = Place(source, accelerator, CompileOptions(**shaping).key, link)

    def compiled() -> Module:
        from .output import build_progress

        with build_progress() as progress:
            return weft.compile(
                source,
                accelerator,
                dump=dump_ir,
                link=link,
                scheduled=scheduled.append,
                progress=lambda _, *counts: progress("compile", *counts),
                **shaping,
            )

    made = kept_file(place, compiled)
    seconds = time.perf_counter() - begin
    made.save(output)
    if raw is not None:
        from weft.raw_image import write_raw

        write_raw(made.module(), raw)
    values = {
        "output": str(output),
        "config": config,
        "layers": len(made.layers),
        "layers_on_accelerator": sum(layer["placement"] == "accelerator" for layer in made.layers),
        "macs": sum(layer["macs"] for layer in made.layers),
        "seconds": round(seconds, 3),
    }
    if records:
        values |= _tuned(scheduled, ranked)
    if placed is not None and json:
        print_json({"placement": [asdict(row) for row in placed], **values})
    else:
        print_values(values, json)


def _ranked(files: Sequence[Path], config: AcceleratorConfig, device: str | None) -> dict[str, list[Record]]:
    """The records of each layer, the fastest first; lines that are no records are named on stderr."""
    from weft.extras import needs_extra

    with needs_extra("compiler", "compiling a network"):
        from weft_compiler.records import describe_damage, read_records
    records = read_records(files)
    for sentence in describe_damage(records.damage):
        print(f"weft: {sentence}", file=sys.stderr)
    ranked = records.ranked(config.digest, device)
    if not ranked:
        print(
            f"weft: no record of {', '.join(map(str, files))} is of this configuration; "
            "every layer has the compiler's own schedule; run `weft tune` with the same --config",
            file=sys.stderr,
        )
    return ranked


def _tuned(scheduled: Sequence[Scheduled], ranked: Mapping[str, Sequence[Record]]) -> dict[str, int]:
    """How many layers have a choice of schedules, and how many one from records; those that misfit go to stderr."""
    layers = {layer.layer: layer for layer in reversed(scheduled)}
    for digest, layer in reversed(layers.items()):
        if not layer.refused:
            continue
        record, more = ranked[digest][0], len(layer.refused) - 1
        instead = "the compiler's own schedule" if layer.chosen is None else "the next best record that fits"
        print(
            f"weft: layer {layer.name}: the record of {record.cycles} cycles of {record.time} cannot be used"
            + (f", nor {more} more" if more else "")
            + f": {layer.refused[0]}; the layer has {instead}; tune it anew",
            file=sys.stderr,
        )
    return {"layers_tunable": len(layers), "layers_tuned": sum(layer.chosen is not None for layer in layers.values())}


def _print_placement(rows: Sequence[Placement], full: bool) -> None:
    """A table of nodes, and how much of the work is where; those of which nothing is left are counted by operator."""
    from collections import Counter

    from rich.console import Console
    from rich.table import Table

    table = Table(box=None)
    for title in ("node", "operator", "where"):
        table.add_column(title, overflow="fold")
    table.add_column("MACs", justify="right")
    table.add_column("why", overflow="fold")
    shown = [row for row in rows if full or row.where != "folded"]
    for row in shown:
        table.add_row(row.node, row.op, row.where, f"{row.macs:,}" if row.macs else "", row.reason)
    console = Console()
    console.print(table)
    if len(shown) < len(rows):
        folded = Counter(row.op for row in rows if row.where == "folded")
        console.print("folded:", ", ".join(f"{count} {op}" for op, count in folded.most_common()))
    macs = sum(row.macs for row in rows)
    there = sum(row.macs for row in rows if row.where == "accelerator")
    share = 100 * there / macs if macs else 0.0
    counts = {where: sum(row.where == where for row in rows) for where in ("accelerator", "host", "folded")}
    console.print(
        f"{counts['accelerator']} nodes on the accelerator with {share:.1f} % of {macs:,} MACs, "
        f"{counts['host']} on the host, {counts['folded']} folded"
    )
