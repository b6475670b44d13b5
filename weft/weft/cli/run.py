"""``weft run``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from . import options


def run_command(
    module_file: Annotated[Path, typer.Argument(metavar="OUT.weft", help="A compiled module.", show_default=False)],
    input_file: Annotated[
        Path, typer.Option("--input", metavar="FILE.npy", help="The input tensor.", show_default=False)
    ],
    output_file: Annotated[
        Path, typer.Option("--output", metavar="FILE.npy", help="Where the output tensor goes.", show_default=False)
    ],
    device: options.Device = "functional",
    read_latency: options.ReadLatency = 0,
    max_cycles: options.MaxCycles = None,
    wave: options.Wave = None,
    wave_start: options.WaveStart = 0,
    wave_stop: options.WaveStop = None,
    benchmark: Annotated[
        int | None,
        typer.Option("--benchmark", metavar="N", min=1, help="Run N times more and measure.", show_default=False),
    ] = None,
    json: options.Json = False,
) -> None:
    """Run a compiled module on its input, or on more images than it was compiled for, group by group.

    A network of several inputs takes them from a .npz, by name; several outputs go into one.
    """
    from weft_runtime.benchmark import measure
    from weft_runtime.session import Session

    import weft

    from .arrays import read_arrays, write_arrays
    from .devices import device_options
    from .output import print_values

    module = weft.load(module_file)
    content = module.content
    inputs = read_arrays(input_file)
    with (
        device_options(device, read_latency, max_cycles, wave, wave_start, wave_stop) as settings,
        weft.open_device(device, content.config, **settings) as opened,
        Session(module, opened) as session,
    ):
        result = session.run_many(inputs)
        spreads = measure(session, inputs, benchmark) if benchmark else {}
        cycles = [layer.cycles for layer in session.last_profile if layer.cycles is not None]
    outputs = result if isinstance(result, tuple) else (result,)
    write_arrays(output_file, [tensor.name for tensor in content.outputs], outputs)
    values: dict[str, Any] = {
        "device": device,
        "output": str(output_file),
        "shapes": [list(output.shape) for output in outputs],
        "cycles_of_last_run": sum(cycles) if cycles else None,
    }
    for name, spread in spreads.items():
        values[f"{name}_milliseconds"] = asdict(spread) if json else str(spread)
    print_values(values, json)
