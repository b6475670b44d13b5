"""The one interface that simulators, boards and remote devices implement; host code never knows which it drives."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import BASE_ALIGNMENT, AcceleratorConfig
from weft_hardware.isa import Memory, Queue, instruction_bytes
from weft_hardware.registers import Activity

from .errors import DeviceError

if TYPE_CHECKING:
    from typing_extensions import Self

Bytes = NDArray[np.uint8]

ActivityCycles = Mapping[Queue, Mapping[Activity, int]]
"""Cycles that each module spent on what."""


def add_activities(activities: Iterable[ActivityCycles]) -> dict[Queue, dict[Activity, int]]:
    """Their sum, with every module and every activity in it."""
    total = {module: dict.fromkeys(Activity, 0) for module in Queue}
    for activity in activities:
        for module, counts in activity.items():
            for what, cycles in counts.items():
                total[module][what] += cycles
    return total


def activity_names(activity: ActivityCycles) -> dict[str, dict[str, int]]:
    """Modules and activities by their lower-case names, ready for JSON."""
    return {
        module.name.lower(): {what.name.lower(): cycles for what, cycles in counts.items()}
        for module, counts in activity.items()
    }


@dataclass(frozen=True)
class Launch:
    """One program in the device's memory.

    Parameters
    ----------
    insn_address : int
        Byte address of the first instruction, a multiple of the instruction's size.
    insn_count : int
        Instructions to fetch.
    bases : Mapping[Memory, int]
        Base register of each memory, in bytes, multiples of 64; absent ones are 0.
    windows : Mapping[Memory, tuple[int, int]]
        Bytes ``[begin, end)`` where the program's LOADs and STOREs of a memory may reach; absent ones may reach all of
        the device's memory. A block that is not wholly inside is a fault, before anything of it is read or written.
    parts : tuple of (int, int, int)
        Of a program of several layers each one's instructions in the load, the compute and the store queue, for
        devices that report them one by one; it changes nothing else.
    """

    insn_address: int
    insn_count: int
    bases: Mapping[Memory, int] = field(default_factory=dict)
    windows: Mapping[Memory, tuple[int, int]] = field(default_factory=dict)
    parts: tuple[tuple[int, int, int], ...] = ()


def window_of(launch: Launch, memory: Memory, memory_range: tuple[int, int]) -> tuple[int, int]:
    """Bytes ``[begin, end)`` where a program may reach with one of its memories, on a device of this memory."""
    low, high = memory_range
    begin, end = launch.windows.get(memory, memory_range)
    return max(begin, low), min(end, high)


@dataclass(frozen=True)
class Timeline:
    """When what happened in one launch, in cycles from its beginning.

    Parameters
    ----------
    program : uint64 array (n, words)
        The instructions.
    issued, retired : int64 array (n,)
        When each left its command queue with its tokens, and when it pushed its own.
    traffic : int64 array (spans, 2)
        Beats read and written on the memory port in each span.
    span : int
        Cycles of one.
    """

    program: NDArray[np.uint64]
    issued: NDArray[np.int64]
    retired: NDArray[np.int64]
    traffic: NDArray[np.int64]
    span: int


@dataclass(frozen=True)
class RunReport:
    """What one launch took.

    ``cycles``, and ``activity``, which tells for each module how many of them it spent on what, are None on a device
    that does not model time. The cycles of a module's activities add up to ``cycles``. ``timeline`` is there where it
    was asked for. ``parts`` are the launch's parts, if it has several and the device can tell them apart; they add up
    to the whole.
    """

    cycles: int | None
    instructions: int
    activity: ActivityCycles | None = None
    timeline: Timeline | None = None
    parts: tuple[RunReport, ...] = ()


def check_launch(launch: Launch, config: AcceleratorConfig) -> None:
    """Refuse what the accelerator's registers cannot hold; every device calls it before it starts.

    Raises
    ------
    DeviceError
        If the count is outside 1..2³² − 1, an address is misaligned or does not fit the bus.
    """
    size = instruction_bytes(config)
    limit = 1 << config.axi_addr_bits
    if not 1 <= launch.insn_count < 1 << 32:
        raise DeviceError(
            f"insn_count = {launch.insn_count} is outside 1..{(1 << 32) - 1}; launch a program that ends with FINISH"
        )
    if launch.insn_address % size:
        raise DeviceError(
            f"insn_address = {launch.insn_address:#x} is not a multiple of {size}, the bytes of an instruction; "
            "move the program"
        )
    if not 0 <= launch.insn_address <= limit - launch.insn_count * size:
        raise DeviceError(
            f"insn_address = {launch.insn_address:#x} puts {launch.insn_count} instructions outside the "
            f"{config.axi_addr_bits}-bit address space; move the program"
        )
    for memory, base in launch.bases.items():
        name = f"bases[{Memory(memory).name}]"
        if base % BASE_ALIGNMENT:
            raise DeviceError(f"{name} = {base:#x} is not a multiple of {BASE_ALIGNMENT} bytes; align the buffer")
        if not 0 <= base < limit:
            raise DeviceError(
                f"{name} = {base:#x} is outside the {config.axi_addr_bits}-bit address space; move the buffer"
            )


@dataclass(frozen=True)
class MemoryUse:
    """A device's memory as its allocator counts it, in bytes.

    ``used`` counts whole allocations, rounded up to their alignment, ``largest_free`` is what `Device.allocate` could
    give at most, ``buffers`` the allocations.
    """

    total: int
    used: int
    largest_free: int
    buffers: int


class Device(ABC):
    """An accelerator with its memory.

    A launch starts with empty token queues; scratchpads keep what the launch before left in them.

    Attributes
    ----------
    lock : threading.RLock
        Whoever shares a device among threads holds it for a launch with its transfers, and around `allocate` and
        `free`, as sessions do.
    """

    config: AcceleratorConfig
    lock: threading.RLock

    def __new__(cls, *arguments: object, **options: object) -> Self:
        device = super().__new__(cls)
        device.lock = threading.RLock()
        return device

    @abstractmethod
    def allocate(self, nbytes: int) -> int:
        """Reserve device memory; returns its byte address, a multiple of 64.

        Raises
        ------
        DeviceError
            If the memory is exhausted.
        """

    @abstractmethod
    def free(self, address: int) -> None:
        """Give back what `allocate` returned."""

    @abstractmethod
    def write(self, address: int, data: Bytes) -> None:
        """Copy bytes into device memory."""

    @abstractmethod
    def read(self, address: int, nbytes: int) -> Bytes:
        """Copy bytes out of device memory."""

    def view(self, address: int, nbytes: int) -> Bytes | None:
        """The bytes at an address as memory of this process that the device works on, where there is such memory.

        What is written there needs no `write`, and what a launch wrote there no `read`; None where both are needed.
        """
        return None

    def memory_use(self) -> MemoryUse | None:
        """What of the memory is taken; None where the device does not say."""
        return None

    @abstractmethod
    def launch(self, launch: Launch) -> RunReport:
        """Run one program to its end.

        Raises
        ------
        FaultError, DeadlockError, TokenError
            If the program cannot complete. The device is usable again afterwards.
        """

    def close(self) -> None:  # noqa: B027, most devices have nothing to release
        """Release the device."""

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
