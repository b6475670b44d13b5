"""From the options of a verb to those of a device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from weft.devices import is_remote
from weft.errors import UsageError
from weft.extras import needs_extra

from .output import build_progress


@contextmanager
def device_options(
    device: str,
    read_latency: int,
    max_cycles: int | None,
    wave: Path | None = None,
    wave_start: int = 0,
    wave_stop: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Keyword arguments for `weft.open_device`; on tsim they show the build of the simulator, which may take a minute.

    Devices that model no time take none, so that one command line serves all of them.
    """
    if wave is not None and device != "tsim":
        raise UsageError(f"--wave shows the RTL's signals, which device {device!r} has none of; use --device tsim")
    limit: dict[str, Any] = {} if max_cycles is None else {"max_cycles": max_cycles}
    if is_remote(device):
        yield {"read_latency": read_latency, **limit}
        return
    if device not in ("tsim", "timing"):
        yield {}
        return
    with needs_extra("rtl" if device == "tsim" else "timing", f"the {device} device"):
        from weft_simulator.tsim.model import MemoryTiming, Wave
    memory = {"memory": MemoryTiming(read_latency=read_latency)}
    if device == "timing":
        yield {**memory, **limit}
        return
    if wave is not None:
        limit["wave"] = Wave(wave, wave_start, wave_stop)
    with build_progress() as progress:
        yield {**memory, "progress": progress, **limit}
