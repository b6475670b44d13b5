"""Tuning a network: its layers as problems, a journal of what was measured, and what the whole network gains."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft_hardware.config import AcceleratorConfig

from .devices import is_remote, open_device
from .errors import UsageError
from .extras import needs_extra
from .profile import profile_module

if TYPE_CHECKING:
    from weft_compiler.options import Schedules
    from weft_explore.tune.journal import Journal
    from weft_explore.tune.tuner import Tuning
    from weft_runtime.device import Device

MEASURING = ("timing", "tsim")
"""Devices of this machine that count cycles."""


@contextmanager
def open_tuning(
    model: bytes,
    config: AcceleratorConfig,
    records: Sequence[Path],
    *,
    device: str = "timing",
    read_latency: int = 50,
    seed: int = 0,
    batch: int = 1,
    extensions: bool = True,
    settings: Mapping[str, Any] | None = None,
) -> Iterator[tuple[Tuning[Any], Journal]]:
    """The tuning of a network's layers on a device, and the journal of its records.

    Parameters
    ----------
    model : bytes
        The ONNX file's content.
    records : sequence of Path
        The file that is appended to, and further ones that are only read.
    device : str
        One of `MEASURING`, or a server's address.
    read_latency : int
        Cycles, of the device's memory.
    batch, extensions
        As for `weft.compile`.
    settings : Mapping, optional
        Further arguments for tsim, as of `weft.open_device`.

    Raises
    ------
    WeftError
        If the model cannot be compiled, the records cannot be read or written, or the device measures nothing.
    """
    if device not in MEASURING and not is_remote(device):
        raise UsageError(
            f"device {device!r} measures no schedules; use {', '.join(MEASURING)}, or a server's address, grpc://HOST"
        )
    with needs_extra("explore", "tuning"):
        import lightgbm  # noqa: F401, the learned cost model; its absence is told before anything is measured
    with needs_extra("compiler", "tuning"):
        from weft_compiler import CompileOptions
        from weft_compiler.accel.plain import without_extensions
        from weft_explore.tune.journal import Journal
        from weft_explore.tune.network import layers_of
        from weft_explore.tune.tuner import Tuning
    with needs_extra("timing", "tuning"):
        from weft_explore.tune.conv_problem import ConvProblem
        from weft_simulator.tsim.model import MemoryTiming
    used = config if extensions else without_extensions(config)
    memory = MemoryTiming(read_latency=read_latency)
    layers = layers_of(model, config, CompileOptions(batch=batch, extensions=extensions))
    with ExitStack() as stack:
        opened: Device | None = None
        if is_remote(device):
            opened = stack.enter_context(open_device(device, config, read_latency=read_latency))
        elif device != "timing":
            opened = stack.enter_context(open_device(device, config, memory=memory, **settings or {}))
        problems = [
            ConvProblem(
                layer.task,
                used,
                memory,
                device=opened,
                name=layer.name,
                weight=len(layer.names),
                threads=os.cpu_count() or 1,
            )
            for layer in layers
        ]
        journal = stack.enter_context(
            Journal(
                records[0],
                records[1:],
                config=config.digest,
                # What follows the address says how to log in.
                device=device.partition("?")[0],
                memory={"read_latency": read_latency},
                seed=seed,
                at_once=16 if device == "timing" else 1,
            )
        )
        yield Tuning(problems, journal.measure, seed=seed), journal


def network_cycles(
    model: bytes,
    config: AcceleratorConfig,
    schedules: Schedules,
    *,
    read_latency: int = 50,
    batch: int = 1,
    extensions: bool = True,
) -> int:
    """Cycles of the whole network on the timing model, compiled with schedules.

    Layers overlap, so this is not the sum of theirs.

    Raises
    ------
    WeftError
        If a schedule cannot be used.
    """
    with needs_extra("timing", "the timing device"):
        from weft_compiler import CompileOptions, compile_model
        from weft_simulator.tsim.model import MemoryTiming
    options = CompileOptions(batch=batch, extensions=extensions, schedules=schedules)
    module = compile_model(model, config, options)
    with open_device("timing", config, memory=MemoryTiming(read_latency=read_latency)) as device:
        return profile_module(module, device).total.cycles or 0
