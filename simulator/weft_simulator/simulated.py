"""What every simulator of this machine shares: its DRAM, and how a launch's program is read from it."""

from __future__ import annotations

import numpy as np
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import Words, as_words
from weft_hardware.isa import Memory, instruction_bytes
from weft_hardware.registers import Cause, Unit
from weft_runtime.device import Bytes, Device, Launch, MemoryUse, check_launch
from weft_runtime.diagnosis import fault_message
from weft_runtime.dram import Dram
from weft_runtime.errors import DeviceError, Fault, FaultError

DRAM_SIZE = 256 << 20
"""Bytes of memory where none is chosen; the pages that a program never touches cost nothing."""


class SimulatedDevice(Device):
    """A device whose memory is a `Dram` of this process.

    Parameters
    ----------
    config : AcceleratorConfig
        The accelerator.
    dram_size : int
        Bytes of memory, from address 0, when ``dram`` is absent.
    dram : Dram, optional
        The memory itself, of any start and size.
    """

    def __init__(self, config: AcceleratorConfig, dram_size: int, dram: Dram | None) -> None:
        self.config = config
        self.dram = dram if dram is not None else Dram.zeros(dram_size)

    def allocate(self, nbytes: int) -> int:
        with self.lock:
            return self.dram.allocate(nbytes)

    def free(self, address: int) -> None:
        with self.lock:
            self.dram.free(address)

    def view(self, address: int, nbytes: int) -> Bytes:
        return self.dram.view(address, nbytes)

    def memory_use(self) -> MemoryUse:
        with self.lock:
            return self.dram.use()

    def write(self, address: int, data: Bytes) -> None:
        raw = np.ascontiguousarray(data).view(np.uint8).reshape(-1)
        self.dram.view(address, raw.size)[:] = raw

    def read(self, address: int, nbytes: int) -> Bytes:
        return self.dram.view(address, nbytes).copy()

    def program(self, launch: Launch) -> Words:
        """The checked launch's instructions, as they lie in memory now.

        Raises
        ------
        DeviceError
            If the launch is refused before it starts; see `check_launch`.
        FaultError
            If some of the instructions lie outside the memory.
        """
        check_launch(launch, self.config)
        try:
            data = self.dram.view(launch.insn_address, launch.insn_count * instruction_bytes(self.config))
        except DeviceError:
            inside = self.dram.base <= launch.insn_address
            end = self.dram.base + self.dram.data.size
            address = max(launch.insn_address, end) if inside else launch.insn_address
            fault = Fault(Cause.WINDOW, Unit.FETCH, 0, address)
            raise FaultError(fault_message(as_words(b"", self.config), self.config, fault), fault) from None
        return as_words(data.copy(), self.config)

    @property
    def memory_range(self) -> tuple[int, int]:
        """Bytes ``[begin, end)`` of the memory that the bus can address."""
        return self.dram.addressable(self.config)

    def window(self, launch: Launch, memory: Memory) -> tuple[int, int]:
        """Bytes ``[begin, end)`` where a program's LOADs and STOREs of a memory may reach."""
        return self.dram.window(launch, memory, self.config)


class TimedDevice(SimulatedDevice):
    """A simulated device that models time.

    Parameters
    ----------
    config, dram_size, dram
        See `SimulatedDevice`.
    max_cycles : int
        Cycles a launch may take.

    Raises
    ------
    DeviceError
        If that is none.
    """

    def __init__(self, config: AcceleratorConfig, dram_size: int, dram: Dram | None, max_cycles: int) -> None:
        if max_cycles < 1:
            raise DeviceError(f"max_cycles = {max_cycles} leaves no cycle to run; choose at least 1")
        super().__init__(config, dram_size, dram)
        self.max_cycles = max_cycles
