"""`TsimDevice`: the RTL as a device, exact to the cycle and to the byte."""

from __future__ import annotations

from pathlib import Path

from weft_hardware.config import AcceleratorConfig
from weft_hardware.registers import BY_NAME, Status
from weft_runtime.device import Launch, RunReport
from weft_runtime.dram import Dram
from weft_runtime.engine import Engine, RegisterPort

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


class _ModelPort(RegisterPort):
    """The model's host port; clock cycles pass while the host waits."""

    def __init__(self, model: RtlModel, max_cycles: int, wave: Wave | None) -> None:
        self._model, self._max_cycles, self._wave = model, max_cycles, wave
        self.limit = "max_cycles", str(max_cycles)

    def read(self, offset: int) -> int:
        return self._model.read(offset)

    def write(self, offset: int, value: int) -> None:
        self._model.write(offset, value)

    def wait(self, offset: int, mask: int) -> int:
        return self._model.run_until(offset, mask, self._max_cycles)

    def pause(self, offset: int) -> int:
        return self._model.run_until(offset, Status.FAULT, RESET_POLL)

    def reset_hardware(self) -> None:
        self._model.reset()

    def starting(self) -> None:
        if self._wave is not None:
            self._model.start_wave(self._wave)
            self._wave = None

    def exceeded(self, cycles: int) -> bool:
        return cycles > self._max_cycles


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
        self.memory_timing = memory or MemoryTiming()
        self._model = RtlModel(library, self.dram, self.memory_timing)
        self._engine = Engine(
            config,
            _ModelPort(self._model, max_cycles, wave),
            self.memory_range,
            watchdog=watchdog,
            drain_limit=drain_limit,
            hint="empty the cache directory and open the device again",
        )
        self._engine.set_up()

    def close(self) -> None:
        self._model.close()

    def launch(self, launch: Launch) -> RunReport:
        program = self.program(launch)
        self._model.clear_traffic()
        return self._engine.run(launch, lambda: program)

    def inject(self, injection: Injection) -> None:
        """Let the memory fail from now on; what numbers count begins now."""
        self._model.inject(injection)

    @property
    def irq(self) -> bool:
        """The interrupt output, raised when a program is done or at fault; `clear_irq` ends it."""
        return self._model.irq

    def clear_irq(self) -> None:
        """Tell the accelerator that its interrupt was heard."""
        self._engine.clear_irq()

    def read_register(self, offset: int) -> int:
        """What a driver of one's own reads over AXI4-Lite."""
        return self._model.read(offset)

    def write_register(self, offset: int, value: int) -> None:
        """Write as a driver of one's own; `launch` sets all registers that it needs afterwards."""
        self._engine.forget_windows()
        self._model.write(offset, value)

    def pass_time(self, cycles: int) -> None:
        """Run until a program ends, or for so many cycles."""
        self._model.run_until(BY_NAME["STATUS"].offset, Status.DONE | Status.FAULT, cycles)

    def read_traffic(self, axi_id: int) -> Traffic:
        """What the last launch read with one AXI id; `weft_hardware.rtl.accelerator.READ_CLIENTS` names them."""
        return self._model.read_traffic(axi_id)

    def write_traffic(self) -> Traffic:
        """What the last launch wrote."""
        return self._model.write_traffic()
