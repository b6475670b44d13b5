"""Servers and boards for tests of remote devices: nothing here needs a compiler or an RTL build."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from weft_hardware.config import AcceleratorConfig
from weft_hardware.presets import PRESETS
from weft_runtime.device import Bytes, Device, Launch, MemoryUse, RunReport
from weft_runtime.dram import Dram

CONFIG = PRESETS["tiny4"]


class Board(Device):
    """A device there is once, that computes nothing: a launch calls ``on_launch``, and takes 7 cycles."""

    def __init__(self, config: AcceleratorConfig = CONFIG, size: int = 1 << 20) -> None:
        self.config = config
        self.memory = Dram.zeros(size)
        self.buffers: set[int] = set()
        self.launches: list[Launch] = []
        self.on_launch: Callable[[Launch], None] = lambda launch: None
        self.closed = False

    def allocate(self, nbytes: int) -> int:
        address = self.memory.allocate(nbytes)
        self.buffers.add(address)
        return address

    def free(self, address: int) -> None:
        self.memory.free(address)
        self.buffers.remove(address)

    def write(self, address: int, data: Bytes) -> None:
        self.memory.view(address, data.size)[:] = data

    def read(self, address: int, nbytes: int) -> Bytes:
        return self.memory.view(address, nbytes).copy()

    def memory_use(self) -> MemoryUse:
        return MemoryUse(self.memory.data.size, 64 * len(self.buffers), 1, len(self.buffers))

    def launch(self, launch: Launch) -> RunReport:
        self.launches.append(launch)
        self.on_launch(launch)
        return RunReport(cycles=7, instructions=launch.insn_count)

    def close(self) -> None:
        self.closed = True


@dataclass
class Gate:
    """A launch that is held until the test opens the gate."""

    def __post_init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self, launch: Launch) -> None:
        self.entered.set()
        assert self.opened.wait(20)


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether a condition becomes true in time: what the other side of a connection does, it does a little later."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return condition()


def program(config: AcceleratorConfig = CONFIG) -> Bytes:
    """One FINISH."""
    from weft_hardware.encoding import encode
    from weft_hardware.isa import Finish

    return np.frombuffer(encode([Finish()], config).tobytes(), np.uint8)
