"""What a network takes on an accelerator, exactly: its programs on the timing model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import as_words
from weft_hardware.work import Work
from weft_runtime.device import Device, RunReport
from weft_runtime.module_model import AcceleratorStep, ModuleContent
from weft_runtime.parts import works
from weft_runtime.session import launch_of
from weft_simulator.timing.device import TimingDevice
from weft_simulator.tsim.model import MemoryTiming

from .energy import Accesses, count_accesses

READ_LATENCY = 50
"""Cycles until the memory answers: what ``weft profile`` takes."""

_SPARE = 1 << 16
"""Bytes of memory beside what a module takes."""


@dataclass(frozen=True)
class Measured:
    """Sums over all launches of a network."""

    cycles: int
    accesses: Accesses


@dataclass(frozen=True)
class LayerCycles:
    """One layer that the accelerator computes: ``bytes`` are those that it moves from and to DRAM."""

    name: str
    macs: int
    bytes: int
    cycles: int


def measure(content: ModuleContent, open_device: Callable[..., Device] = TimingDevice) -> Measured:
    """Count the cycles of a network's programs, as ``weft profile --device timing`` does.

    Parameters
    ----------
    open_device : callable
        Makes the device that counts, as `TimingDevice` is made. Cycles depend on no value, so tensors stay zero.
    """
    cycles, accesses = 0, Accesses()
    for _, words, report in _launches(content, open_device, by_parts=False):
        assert report.cycles is not None
        cycles += report.cycles
        accesses += count_accesses(words, content.config)
    return Measured(cycles, accesses)


def layers(content: ModuleContent) -> list[LayerCycles]:
    """The same by layers; one that takes several launches is one layer."""
    cycles, asked = [0] * len(content.layers), [Work()] * len(content.layers)
    for step, words, report in _launches(content, TimingDevice, by_parts=True):
        parts = report.parts or (report,)
        for layer, part, work in zip(step.layers, parts, works(words.tobytes(), step, content.config), strict=True):
            cycles[layer] += part.cycles or 0
            asked[layer] += work
    return [
        LayerCycles(layer.name, layer.macs, work.read_bytes + work.write_bytes, count)
        for layer, work, count in zip(content.layers, asked, cycles, strict=True)
        if count
    ]


def _launches(
    content: ModuleContent, open_device: Callable[..., Device], by_parts: bool
) -> Iterator[tuple[AcceleratorStep, np.ndarray, RunReport]]:
    """Every launch in order, where a session would have it in memory."""
    config: AcceleratorConfig = content.config
    nbytes = max(1, content.region_bytes["device"])
    memory = MemoryTiming(read_latency=READ_LATENCY)
    with open_device(config, dram_size=nbytes + _SPARE, memory=memory) as device:
        base = device.allocate(nbytes)
        steps = [step for step in content.steps if isinstance(step, AcceleratorStep)]
        for constant in content.constants:
            if constant.buffer.region == "device":
                device.write(base + constant.buffer.offset, np.frombuffer(constant.data, np.uint8))
        for step in steps:
            launch = launch_of(step, content, base)
            report = device.launch(launch if by_parts else replace(launch, parts=()))
            yield step, as_words(device.read(launch.insn_address, step.instructions.nbytes).tobytes(), config), report
