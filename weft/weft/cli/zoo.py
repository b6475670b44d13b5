"""``weft zoo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options


def zoo_command(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A network; all are listed without it.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="OUT.onnx", help="The model to write.")
    ] = None,
    size: Annotated[int | None, typer.Option("--size", metavar="N", min=1, help="Another size of the input.")] = None,
    activations: Annotated[str, typer.Option("--activations", metavar="uint8|int8", help="Their type.")] = "uint8",
    per_tensor: Annotated[bool, typer.Option("--per-tensor", help="One weight scale a tensor, not a channel.")] = False,
    qoperator: Annotated[bool, typer.Option("--qoperator", help="Quantised operators instead of QDQ.")] = False,
    bytes_in: Annotated[bool, typer.Option("--bytes-in", help="The input is quantised already.")] = False,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Of weights and calibration.")] = 0,
    json: options.Json = False,
) -> None:
    """Build a quantised network with random weights: ResNet, MobileNet, U-Net, BERT …"""
    from weft.errors import UsageError
    from weft.zoo import NETWORKS, network

    from .files import write_atomically
    from .output import print_json, print_values

    if name is None:
        if json:
            print_json({key: {"size": entry.size, "summary": entry.summary} for key, entry in NETWORKS.items()})
            return
        for key, entry in NETWORKS.items():
            print(f"{key:14}  {entry.size:4}  {entry.summary}")
        return
    if output is None:
        raise UsageError(f"weft zoo {name} has no output; name a file: -o {name}.onnx")
    model = network(
        name,
        size=size,
        activations=activations,
        per_channel=not per_tensor,
        qdq=not qoperator,
        bytes_in=bytes_in,
        seed=seed,
    )
    write_atomically(output, lambda file: file.write(model))
    print_values({"output": str(output), "network": name, "bytes": len(model)}, json)
