"""`TimingDevice`: the cycles that the RTL takes, from instructions and micro-ops, without data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from weft_hardware import latencies
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import Words, decode
from weft_hardware.isa import Memory, MemoryInstruction, Queue, instruction_bytes
from weft_hardware.registers import Cause, ModuleState, Unit
from weft_runtime.device import Launch, RunReport, Timeline
from weft_runtime.diagnosis import CHANNELS, Channel, deadlock_message, fault_message, token_message
from weft_runtime.dram import Dram
from weft_runtime.errors import DeadlockError, DeviceError, Fault, FaultError, TokenError
from weft_runtime.fault_values import address_outside, value_of

from ..simulated import DRAM_SIZE, SimulatedDevice
from ..tsim.model import MemoryTiming
from . import state
from .machine import run
from .parameters import machine_at_rest
from .program import MemoryMap, TimedProgram, timed_program
from .state import Machine

MAX_CYCLES = 1 << 60
"""Cycles that a launch may take where no limit is chosen: as good as none."""

CHUNK = 50_000_000
"""Cycles between two returns to Python, so that Ctrl-C is heard."""

SPANS = 2048
"""Spans of a timeline's traffic, at most one more."""

_POPS = ((None, 1), (0, 3), (2, None))
_PUSHES_PREV = (None, 1, 3)
"""Each module's channels, numbered as `diagnosis.CHANNELS`."""


class TimingDevice(SimulatedDevice):
    """Predicts the cycles of a program on the RTL with its in-order memory, to the cycle, and computes nothing.

    What a program stores never arrives in memory. Micro-ops are those that lie in memory when the program is launched.

    Parameters
    ----------
    config, dram_size, dram
        See `SimulatedDevice`.
    memory : MemoryTiming
        How the memory answers: latencies only.
    max_cycles : int
        Cycles a launch may take.
    trace : bool
        Reports carry a timeline: every instruction's moments and the memory port's traffic.

    Raises
    ------
    DeviceError
        If the memory does what cannot be predicted.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        *,
        dram_size: int = DRAM_SIZE,
        dram: Dram | None = None,
        memory: MemoryTiming | None = None,
        max_cycles: int = MAX_CYCLES,
        trace: bool = False,
    ) -> None:
        if max_cycles < 1:
            raise DeviceError(f"max_cycles = {max_cycles} leaves no cycle to run; choose at least 1")
        super().__init__(config, dram_size, dram)
        self.max_cycles = max_cycles
        self._memory = memory or MemoryTiming()
        for name, value in (
            ("stall_seed", self._memory.stall_seed),
            ("out_of_order", self._memory.out_of_order or None),
            ("bytes_per_cycle", self._memory.bytes_per_cycle),
            ("error_range", self._memory.error_range),
        ):
            if value is not None:
                raise DeviceError(
                    f"{name} = {value} is not predicted by the timing device, whose memory answers in order, without "
                    "pauses and errors; open tsim instead"
                )
        self._trace = trace
        self._uops = np.zeros(config.uop_depth, state.UOP)

    def launch(self, launch: Launch) -> RunReport:
        uops = self._uops.copy()
        report, _, _ = self._run(launch, 0, 0)
        if not self._trace or report.cycles is None:
            return report
        self._uops[:] = uops
        span = -(-report.cycles // SPANS)
        _, machine, timed = self._run(launch, launch.insn_count, span)
        moments = np.empty_like(machine.moments)
        moments[timed.places] = machine.moments
        return replace(
            report, timeline=Timeline(self.program(launch), moments[:, 0], moments[:, 1], machine.traffic, span)
        )

    def _run(self, launch: Launch, recorded: int, span: int) -> tuple[RunReport, Machine, TimedProgram]:
        """Run to the end; of ``recorded`` instructions the moments are kept, and the traffic in spans of cycles."""
        program = self.program(launch)
        timed = timed_program(program, self._memory_map(launch), self.dram, self.config)
        s = self._start(launch, timed)
        s[0]["parameters"]["span"] = span
        moments, traffic = np.zeros((recorded, 2), np.int64), np.zeros((SPANS + 1 if span else 0, 2), np.int64)
        machine = Machine(s[0], timed.records, timed.queues, self._uops, timed.loaded_uops, moments, traffic)
        nbytes = launch.insn_count * instruction_bytes(self.config)
        time = 0
        while (time := run(machine, min(time + CHUNK, self.max_cycles), launch.insn_address, nbytes)) < self.max_cycles:
            if machine.s["refusal"]["outcome"]:
                raise self._fault(program, launch, timed, machine)
            if machine.s["modules"]["retired"].sum() == launch.insn_count:
                return self._report(program, machine), machine, timed
        if time == state.NEVER:
            retired, tokens = self._retired(machine), self._tokens(machine)
            states = {queue: self._state(machine, queue) for queue in Queue}
            raise DeadlockError(deadlock_message(program, self.config, retired, states, tokens))
        raise self._timeout(program)

    def _memory_map(self, launch: Launch) -> MemoryMap:
        windows = np.array([self.window(launch, memory) for memory in Memory])
        bases = np.array([launch.bases.get(memory, 0) for memory in Memory])
        return MemoryMap(bases, windows[:, 0], windows[:, 1])

    def _start(self, launch: Launch, timed: TimedProgram) -> state.Records:
        machine = machine_at_rest(self.config, self._memory)
        modules = machine[0]["modules"]
        modules["offset"] = np.searchsorted(timed.records["queue"], np.arange(len(Queue)))
        parameters = machine[0]["parameters"]
        parameters["instructions"] = launch.insn_count
        begin_, end = self.window(launch, Memory.ACC_8BIT)
        parameters["residual_begin"], parameters["residual_end"] = begin_, end
        first = launch.insn_address // instruction_bytes(self.config)
        machine[0]["fetching"]["slot"] = first % parameters["instruction_slots"]
        return machine

    def _report(self, program: Words, machine: Machine) -> RunReport:
        s = machine.s
        if s["steps"]["finished_at"] < 0:
            fault = Fault(Cause.NO_FINISH, Unit.ENGINE, len(program), 0)
            raise FaultError(fault_message(program, self.config, fault), fault)
        if any((tokens := self._tokens(machine)).values()):
            raise TokenError(token_message(program, self.config, tokens))
        # *Done* takes what `control` looks at: the modules' counts, registered twice, and units that are drained.
        cycles = max(
            s["modules"]["last_retire"].max() + latencies.RETIRE_TO_DONE,
            s["steps"]["last_step"] + latencies.DATAPATH_LATENCY,
            s["fetching"]["last_dispatch"] + 1,
            s["port"]["last_end"] + 1,
        )
        return RunReport(cycles=int(cycles), instructions=len(program))

    def _timeout(self, program: Words) -> DeviceError:
        return DeviceError(
            f"program of {len(program)} instructions did not end in max_cycles = {self.max_cycles}; "
            "raise max_cycles or shorten the program"
        )

    # What a program that does not complete leaves --------------------------------------------------------------

    def _retired(self, machine: Machine) -> dict[Queue, int]:
        return {queue: int(machine.s["modules"]["retired"][queue]) for queue in Queue}

    def _tokens(self, machine: Machine) -> dict[Channel, int]:
        return {channel: int(machine.s["tokens"][k]) for k, channel in enumerate(CHANNELS)}

    def _state(self, machine: Machine, queue: Queue) -> ModuleState:
        """What a module waits for when nothing can move."""
        module, tokens = machine.s["modules"][queue], machine.s["tokens"]
        if module["waiting"]:
            insn = machine.program[module["offset"] + module["retired"]]
            channel = _PUSHES_PREV[queue]
            full = channel is not None and tokens[channel] == self.config.token_queue_depth
            owes_prev = insn["push_prev"] and not module["prev_pushed"]
            return ModuleState.WAIT_PUSH_PREV if full and owes_prev else ModuleState.WAIT_PUSH_NEXT
        if not module["filled"]:
            return ModuleState.IDLE
        insn = machine.program[module["offset"] + module["issued"]]
        prev, next_ = _POPS[queue]
        if prev is not None and insn["pop_prev"] and not module["prev_popped"] and not tokens[prev]:
            return ModuleState.WAIT_POP_PREV
        if next_ is not None and insn["pop_next"] and not tokens[next_]:
            return ModuleState.WAIT_POP_NEXT
        return ModuleState.BUSY

    def _fault(self, program: Words, launch: Launch, timed: TimedProgram, machine: Machine) -> FaultError:
        """What the fault registers would say."""
        number, outcome = (int(machine.s["refusal"][name]) for name in ("insn", "outcome"))
        queue = Queue(int(timed.records["queue"][number]))
        index = number - int(machine.s["modules"]["offset"][queue])
        cause, value = self._cause(program[timed.places[number]][None], launch, machine, outcome)
        fault = Fault(cause, Unit(queue), index, value)
        return FaultError(fault_message(program, self.config, fault), fault)

    def _cause(self, word: Words, launch: Launch, machine: Machine, outcome: int) -> tuple[Cause, int]:
        if outcome == state.ILLEGAL:
            return Cause.ILLEGAL_INSTRUCTION, 0
        instruction = decode(word, self.config)[0]
        storing = machine.s["storing"]
        if outcome == state.OUT_OF_PARAMETERS:
            return Cause.SCRATCHPAD_RANGE, max(int(storing["param"]), self.config.param_depth)
        if outcome == state.OUT_OF_SCRATCHPAD:
            uops = {name: self._uops[name] for name in ("dst", "src", "wgt")}
            return Cause.SCRATCHPAD_RANGE, value_of(instruction, uops, self.config)
        assert isinstance(instruction, MemoryInstruction)
        memory = Memory(instruction.memory)
        base = launch.bases.get(memory, 0)
        if outcome == state.RESIDUAL_OUT_OF_WINDOW:
            base += int(storing["shift"])
        address = address_outside(instruction, base, self.window(launch, memory), self.config)
        address += (address < 0) << self.config.axi_addr_bits  # RESIDUAL may lead below 0, where the bus wraps
        return Cause.WINDOW, address
