"""A device's registers as a driver of the hardware sees them: of the RTL itself, or played for any other device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol, runtime_checkable

from weft_hardware.isa import Memory
from weft_hardware.registers import (
    BY_NAME,
    IDENTITY_VALUE,
    REGISTERS,
    Access,
    Cause,
    Control,
    Interrupt,
    Status,
    Unit,
)
from weft_runtime.device import Device, Launch
from weft_runtime.errors import DeadlockError, Fault, FaultError, TokenError

WAIT_CYCLES = 200_000
"""Cycles of the RTL that pass, at most, while a driver waits."""


class Port(ABC):
    """32-bit registers at byte offsets; time passes in `wait`, and as far as the device likes in every access."""

    @abstractmethod
    def read(self, offset: int) -> int:
        """Read a register."""

    @abstractmethod
    def write(self, offset: int, value: int) -> None:
        """Write a register."""

    @abstractmethod
    def wait(self) -> None:
        """Let the device run, until its program ends or for a while."""

    def release(self) -> None:
        """End whatever a driver that is gone has begun."""
        status = BY_NAME["STATUS"].offset
        self.write(BY_NAME["CONTROL"].offset, Control.RESET)
        while Status.RESETTING in Status(self.read(status)):
            self.wait()


@runtime_checkable
class HasRegisters(Protocol):
    """A device that really has registers; see `tsim.device.TsimDevice`."""

    def read_register(self, offset: int) -> int: ...

    def write_register(self, offset: int, value: int) -> None: ...

    def pass_time(self, cycles: int) -> None: ...


def port_of(device: Device) -> Port:
    """The registers of a device."""
    return RtlPort(device) if isinstance(device, HasRegisters) else PlayedPort(device)


class RtlPort(Port):
    """The RTL's own registers, over AXI4-Lite."""

    def __init__(self, device: HasRegisters) -> None:
        self._device = device

    def read(self, offset: int) -> int:
        return self._device.read_register(offset)

    def write(self, offset: int, value: int) -> None:
        self._device.write_register(offset, value)

    def wait(self) -> None:
        self._device.pass_time(WAIT_CYCLES)


class PlayedPort(Port):
    """Registers in front of a device that has none: START launches, and the program is done when it returns.

    Counters read 0, and so do the states of modules. Where a program ends with tokens that nobody took, the first
    queue shows one, whichever it was.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._values = {register.offset: 0 for register in REGISTERS}
        self._set("IDENTITY", IDENTITY_VALUE)
        self._set("CONFIG_DIGEST", int(device.config.digest[:8], 16))
        for row in (*(memory.name for memory in Memory), "INSN"):
            self._set(f"{row}_LAST_LO", 0xFFFFFFFF)
            self._set(f"{row}_LAST_HI", 0xFFFFFFFF)
        self._writable = {register.offset for register in REGISTERS if register.access is Access.WRITE}

    def read(self, offset: int) -> int:
        return self._values.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        if offset == BY_NAME["CONTROL"].offset:
            self._control(Control(value & (Control.START | Control.RESET)))
        elif offset == BY_NAME["IRQ_STATUS"].offset:
            self._values[offset] &= ~value
        elif offset in self._writable:
            self._values[offset] = value

    def wait(self) -> None:
        """Nothing runs between two accesses."""

    def _control(self, control: Control) -> None:
        if Control.RESET in control:
            for name in ("STATUS", "FAULT", "FAULT_INDEX", "FAULT_VALUE_LO", "FAULT_VALUE_HI"):
                self._set(name, 0)
        elif Control.START in control and Status.FAULT not in Status(self._get("STATUS")):
            self._launch()

    def _launch(self) -> None:
        windows = {memory: self._window(memory.name) for memory in Memory}
        bases = {memory: self._get_wide(f"{memory.name}_BASE") for memory in Memory}
        launch = Launch(self._get_wide("INSN_ADDR"), self._get("INSN_COUNT"), bases, windows)
        self._set("TOKENS_LOAD_COMPUTE", 0)
        self._set_wide("CYCLES", 0)
        try:
            report = self._device.launch(launch)
        except FaultError as error:
            self._end(error.fault)
        except DeadlockError:
            self._end(Fault(Cause.DEADLOCK, Unit.ENGINE, 0, 0))
        except TokenError:
            self._set("TOKENS_LOAD_COMPUTE", 1)
            self._end(None)
        else:
            self._set_wide("CYCLES", report.cycles or 0)
            self._end(None)

    def _end(self, fault: Fault | None) -> None:
        happened = Interrupt.FAULT if fault else Interrupt.DONE
        self._set("IRQ_STATUS", self._get("IRQ_STATUS") | happened)
        self._set("STATUS", Status.FAULT if fault else Status.DONE)
        if fault:
            self._set("FAULT", fault.cause | fault.unit << 8)
            self._set("FAULT_INDEX", fault.index)
            self._set_wide("FAULT_VALUE", fault.value)

    def _window(self, name: str) -> tuple[int, int]:
        first, last = self._get_wide(f"{name}_FIRST"), self._get_wide(f"{name}_LAST")
        return first, max(first, last + 1)

    def _get(self, name: str) -> int:
        return self._values[BY_NAME[name].offset]

    def _set(self, name: str, value: int) -> None:
        self._values[BY_NAME[name].offset] = value & 0xFFFFFFFF

    def _get_wide(self, name: str) -> int:
        return self._get(f"{name}_LO") | self._get(f"{name}_HI") << 32

    def _set_wide(self, name: str, value: int) -> None:
        self._set(f"{name}_LO", value)
        self._set(f"{name}_HI", value >> 32)
