"""`TsimDevice`: the RTL as a device, exact to the cycle and to the byte."""

from __future__ import annotations

from pathlib import Path

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
from weft_runtime.device import Launch, RunReport
from weft_runtime.diagnosis import (
    CHANNELS,
    Channel,
    bus_hung_message,
    deadlock_message,
    fault_message,
    token_message,
    watchdog_message,
)
from weft_runtime.dram import Dram
from weft_runtime.errors import DeadlockError, DeviceError, Fault, FaultError, TokenError

from ..simulated import DRAM_SIZE, TimedDevice
from .build import Builder, Progress, accelerator_library
from .model import Injection, MemoryTiming, RtlModel, Traffic, Wave

MAX_CYCLES = 2_000_000_000
"""Cycles that a launch may take where no limit is chosen: ten to twenty minutes of simulation."""

WATCHDOG = 1_000_000
"""Cycles without progress after which a program is stopped where none are chosen: ten times the slowest memory."""

DRAIN_LIMIT = WATCHDOG
"""Cycles that a soft reset waits for the memory."""

RESET_POLL = 64
"""Cycles between two looks at a soft reset."""


class TsimDevice(TimedDevice):
    """The accelerator's RTL, compiled for this machine, with a simulated AXI memory.

    Parameters
    ----------
    config, dram_size, dram
        See `SimulatedDevice`. The RTL's library is built when the cache has none, which takes up to a minute or two.
    memory : MemoryTiming
        How the memory answers.
    max_cycles : int
        Cycles a launch may take.
    watchdog : int
        Cycles without progress of any unit after which the hardware stops a program; 0 for never.
    packed_multipliers : bool
        Simulate the build with two products a multiplier: same cycles, same bytes, slower to simulate.
    drain_limit : int
        Cycles that a soft reset, which follows every fault, waits for the memory before it counts as hung.
    wave : Wave, optional
        A waveform of the launches, which makes tsim several times slower.
    cache_dir, compiler, progress
        See `build.Builder`.

    Raises
    ------
    DeviceError
        If a tool is missing, or the memory does not fit the bus.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        *,
        dram_size: int = DRAM_SIZE,
        dram: Dram | None = None,
        memory: MemoryTiming | None = None,
        max_cycles: int = MAX_CYCLES,
        watchdog: int = WATCHDOG,
        packed_multipliers: bool = False,
        wave: Wave | None = None,
        drain_limit: int = DRAIN_LIMIT,
        cache_dir: Path | str | None = None,
        compiler: str = "auto",
        progress: Progress | None = None,
    ) -> None:
        super().__init__(config, dram_size, dram, max_cycles)
        library = accelerator_library(
            config, Builder(cache_dir, compiler, progress, wave.kind if wave else None), packed_multipliers
        )
        self._model = RtlModel(library, self.dram, memory or MemoryTiming())
        self._wave = wave
        self._check_identity()
        self._watchdog, self._drain_limit = watchdog, drain_limit
        self._windows: dict[str, tuple[int, int]] = {}
        self._set_up()

    def _check_identity(self) -> None:
        expected = int(self.config.digest[:8], 16)
        identity, digest = self._read("IDENTITY"), self._read("CONFIG_DIGEST")
        if (identity, digest) != (IDENTITY_VALUE, expected):
            raise DeviceError(
                f"the RTL says identity {identity:#x} and configuration {digest:#010x}, not {IDENTITY_VALUE:#x} and "
                f"{expected:#010x}; empty the cache directory and open the device again"
            )

    def close(self) -> None:
        self._model.close()

    def launch(self, launch: Launch) -> RunReport:
        program = self.program(launch)
        self._start(launch)
        status = Status(self._run())
        cycles = self._read_wide("CYCLES")
        if Status.FAULT in status:
            raise self._reset(self._fault_error(program))
        if Status.DONE not in status or cycles > self.max_cycles:
            raise self._reset(self._timeout(program))
        tokens = self._tokens()
        if any(tokens.values()):
            raise TokenError(token_message(program, self.config, tokens))
        return RunReport(cycles=cycles, instructions=launch.insn_count, activity=self._activity())

    def inject(self, injection: Injection) -> None:
        """Let the memory fail from now on; what numbers count begins now."""
        self._model.inject(injection)

    @property
    def irq(self) -> bool:
        """The interrupt output, raised when a program is done or at fault; `clear_irq` ends it."""
        return self._model.irq

    def clear_irq(self) -> None:
        """Tell the accelerator that its interrupt was heard."""
        self._write("IRQ_STATUS", Interrupt.DONE | Interrupt.FAULT)

    def read_traffic(self, axi_id: int) -> Traffic:
        """What the last launch read with one AXI id; `weft_hardware.rtl.accelerator.READ_CLIENTS` names them."""
        return self._model.read_traffic(axi_id)

    def write_traffic(self) -> Traffic:
        """What the last launch wrote."""
        return self._model.write_traffic()

    def _set_up(self) -> None:
        """What a hardware reset undoes."""
        self._windows = {}
        self._write("WATCHDOG", self._watchdog)
        self._write("DRAIN_LIMIT", self._drain_limit)
        self._write("IRQ_ENABLE", Interrupt.DONE | Interrupt.FAULT)

    def _start(self, launch: Launch) -> None:
        self._model.clear_traffic()
        self._write("INSN_COUNT", launch.insn_count)
        self._write_wide("INSN_ADDR", launch.insn_address)
        self._set_window("INSN", self.memory_range)
        for memory in Memory:
            self._write_wide(f"{memory.name}_BASE", launch.bases.get(memory, 0))
            self._set_window(memory.name, self.window(launch, memory))
        if self._wave is not None:
            self._model.start_wave(self._wave)
            self._wave = None
        self._write("CONTROL", Control.START)

    def _set_window(self, name: str, window: tuple[int, int]) -> None:
        """Write a window's registers, unless they hold it already."""
        if self._windows.get(name) == window:
            return
        begin, end = window
        # No byte at all is a window whose last byte comes before its first.
        self._write_wide(f"{name}_FIRST", begin if begin < end else 1)
        self._write_wide(f"{name}_LAST", end - 1 if begin < end else 0)
        self._windows[name] = window

    def _run(self) -> int:
        try:
            ends = Status.DONE | Status.FAULT
            return self._model.run_until(BY_NAME["STATUS"].offset, ends, self.max_cycles)
        except KeyboardInterrupt:
            self._soft_reset()
            raise

    def _soft_reset(self) -> Fault | None:
        """Make the engine usable again; the fault BUS_HUNG if it took a hardware reset to do so."""
        self._write("CONTROL", Control.RESET)
        offset = BY_NAME["STATUS"].offset
        while Status.RESETTING in (status := Status(self._model.read(offset))):
            self._model.run_until(offset, Status.FAULT, RESET_POLL)
        if Status.FAULT not in status:
            return None
        fault = self._fault()
        self._model.reset()
        self._set_up()
        return fault

    def _reset(self, error: DeviceError) -> DeviceError:
        """Make the engine usable again after an error; returns it, or one that adds that the bus hangs."""
        hung = self._soft_reset()
        return error if hung is None else FaultError(f"{error}; then {bus_hung_message(hung.value)}", hung)

    # What the registers tell ---------------------------------------------------------------------------------

    def _retired(self) -> dict[Queue, int]:
        return {queue: self._read(f"{queue.name}_RETIRED") for queue in Queue}

    def _states(self) -> dict[Queue, ModuleState]:
        return {queue: ModuleState(self._read(f"{queue.name}_STATE")) for queue in Queue}

    def _tokens(self) -> dict[Channel, int]:
        return {(a, b): self._read(f"TOKENS_{a.name}_{b.name}") for a, b in CHANNELS}

    def _activity(self) -> dict[Queue, dict[Activity, int]]:
        return {q: {a: self._read_wide(f"{q.name}_{a.name}") for a in Activity} for q in Queue}

    def _fault(self) -> Fault:
        word = self._read("FAULT")
        cause, unit = Cause(word & 0xFF), Unit(word >> 8 & 0xFF)
        return Fault(cause, unit, self._read("FAULT_INDEX"), self._read_wide("FAULT_VALUE"))

    def _fault_error(self, program: Words) -> DeviceError:
        fault = self._fault()
        if fault.cause == Cause.DEADLOCK:
            message = deadlock_message(program, self.config, self._retired(), self._states(), self._tokens())
            return DeadlockError(message)
        if fault.cause == Cause.WATCHDOG:
            message = watchdog_message(program, self.config, self._retired(), self._states(), fault.value)
            return FaultError(message, fault)
        return FaultError(fault_message(program, self.config, fault), fault)

    def _timeout(self, program: Words) -> DeviceError:
        states, retired = self._states(), self._retired()
        doing = ", ".join(
            f"{queue.name.lower()} {states[queue].name.lower().replace('_', ' ')} after {retired[queue]} instructions"
            for queue in Queue
        )
        return DeviceError(
            f"program of {len(program)} instructions did not end in max_cycles = {self.max_cycles} ({doing}); "
            "raise max_cycles or shorten the program"
        )

    # Registers -----------------------------------------------------------------------------------------------

    def _read(self, name: str) -> int:
        return self._model.read(BY_NAME[name].offset)

    def _write(self, name: str, value: int) -> None:
        self._model.write(BY_NAME[name].offset, value)

    def _read_wide(self, name: str) -> int:
        return self._read(f"{name}_LO") | self._read(f"{name}_HI") << 32

    def _write_wide(self, name: str, value: int) -> None:
        self._write(f"{name}_LO", value & 0xFFFFFFFF)
        self._write(f"{name}_HI", value >> 32)
