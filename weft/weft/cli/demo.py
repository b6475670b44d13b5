"""``weft demo``."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options


def demo_command(
    rtl_images: Annotated[int, typer.Option("--rtl-images", metavar="N", min=0, help="Images on the RTL.")] = 20,
    config: options.Config = "vta",
    json: options.Json = False,
) -> None:
    """Read handwritten digits: ONNX file to the same bytes as onnxruntime, on both simulators."""
