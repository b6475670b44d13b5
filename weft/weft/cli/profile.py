"""``weft profile``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options

if TYPE_CHECKING:
    from weft_hardware.config import AcceleratorConfig

    from weft.profile import Profile, Row


def profile_command(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A model (.onnx), a compiled module (.weft) or a raw memory image.", show_default=False
        ),
    ],
    device: Annotated[
        str,
        typer.Option("--device", metavar="tsim|timing|grpc://HOST", help="What executes it, or predicts its cycles."),
    ] = "tsim",
    config: options.Config = "vta",
    input_file: Annotated[
        Path | None,
        typer.Option("--input", metavar="FILE.npy", help="Of a network; zeros without.", show_default=False),
    ] = None,
    image_base: Annotated[int | None, options.IMAGE_BASE] = None,
    insn_addr: Annotated[int | None, options.INSN_ADDR] = None,
    insn_count: Annotated[int | None, options.INSN_COUNT] = None,
    read_latency: options.ReadLatency = 50,
    max_cycles: options.MaxCycles = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="A row a layer.", show_default=False)
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="One page with the roofline and bars.", show_default=False),
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option("--trace", metavar="FILE.json", help="timing: a timeline for Perfetto.", show_default=False),
    ] = None,
    json: options.Json = False,
) -> None:
    """Say where the cycles go: by layer and module, busy or waiting for what, and which resource bounds each layer.

    Every module's cycles add up to the total exactly. *compute*, *reads*, *writes* and *epilogue* are the shares of the
    cycles in which that resource must have worked; the largest bounds the layer, if it is half at least.
    """
    from json import dumps

    from weft.errors import UsageError
    from weft.profile import models_no_time
    from weft.profile_page import render, require_plotly

    from .files import write_atomically
    from .output import print_json

    if device == "functional":
        raise models_no_time()  # before anything is compiled or run
    if trace is not None and device != "timing":
        raise UsageError(
            f"--trace needs the moments of each instruction, which {device} does not tell; "
            "use --device timing, whose cycles are the same"
        )
    if html is not None:
        require_plotly()
    tracing = {} if trace is None else {"trace": True}
    place = (image_base, insn_addr, insn_count)
    if file.suffix in (".onnx", ".weft"):
        if place != (None, None, None):
            raise UsageError(
                f"{file} is a network, which has no place in memory; "
                "leave out --image-base, --insn-addr and --insn-count"
            )
        result = _profile_network(file, input_file, device, config, read_latency, max_cycles, tracing)
    else:
        if None in place:
            raise UsageError(f"{file} is a raw image; give --image-base, --insn-addr and --insn-count")
        if input_file is not None:
            raise UsageError(f"{file} is a raw image, which takes no --input; put the data into the image")
        result = _profile_image(file, place, device, config, read_latency, max_cycles, tracing)
    title = f"{file.name} on {device}"
    if html is not None:
        page = render(result, title).encode()
        write_atomically(html, lambda out: out.write(page))
    if trace is not None:
        from weft.trace import trace_events

        events = dumps(trace_events(result.launches, result.config)).encode()
        write_atomically(trace, lambda out: out.write(events))
    if csv is not None:
        table = _csv(result).encode()
        write_atomically(csv, lambda out: out.write(table))
    if json:
        print_json({"file": str(file), "device": device, "read_latency": read_latency, **result.to_dict()})
    else:
        _print_table(result, title)


def _profile_network(
    file: Path,
    input_file: Path | None,
    device: str,
    config: str,
    read_latency: int,
    max_cycles: int | None,
    tracing: dict[str, Any],
) -> Profile:
    import weft
    from weft.profile import profile_module

    from .arrays import read_arrays
    from .devices import device_options
    from .output import build_progress

    if file.suffix == ".onnx":
        with build_progress() as progress:
            module = weft.compile(file, config, cache=True, progress=lambda _, *counts: progress("compile", *counts))
    else:
        module = weft.load(file)
    inputs = None if input_file is None else read_arrays(input_file)
    with (
        device_options(device, read_latency, max_cycles) as settings,
        weft.open_device(device, module.content.config, **settings, **tracing) as opened,
    ):
        return profile_module(module, opened, inputs)


def _profile_image(
    file: Path,
    place: tuple[Any, ...],
    device: str,
    config: str,
    read_latency: int,
    max_cycles: int | None,
    tracing: dict[str, Any],
) -> Profile:
    import numpy as np
    from weft_hardware.isa import instruction_bytes

    import weft
    from weft.execute import execute
    from weft.profile import profile_program

    from .devices import device_options
    from .files import read_bytes

    accelerator: AcceleratorConfig = weft.load_config(config)
    memory = np.frombuffer(read_bytes(file), np.uint8)
    base, address, count = place
    with device_options(device, read_latency, max_cycles) as settings:
        _, report = execute(memory, base, address, count, device, accelerator, **settings, **tracing)
    stream = memory[address - base :][: count * instruction_bytes(accelerator)]
    return profile_program(file.name, stream.tobytes(), report, accelerator)


def _csv(profile: Profile) -> str:
    import csv
    import io

    rows = [_flat(row.to_dict(profile.config)) for row in (*profile.rows, profile.total)]
    names = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    """``activity`` as a column for each module and activity."""
    activity = values.pop("activity", {})
    columns = {f"{module}_{what}": cycles for module, counts in activity.items() for what, cycles in counts.items()}
    return values | columns


def _print_table(profile: Profile, title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    config = profile.config
    console = Console()
    if not console.is_terminal and console.width < 100:
        console = Console(width=120)  # a file or a pipe has no width of its own
    console.print(f"\n{title}: {config.macs} MACs and {config.axi_bytes} bytes a cycle at most\n", highlight=False)
    table = Table("layer", box=None)
    for heading in ("MACs", "cycles", "MACs/cycle", "MACs/byte", "compute", "reads", "writes", "epilogue"):
        table.add_column(heading, justify="right")
    table.add_column("bound by")
    for row in (*profile.rows, profile.total):
        table.add_row(*_cells(row, config))
    console.print(table)
    if profile.total.activity is None:
        return
    modules = Table("cycles of", box=None)
    from weft_hardware.registers import Activity

    for activity in Activity:
        modules.add_column(activity.name.lower(), justify="right")
    modules.add_column("total", justify="right")
    for module, counts in profile.total.activity.items():
        cells = (f"{counts[activity]:,}" for activity in Activity)
        modules.add_row(module.name.lower(), *cells, f"{sum(counts.values()):,}")
    console.print()
    console.print(modules)


def _cells(row: Row, config: AcceleratorConfig) -> list[str]:
    if row.cycles is None:
        return [row.name, f"{row.macs:,}" if row.macs else "", *[""] * 7, row.placement]
    shares = row.shares(config)
    return [
        row.name,
        f"{row.macs:,}",
        f"{row.cycles:,}",
        f"{row.macs / row.cycles:.1f}",
        f"{row.intensity():.1f}",
        *(f"{100 * shares[name]:.1f} %" for name in ("compute", "reads", "writes", "epilogue")),
        row.bound(config),
    ]
