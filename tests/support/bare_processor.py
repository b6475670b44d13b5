"""A small processor that shares memory and registers with a device: QEMU's processors as a library (unicorn)."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import unicorn
from unicorn import arm_const
from weft_simulator.ports import Port

REGISTERS, DEVICE_MEMORY, DEVICE_MEMORY_BYTES = 0x4000_0000, 0x6000_0000, 1 << 20
PROGRAM, PROGRAM_BYTES, STACK_END = 0x1000_0000, 1 << 20, 0x100F_0000
MAILBOX, MAILBOX_BYTES = 0x2000_0000, 1 << 16
EXIT = 0x5000_0000
INSTRUCTIONS = 500_000_000
"""After so many the program counts as hanging."""


def segments(elf: bytes) -> list[tuple[int, bytes]]:
    """The loadable parts of a 32-bit ELF file, by address."""
    (begin,), (size, count) = struct.unpack_from("<I", elf, 28), struct.unpack_from("<HH", elf, 42)
    found = []
    for k in range(count):
        kind, offset, address, _, nbytes = struct.unpack_from("<5I", elf, begin + k * size)
        if kind == 1 and nbytes:
            found.append((address, elf[offset : offset + nbytes]))
    return found


class Processor:
    """A core, its program memory, a mailbox; the device's registers and its memory at their addresses.

    Parameters
    ----------
    core : str
        ``"riscv32"`` or ``"cortex-m4"``.
    port : Port
        The device's registers.
    memory : uint8 array
        The device's memory, page-aligned: both sides work on the same bytes.
    """

    def __init__(self, core: str, port: Port, memory: np.ndarray) -> None:
        self._port = port
        self._core = self._make(core)
        self._memory = memory
        self.result: int | None = None
        self.error: BaseException | None = None
        assert memory.size == DEVICE_MEMORY_BYTES
        assert memory.ctypes.data % 4096 == 0
        self._core.mem_map(PROGRAM, PROGRAM_BYTES)
        self._core.mem_map(MAILBOX, MAILBOX_BYTES)
        self._core.mem_map_ptr(DEVICE_MEMORY, memory.size, unicorn.UC_PROT_ALL, memory.ctypes.data)
        self._core.mmio_map(REGISTERS, 4096, self._read, None, self._write, None)
        self._core.mmio_map(EXIT, 4096, None, None, self._exit, None)

    @staticmethod
    def _make(core: str) -> unicorn.Uc:
        if core == "riscv32":
            return unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV32)
        made = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        made.ctl_set_cpu_model(arm_const.UC_CPU_ARM_CORTEX_M4)
        made.reg_write(arm_const.UC_ARM_REG_SP, STACK_END)
        return made

    def _read(self, core: unicorn.Uc, offset: int, size: int, data: object) -> int:
        try:
            assert size == 4
            return self._port.read(offset)
        except BaseException as error:  # must not pass through the processor's C code
            return self._stop(error)

    def _write(self, core: unicorn.Uc, offset: int, size: int, value: int, data: object) -> None:
        try:
            assert size == 4
            self._port.write(offset, value)
        except BaseException as error:
            self._stop(error)

    def _exit(self, core: unicorn.Uc, offset: int, size: int, value: int, data: object) -> None:
        self.result = value
        core.emu_stop()

    def _stop(self, error: BaseException) -> int:
        self.error = error
        self._core.emu_stop()
        return 0

    def run(self, program: Path) -> int:
        """Run a program to its end; returns what main returned."""
        elf = program.read_bytes()
        for address, data in segments(elf):
            self._core.mem_write(address, data)
        (entry,) = struct.unpack_from("<I", elf, 24)
        self._core.emu_start(entry, EXIT + 0x1000, count=INSTRUCTIONS)
        if self.error is not None:
            raise self.error
        assert self.result is not None, f"the program did not end in {INSTRUCTIONS} instructions"
        return self.result

    def put(self, address: int, data: bytes) -> None:
        """Write the processor's memory."""
        self._core.mem_write(address, data)

    def get(self, address: int, nbytes: int) -> bytes:
        """Read the processor's memory."""
        return bytes(self._core.mem_read(address, nbytes))
