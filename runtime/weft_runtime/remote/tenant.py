"""One client's use of a device: what it allocated, and on a shared device nothing else within its reach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import Words, as_words
from weft_hardware.isa import Memory, Queue, instruction_bytes

from ..device import Bytes, Device, Launch, MemoryUse, RunReport, check_launch
from ..diagnosis import command_queues
from ..errors import DeviceError
from .errors import RemoteError
from .limits import Limits, check_length

MAX_BUFFERS = 65_536
"""Buffers that one client may hold."""


class Tenant:
    """The calls of one lease, on its device.

    Parameters
    ----------
    device : Device
    limits : Limits
    shared : bool
        Whether others' buffers lie in the same memory: then reads, writes, programs and windows must lie inside
        buffers of this tenant, and these begin as zeros.
    make_room : callable
        Frees what the server itself keeps on the device; called when an allocation does not fit.
    """

    def __init__(self, device: Device, limits: Limits, shared: bool, make_room: Callable[[], bool]) -> None:
        self._device = device
        self._limits = limits
        self._shared = shared
        self._make_room = make_room
        self._buffers: dict[int, int] = {}

    @property
    def buffers(self) -> int:
        """How many it holds."""
        return len(self._buffers)

    def allocate(self, nbytes: int) -> int:
        """As `Device.allocate`."""
        if len(self._buffers) >= MAX_BUFFERS:
            raise RemoteError(
                f"the lease has {MAX_BUFFERS} buffers, more a client does not get; free some", "RESOURCE_EXHAUSTED"
            )
        held = sum(self._buffers.values()) if self._shared else 0
        if held + nbytes > self._limits.memory_bytes:
            raise RemoteError(
                f"allocation of {nbytes} bytes beside {held} is more than the server's {self._limits.memory_bytes} "
                "for a client; free buffers",
                "RESOURCE_EXHAUSTED",
            )
        address = self._place(nbytes)
        self._buffers[address] = max(nbytes, 1)
        if self._shared:
            self._clear(address, nbytes)
        return address

    def free(self, address: int) -> None:
        """As `Device.free`."""
        if address not in self._buffers:
            raise DeviceError(f"DRAM address {address:#x} is not allocated; free each buffer once, at its start")
        self._device.free(address)
        del self._buffers[address]

    def write(self, address: int, data: bytes) -> None:
        """As `Device.write`."""
        self._check_inside("write", address, len(data))
        self._device.write(address, np.frombuffer(data, np.uint8))

    def read(self, address: int, nbytes: int) -> Bytes:
        """As `Device.read`."""
        if nbytes > self._limits.chunk_bytes:
            raise RemoteError(
                f"read of {nbytes} bytes is more than the server's {self._limits.chunk_bytes} at a time; "
                "read in pieces",
                "RESOURCE_EXHAUSTED",
            )
        self._check_inside("read", address, nbytes)
        return self._device.read(address, nbytes)

    def launch(self, launch: Launch) -> RunReport:
        """As `Device.launch`, of a program that neither leaves the tenant's memory nor takes too long."""
        config = self._device.config
        check_launch(launch, config)
        nbytes = launch.insn_count * instruction_bytes(config)
        self._check_inside("program", launch.insn_address, nbytes)
        try:
            program = self._device.read(launch.insn_address, nbytes)
        except DeviceError:
            pass  # not in the memory: the launch itself says so
        else:
            words = as_words(program, config)
            check_length(words, config, self._limits)
            _check_parts(launch, words, config)
        return self._device.launch(self._confined(launch) if self._shared else launch)

    def memory_use(self) -> MemoryUse | None:
        """As `Device.memory_use`."""
        return self._device.memory_use()

    def clear(self) -> None:
        """Free everything, as far as the device lets us."""
        failure = None
        for address in list(self._buffers):
            try:
                self._device.free(address)
            except Exception as error:
                failure = error
        self._buffers.clear()
        if failure is not None:
            raise failure

    def _place(self, nbytes: int) -> int:
        while True:
            try:
                return self._device.allocate(nbytes)
            except DeviceError:
                if not self._make_room():
                    raise

    def _clear(self, address: int, nbytes: int) -> None:
        zeros = np.zeros(min(nbytes, self._limits.chunk_bytes), np.uint8)
        for begin in range(0, nbytes, zeros.size or 1):
            self._device.write(address + begin, zeros[: nbytes - begin])

    def _check_inside(self, what: str, address: int, nbytes: int) -> None:
        if self._shared and not self._holds(address, address + nbytes):
            raise RemoteError(
                f"{what} of {nbytes} bytes at {address:#x} is not inside one of the lease's buffers; "
                "allocate the memory, or correct the address"
            )

    def _holds(self, begin: int, end: int) -> bool:
        return any(first <= begin and end <= first + size for first, size in self._buffers.items())

    def _confined(self, launch: Launch) -> Launch:
        """The launch with a window of its own buffers for every memory."""
        windows = {}
        for memory in Memory:
            window = launch.windows.get(memory)
            if window is None:
                window = self._only_buffer(memory)
            elif window[0] < window[1] and not self._holds(*window):
                raise RemoteError(
                    f"windows[{memory.name}] = {window[0]:#x}..{window[1]:#x} is not inside one of the lease's "
                    "buffers; narrow it"
                )
            windows[memory] = window
        return replace(launch, windows=windows)

    def _only_buffer(self, memory: Memory) -> tuple[int, int]:
        if len(self._buffers) != 1:
            raise RemoteError(
                f"windows[{memory.name}] is absent and the lease has {len(self._buffers)} buffers in memory that "
                "others share; give every memory a window inside one buffer"
            )
        ((begin, size),) = self._buffers.items()
        return begin, begin + size


def _check_parts(launch: Launch, program: Words, config: AcceleratorConfig) -> None:
    """Refuse parts that are not those of the program: devices take them at their word."""
    if not launch.parts:
        return
    there = np.bincount(command_queues(program, config), minlength=len(Queue)).tolist()
    given = [sum(part[queue] for part in launch.parts) for queue in Queue]
    if given != there:
        raise RemoteError(
            f"parts have {given} instructions in the load, compute and store queue, the program has {there}; "
            "correct the parts"
        )
