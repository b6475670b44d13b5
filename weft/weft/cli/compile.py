"""``weft compile``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options


def compile_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="A quantised network.", show_default=False)],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="OUT.weft", help="The module to write.", show_default=False)
    ],
    config: options.Config = "vta",
    batch: Annotated[int, typer.Option("--batch", metavar="N", min=1, help="Where the model leaves it open.")] = 1,
    json: options.Json = False,
) -> None:
    """Compile a quantised ONNX network for an accelerator."""
    import time

    import weft

    from .files import read_bytes
    from .output import print_values

    accelerator = weft.load_config(config)
    data = read_bytes(model)
    begin = time.perf_counter()
    module = weft.compile(data, accelerator, batch=batch)
    seconds = time.perf_counter() - begin
    module.save(output)
    layers = module.content.layers
    values = {
        "output": str(output),
        "config": config,
        "layers": len(layers),
        "layers_on_accelerator": sum(layer.placement == "accelerator" for layer in layers),
        "macs": module.macs,
        "seconds": round(seconds, 3),
    }
    print_values(values, json)
