"""How a host drives the accelerator's registers: the same for the simulated RTL, for boards and over a serial line."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable

from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import Words
from weft_hardware.isa import Memory, Queue
from weft_hardware.registers import (
    BY_NAME,
    IDENTITY_VALUE,
    Activity,
    Cause,
    Control,
    Interrupt,
    ModuleState,
    Status,
    Unit,
)

from .device import Launch, RunReport, window_of
from .diagnosis import (
    CHANNELS,
    Channel,
    bus_hung_message,
    deadlock_message,
    fault_message,
    token_message,
    watchdog_message,
)
from .errors import DeadlockError, DeviceError, Fault, FaultError, TokenError

TIMEOUT = 60.0
"""Seconds that a launch on a board may take where no limit is chosen."""

DRAIN_LIMIT = 1_000_000
"""Cycles that a board's memory has to complete what was begun before a soft reset."""

WRONG_BITSTREAM = "open the device with the config.toml that the bitstream was built from"
"""What to do when a board is another accelerator."""


class RegisterPort(ABC):
    """Access to the 32-bit registers of `weft_hardware.registers`, by byte offset.

    Attributes
    ----------
    limit : tuple of str
        The option that bounds `wait`, and its value in words.
    """

    limit: tuple[str, str]

    @abstractmethod
    def read(self, offset: int) -> int: ...

    @abstractmethod
    def write(self, offset: int, value: int) -> None: ...

    @abstractmethod
    def wait(self, offset: int, mask: int) -> int:
        """Wait until a register shows one of the masked bits, or for as long as allowed; returns the register."""

    @abstractmethod
    def pause(self, offset: int) -> int:
        """Let a little time pass; returns the register."""

    @abstractmethod
    def reset_hardware(self) -> None:
        """What helps when the bus hangs: registers start afresh.

        Raises
        ------
        DeviceError
            If that is not possible.
        """

    def starting(self) -> None:  # noqa: B027, only some look
        """A program is about to begin."""

    def exceeded(self, cycles: int) -> bool:
        """Whether a program that ended took longer than allowed."""
        return False


class TimedPort(RegisterPort):
    """The registers of a board, which runs by itself: what is waited for has so many seconds.

    Parameters
    ----------
    timeout : float
        Seconds, as `check_timeout` lets them through.
    poll : float
        Seconds between two looks at a register once it was waited for so long; before it is looked at all the time.
    """

    def __init__(self, timeout: float, poll: float = 0.0) -> None:
        self._timeout, self._poll = timeout, poll
        self.limit = "timeout", f"{timeout:g} s"

    def wait(self, offset: int, mask: int) -> int:
        begin = time.monotonic()
        while not (value := self.read(offset)) & mask:
            elapsed = time.monotonic() - begin
            if elapsed > self._timeout:
                break
            if self._poll and elapsed > self._poll:
                time.sleep(self._poll)
        return value

    def pause(self, offset: int) -> int:
        time.sleep(self._poll)
        return self.read(offset)


def check_timeout(timeout: float) -> None:
    """Refuse a timeout before anything is done with a board.

    Raises
    ------
    DeviceError
        If it leaves no time.
    """
    if timeout <= 0:
        raise DeviceError(f"timeout = {timeout:g} s leaves no time to run; choose more than 0")


class Engine:
    """The accelerator behind a register port.

    Parameters
    ----------
    config : AcceleratorConfig
        What the hardware must be.
    port : RegisterPort
    memory_range : tuple of int
        Bytes ``[begin, end)`` that it may reach at all.
    watchdog : int
        Cycles without progress of any unit after which a program is stopped; 0 for never.
    drain_limit : int
        Cycles that a soft reset, which follows every fault, waits for the memory before it counts as hung.

    Raises
    ------
    DeviceError
        If it is another accelerator, or none: ``hint`` says what to do then.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        port: RegisterPort,
        memory_range: tuple[int, int],
        *,
        watchdog: int,
        drain_limit: int,
        hint: str,
    ) -> None:
        self._config, self._port, self.memory_range = config, port, memory_range
        self._watchdog, self._drain_limit = watchdog, drain_limit
        self._windows: dict[str, tuple[int, int]] = {}
        expected = int(config.digest[:8], 16)
        identity, digest = self.read("IDENTITY"), self.read("CONFIG_DIGEST")
        if (identity, digest) != (IDENTITY_VALUE, expected):
            raise DeviceError(
                f"the RTL says identity {identity:#x} and configuration {digest:#010x}, not {IDENTITY_VALUE:#x} and "
                f"{expected:#010x}; {hint}"
            )

    def set_up(self) -> None:
        """What a hardware reset undoes."""
        self._windows = {}
        self.write("WATCHDOG", self._watchdog)
        self.write("DRAIN_LIMIT", self._drain_limit)
        self.write("IRQ_ENABLE", Interrupt.DONE | Interrupt.FAULT)

    def forget_windows(self) -> None:
        """Somebody else writes the registers, so that all are written again before the next launch."""
        self._windows = {}

    def start(self, launch: Launch) -> None:
        """Write a launch's registers, and begin."""
        self.write("INSN_COUNT", launch.insn_count)
        self.write_wide("INSN_ADDR", launch.insn_address)
        self._set_window("INSN", self.memory_range)
        for memory in Memory:
            self.write_wide(f"{memory.name}_BASE", launch.bases.get(memory, 0))
            self._set_window(memory.name, window_of(launch, memory, self.memory_range))
        self._port.starting()
        self.write("CONTROL", Control.START)

    def run(self, launch: Launch, program: Callable[[], Words]) -> RunReport:
        """Run a checked launch to its end.

        Parameters
        ----------
        program : callable
            Gives its instructions, which an error names.

        Raises
        ------
        FaultError, DeadlockError, TokenError
            If the program cannot complete. The engine is usable again afterwards.
        DeviceError
            If it takes too long, or the hardware cannot be made usable again.
        """
        self.start(launch)
        try:
            status = Status(self._port.wait(BY_NAME["STATUS"].offset, Status.DONE | Status.FAULT))
        except KeyboardInterrupt:
            self.soft_reset()
            raise
        cycles = self.read_wide("CYCLES")
        if Status.FAULT in status:
            raise self._reset(self._fault_error(program()))
        if Status.DONE not in status or self._port.exceeded(cycles):
            raise self._reset(self._timeout(launch))
        tokens = self._tokens()
        if any(tokens.values()):
            raise TokenError(token_message(program(), self._config, tokens))
        return RunReport(cycles=cycles, instructions=launch.insn_count, activity=self._activity())

    def clear_irq(self) -> None:
        """Tell the accelerator that its interrupt was heard."""
        self.write("IRQ_STATUS", Interrupt.DONE | Interrupt.FAULT)

    def soft_reset(self) -> Fault | None:
        """Make the engine usable again; the fault BUS_HUNG if it took a hardware reset to do so."""
        self.write("CONTROL", Control.RESET)
        offset = BY_NAME["STATUS"].offset
        while Status.RESETTING in (status := Status(self._port.read(offset))):
            self._port.pause(offset)
        if Status.FAULT not in status:
            return None
        fault = self._fault()
        self._port.reset_hardware()
        self.set_up()
        return fault

    def _reset(self, error: DeviceError) -> DeviceError:
        """Make the engine usable again after an error; returns it, or one that adds that the bus hangs."""
        hung = self.soft_reset()
        return error if hung is None else FaultError(f"{error}; then {bus_hung_message(hung.value)}", hung)

    def _set_window(self, name: str, window: tuple[int, int]) -> None:
        """Write a window's registers, unless they hold it already."""
        if self._windows.get(name) == window:
            return
        begin, end = window
        # No byte at all is a window whose last byte comes before its first.
        self.write_wide(f"{name}_FIRST", begin if begin < end else 1)
        self.write_wide(f"{name}_LAST", end - 1 if begin < end else 0)
        self._windows[name] = window

    # What the registers tell ---------------------------------------------------------------------------------

    def retired(self) -> dict[Queue, int]:
        """Instructions that each queue completed."""
        return {queue: self.read(f"{queue.name}_RETIRED") for queue in Queue}

    def _states(self) -> dict[Queue, ModuleState]:
        return {queue: ModuleState(self.read(f"{queue.name}_STATE")) for queue in Queue}

    def _tokens(self) -> dict[Channel, int]:
        return {(a, b): self.read(f"TOKENS_{a.name}_{b.name}") for a, b in CHANNELS}

    def _activity(self) -> dict[Queue, dict[Activity, int]]:
        return {q: {a: self.read_wide(f"{q.name}_{a.name}") for a in Activity} for q in Queue}

    def _fault(self) -> Fault:
        word = self.read("FAULT")
        cause, unit = Cause(word & 0xFF), Unit(word >> 8 & 0xFF)
        return Fault(cause, unit, self.read("FAULT_INDEX"), self.read_wide("FAULT_VALUE"))

    def _fault_error(self, program: Words) -> DeviceError:
        fault = self._fault()
        if fault.cause == Cause.DEADLOCK:
            message = deadlock_message(program, self._config, self.retired(), self._states(), self._tokens())
            return DeadlockError(message)
        if fault.cause == Cause.WATCHDOG:
            message = watchdog_message(program, self._config, self.retired(), self._states(), fault.value)
            return FaultError(message, fault)
        return FaultError(fault_message(program, self._config, fault), fault)

    def _timeout(self, launch: Launch) -> DeviceError:
        states, retired = self._states(), self.retired()
        doing = ", ".join(
            f"{queue.name.lower()} {states[queue].name.lower().replace('_', ' ')} after {retired[queue]} instructions"
            for queue in Queue
        )
        option, value = self._port.limit
        return DeviceError(
            f"program of {launch.insn_count} instructions did not end in {option} = {value} ({doing}); "
            f"raise {option} or shorten the program"
        )

    # Registers -----------------------------------------------------------------------------------------------

    def read(self, name: str) -> int:
        """A register by its name."""
        return self._port.read(BY_NAME[name].offset)

    def write(self, name: str, value: int) -> None:
        """A register by its name."""
        self._port.write(BY_NAME[name].offset, int(value))

    def read_wide(self, name: str) -> int:
        """A pair of registers."""
        return self.read(f"{name}_LO") | self.read(f"{name}_HI") << 32

    def write_wide(self, name: str, value: int) -> None:
        """A pair of registers."""
        self.write(f"{name}_LO", value & 0xFFFFFFFF)
        self.write(f"{name}_HI", value >> 32)
