"""``weft link``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options


def link_command(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Of the socket to make.", show_default=False)],
    device: Annotated[str, typer.Option("--device", metavar="functional|tsim", help="What is served.")] = "functional",
    config: options.Config = "vta",
    memory: Annotated[int, typer.Option("--memory", metavar="MIB", min=1, help="The device's memory.")] = 64,
    read_latency: options.ReadLatency = 0,
) -> None:
    """Serve a simulator to programs in C and other languages, as device sim:PATH, until Ctrl-C."""
    import signal
    import threading

    from weft_simulator.link import LinkServer

    import weft
    from weft.errors import UsageError

    from .devices import device_options

    if device not in ("functional", "tsim"):
        raise UsageError(f"device {device!r} cannot be served over a link; choose functional or tsim")
    chosen = weft.load_config(config)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with (
        device_options(device, read_latency, None) as settings,
        LinkServer(path, lambda dram: weft.open_device(device, chosen, dram=dram, **settings), memory << 20),
    ):
        print(f"device {device} is served as sim:{path}; stop with Ctrl-C", flush=True)
        stop.wait()
