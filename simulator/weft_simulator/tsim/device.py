"""`TsimDevice`: the RTL as a device, exact to the cycle and to the byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import Words
from weft_hardware.isa import Memory, Queue
from weft_hardware.registers import BY_NAME, IDENTITY_VALUE, Cause, Control, ModuleState, Status, Unit
from weft_runtime.device import Launch, RunReport
from weft_runtime.diagnosis import CHANNELS, Channel, deadlock_message, fault_message, token_message
from weft_runtime.dram import Dram
from weft_runtime.errors import DeadlockError, DeviceError, FaultError, TokenError

from ..simulated import DRAM_SIZE, SimulatedDevice
from .build import Builder, Progress, accelerator_library
from .model import MemoryTiming, RtlModel, Traffic

MAX_CYCLES = 2_000_000_000
"""Cycles that a launch may take where no limit is chosen: ten to twenty minutes of simulation."""

T = TypeVar("T")


class TsimDevice(SimulatedDevice):
    """The accelerator's RTL, compiled for this machine, with a simulated AXI memory.

    Parameters
    ----------
    config, dram_size, dram
        See `SimulatedDevice`. The RTL's library is built when the cache has none, which takes up to a minute or two.
    memory : MemoryTiming
        How the memory answers.
    max_cycles : int
        Cycles a launch may take.
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
        cache_dir: Path | str | None = None,
        compiler: str = "auto",
        progress: Progress | None = None,
    ) -> None:
        if max_cycles < 1:
            raise DeviceError(f"max_cycles = {max_cycles} leaves no cycle to run; choose at least 1")
        super().__init__(config, dram_size, dram)
        self.max_cycles = max_cycles
        library = accelerator_library(config, Builder(cache_dir, compiler, progress))
        self._model = RtlModel(library, self.dram, memory or MemoryTiming())
        self._check_identity()

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
            raise self._after_reset(lambda: self._fault(program))
        if Status.DONE not in status or cycles > self.max_cycles:
            raise self._after_reset(lambda: self._timeout(program))
        tokens = self._tokens()
        if any(tokens.values()):
            raise TokenError(token_message(program, self.config, tokens))
        return RunReport(cycles=cycles, instructions=launch.insn_count)

    def read_traffic(self, axi_id: int) -> Traffic:
        """What the last launch read with one AXI id; `weft_hardware.rtl.accelerator.READ_CLIENTS` names them."""
        return self._model.read_traffic(axi_id)

    def write_traffic(self) -> Traffic:
        """What the last launch wrote."""
        return self._model.write_traffic()

    def _start(self, launch: Launch) -> None:
        self._model.clear_traffic()
        self._write("INSN_COUNT", launch.insn_count)
        self._write_wide("INSN_ADDR", launch.insn_address)
        for memory in Memory:
            self._write_wide(f"{memory.name}_BASE", launch.bases.get(memory, 0))
        self._write("CONTROL", Control.START)

    def _run(self) -> int:
        try:
            ends = Status.DONE | Status.FAULT
            return self._model.run_until(BY_NAME["STATUS"].offset, ends, self.max_cycles)
        except KeyboardInterrupt:
            self._model.reset()
            raise

    def _after_reset(self, describe: Callable[[], T]) -> T:
        """Describe what stopped the engine, then make it usable again."""
        try:
            return describe()
        finally:
            self._model.reset()

    # What the registers tell ---------------------------------------------------------------------------------

    def _retired(self) -> dict[Queue, int]:
        return {queue: self._read(f"{queue.name}_RETIRED") for queue in Queue}

    def _states(self) -> dict[Queue, ModuleState]:
        return {queue: ModuleState(self._read(f"{queue.name}_STATE")) for queue in Queue}

    def _tokens(self) -> dict[Channel, int]:
        return {(a, b): self._read(f"TOKENS_{a.name}_{b.name}") for a, b in CHANNELS}

    def _fault(self, program: Words) -> DeviceError:
        fault, value = self._read("FAULT"), self._read("FAULT_VALUE")
        cause, unit = Cause(fault & 0xFF), Unit(fault >> 8 & 0xFF)
        retired = self._retired()
        if cause == Cause.DEADLOCK:
            return DeadlockError(deadlock_message(program, self.config, retired, self._states(), self._tokens()))
        if cause == Cause.BUS_ERROR and self._model.bad_address is not None:
            value = self._model.bad_address  # the register holds 32 bits of it only
        return FaultError(fault_message(program, self.config, cause, unit, retired, value))

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
