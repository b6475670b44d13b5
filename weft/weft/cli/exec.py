"""``weft exec``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options


def exec_command(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A raw memory image.", show_default=False)],
    image_base: Annotated[int, options.IMAGE_BASE],
    insn_addr: Annotated[int, options.INSN_ADDR],
    insn_count: Annotated[int, options.INSN_COUNT],
    device: options.Device = "functional",
    config: options.Config = "vta",
    read_latency: options.ReadLatency = 0,
    max_cycles: options.MaxCycles = None,
    wave: options.Wave = None,
    wave_start: options.WaveStart = 0,
    wave_stop: options.WaveStop = None,
    dump: Annotated[
        Path | None,
        typer.Option("--dump", metavar="FILE", help="Write the memory here and leave IMAGE alone.", show_default=False),
    ] = None,
    json: options.Json = False,
) -> None:
    """Run a raw instruction stream on a memory image, and write the image back.

    Base registers are 0, so addresses in the program are physical, as in VTA's binaries.

    The image is the only memory; an access outside it is a fault. ADDR is decimal or 0x hexadecimal.
    """
    import numpy as np
    from weft_runtime.device import activity_names

    import weft
    from weft.execute import execute

    from .devices import device_options
    from .files import read_bytes, write_atomically
    from .output import print_values

    accelerator = weft.load_config(config)
    memory = np.frombuffer(read_bytes(image), np.uint8)
    with device_options(device, read_latency, max_cycles, wave, wave_start, wave_stop) as settings:
        after, report = execute(memory, image_base, insn_addr, insn_count, device, accelerator, **settings)
    target = dump or image
    write_atomically(target, lambda file: file.write(after.tobytes()))
    values = {
        "device": device,
        "config": config,
        "image": str(target),
        "instructions": report.instructions,
        "cycles": report.cycles,
    }
    if report.activity is not None and json:
        values["activity"] = activity_names(report.activity)
    print_values(values, json)
