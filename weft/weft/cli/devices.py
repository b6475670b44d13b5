"""From the options of a verb to those of a device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from weft.errors import UsageError
from weft.extras import needs_extra

from .output import build_progress


@contextmanager
def device_options(device: str, read_latency: int | None, max_cycles: int | None) -> Iterator[dict[str, Any]]:
    """Keyword arguments for `weft.open_device`; on tsim they show the build of the simulator, which may take a minute.

    Raises
    ------
    UsageError
        If an option of tsim is given with another device.
    """
    if device != "tsim":
        for name, value in (("read-latency", read_latency), ("max-cycles", max_cycles)):
            if value is not None:
                raise UsageError(f"{name} = {value} has no meaning on device {device!r}; use --device tsim")
        yield {}
        return
    with needs_extra("rtl", "the tsim device"):
        from weft_simulator.tsim.model import MemoryTiming
    limit = {} if max_cycles is None else {"max_cycles": max_cycles}
    with build_progress() as progress:
        yield {"memory": MemoryTiming(read_latency=read_latency or 0), "progress": progress, **limit}
