"""`TimingDevice`: the cycles that the RTL takes, from instructions and micro-ops, without data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import Words, decode
from weft_hardware.isa import Memory, MemoryInstruction, Queue, instruction_bytes
from weft_hardware.registers import Activity, Cause, ModuleState, Unit
from weft_runtime.device import Launch, RunReport, Timeline
from weft_runtime.diagnosis import CHANNELS, Channel, deadlock_message, fault_message, token_message
from weft_runtime.dram import Dram
from weft_runtime.errors import DeadlockError, DeviceError, Fault, FaultError, TokenError
from weft_runtime.fault_values import address_outside, value_of

from ..simulated import DRAM_SIZE, TimedDevice
from ..tsim.model import MemoryTiming
from . import state
from .machine import run, settle
from .parameters import FIRST, machine_at_rest
from .predict import done_at, started
from .program import MemoryMap, TimedProgram, timed_program

MAX_CYCLES = 1 << 60
"""Cycles that a launch may take where no limit is chosen: as good as none."""

CHUNK = 50_000_000
"""Cycles between two returns to Python, so that Ctrl-C is heard."""

SPANS = 2048
"""Spans of a timeline's traffic, at most one more."""

ONE_SPAN = 1 << 60
"""A span that no program leaves."""

_POPS = ((None, 1), (0, 3), (2, None))
_PUSHES_PREV = (None, 1, 3)
"""Each module's channels, numbered as `diagnosis.CHANNELS`."""


def _part_ends(launch: Launch, timed: TimedProgram, retired: NDArray[np.int64]) -> list[int]:
    """The cycle in which each part's last instruction has retired, of the parts before it as well."""
    begins = np.searchsorted(timed.records["queue"], np.arange(len(Queue)))
    last = begins + np.cumsum(launch.parts, axis=0) - 1
    return (np.maximum.accumulate(np.where(last >= begins, retired[last], 0).max(axis=1)) + 1).tolist()


class TimingDevice(TimedDevice):
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
        super().__init__(config, dram_size, dram, max_cycles)
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
        if not self._trace:
            timed = self._timed(launch)
            return self._by_parts(launch, timed) if launch.parts else self._run(launch, timed)
        # Twice: how wide a span of the traffic is follows from the cycles. The second run begins as the first did.
        uops, timed = self._uops.copy(), self._timed(launch)
        report = self._run(launch, timed)
        assert report.cycles is not None
        self._uops[:] = uops
        span = -(-report.cycles // SPANS)
        moments, traffic = np.zeros(launch.insn_count, state.MOMENTS), np.zeros(SPANS + 1, state.TRAFFIC)
        self._run(launch, timed, span, moments, traffic)
        fetched = np.empty_like(moments)
        fetched[timed.places] = moments
        beats = np.stack([traffic["read"], traffic["written"]], axis=1)
        return replace(
            report, timeline=Timeline(self.program(launch), fetched["issued"], fetched["retired"], beats, span)
        )

    def _by_parts(self, launch: Launch, timed: TimedProgram) -> RunReport:
        """Run twice: how far each part reaches follows from the first run, and the second one stops there."""
        uops = self._uops.copy()
        moments, traffic = np.zeros(launch.insn_count, state.MOMENTS), np.zeros(1, state.TRAFFIC)
        report = self._run(launch, timed, ONE_SPAN, moments, traffic)
        assert report.cycles is not None
        self._uops[:] = uops
        ends = _part_ends(launch, timed, moments["retired"])
        machine = self._start(launch, timed)
        counts = []
        for end in ends[:-1]:
            self._go_on(machine, launch, end)
            settle(machine.ctypes.data, end)
            counts.append(machine[0]["activities"].copy())
        self._go_on(machine, launch, MAX_CYCLES)
        assert report.activity is not None
        whole = np.array([[report.activity[queue][activity] for activity in Activity] for queue in Queue])
        every = np.diff([np.zeros_like(whole), *counts, whole], axis=0)
        cycles = np.diff([FIRST, *ends[:-1], FIRST + report.cycles])
        parts = (
            RunReport(
                int(n),
                sum(part),
                {q: dict(zip(Activity, map(int, row), strict=True)) for q, row in zip(Queue, of, strict=True)},
            )
            for n, part, of in zip(cycles, launch.parts, every, strict=True)
        )
        return replace(report, parts=tuple(parts))

    def _go_on(self, machine: state.Records, launch: Launch, end: int) -> None:
        """Run to a cycle, or to the program's end."""
        address, nbytes = launch.insn_address, launch.insn_count * instruction_bytes(self.config)
        run(machine.ctypes.data, end, address, nbytes)

    def _timed(self, launch: Launch) -> TimedProgram:
        return timed_program(self.program(launch), self._memory_map(launch), self.dram, self.config)

    def _run(
        self,
        launch: Launch,
        timed: TimedProgram,
        span: int = 0,
        moments: state.Records | None = None,
        traffic: state.Records | None = None,
    ) -> RunReport:
        """Run to the end; with a ``span`` keep each instruction's moments and the traffic in spans of cycles."""
        program = self.program(launch)
        machine = self._start(launch, timed)
        s = machine[0]
        if moments is not None and traffic is not None:
            s["parameters"]["span"] = span
            s["moments"], s["traffic"] = moments.ctypes.data, traffic.ctypes.data
        address, nbytes = launch.insn_address, launch.insn_count * instruction_bytes(self.config)
        time = 0
        while (time := run(machine.ctypes.data, min(time + CHUNK, self.max_cycles), address, nbytes)) < state.NEVER:
            if s["refusal"]["outcome"]:
                raise self._fault(program, launch, timed, s)
            if s["modules"]["retired"].sum() == launch.insn_count:
                return self._report(program, s)
            if time >= self.max_cycles:
                raise DeviceError(
                    f"program of {len(program)} instructions did not end in max_cycles = {self.max_cycles}; "
                    "raise max_cycles or shorten the program"
                )
        if s["modules"]["retired"].sum() == launch.insn_count:
            return self._report(program, s)
        retired, tokens = self._retired(s), self._tokens(s)
        states = {queue: self._state(timed, s, queue) for queue in Queue}
        raise DeadlockError(deadlock_message(program, self.config, retired, states, tokens))

    def _memory_map(self, launch: Launch) -> MemoryMap:
        windows = np.array([self.window(launch, memory) for memory in Memory])
        bases = np.array([launch.bases.get(memory, 0) for memory in Memory])
        return MemoryMap(bases, windows[:, 0], windows[:, 1])

    def _start(self, launch: Launch, timed: TimedProgram) -> state.Records:
        machine = machine_at_rest(self.config, self._memory)
        started(machine, timed, self._uops)
        s = machine[0]
        parameters = s["parameters"]
        begin_, end = self.window(launch, Memory.ACC_8BIT)
        parameters["residual_begin"], parameters["residual_end"] = begin_, end
        first = launch.insn_address // instruction_bytes(self.config)
        s["fetching"]["slot"] = first % parameters["instruction_slots"]
        return machine

    def _report(self, program: Words, s: np.void) -> RunReport:
        if s["steps"]["finished_at"] < 0:
            fault = Fault(Cause.NO_FINISH, Unit.ENGINE, len(program), 0)
            raise FaultError(fault_message(program, self.config, fault), fault)
        if any((tokens := self._tokens(s)).values()):
            raise TokenError(token_message(program, self.config, tokens))
        cycles = done_at(s)
        return RunReport(cycles=cycles, instructions=len(program), activity=self._activity(s, cycles))

    def _activity(self, s: np.void, cycles: int) -> dict[Queue, dict[Activity, int]]:
        """What was counted, and the modules' empty queues until the end."""
        counts = s["activities"].copy()
        end = FIRST + cycles
        for queue in Queue:
            since = int(s["accounts"]["since"][queue])
            waiting = max(0, min(end, int(s["fetching"]["last_dispatch"]) + 1) - since)
            counts[queue, Activity.QUEUE] += waiting
            counts[queue, Activity.IDLE] += end - since - waiting
        return {queue: {activity: int(counts[queue, activity]) for activity in Activity} for queue in Queue}

    # What a program that does not complete leaves --------------------------------------------------------------

    def _retired(self, s: np.void) -> dict[Queue, int]:
        return {queue: int(s["modules"]["retired"][queue]) for queue in Queue}

    def _tokens(self, s: np.void) -> dict[Channel, int]:
        return {channel: int(s["tokens"][k]) for k, channel in enumerate(CHANNELS)}

    def _state(self, timed: TimedProgram, s: np.void, queue: Queue) -> ModuleState:
        """What a module waits for when nothing can move."""
        module, tokens = s["modules"][queue], s["tokens"]
        if module["waiting"]:
            insn = timed.records[module["offset"] + module["retired"]]
            channel = _PUSHES_PREV[queue]
            full = channel is not None and tokens[channel] == self.config.token_queue_depth
            owes_prev = insn["push_prev"] and not module["prev_pushed"]
            return ModuleState.WAIT_PUSH_PREV if full and owes_prev else ModuleState.WAIT_PUSH_NEXT
        if not module["filled"]:
            return ModuleState.IDLE
        insn = timed.records[module["offset"] + module["issued"]]
        prev, next_ = _POPS[queue]
        if prev is not None and insn["pop_prev"] and not module["prev_popped"] and not tokens[prev]:
            return ModuleState.WAIT_POP_PREV
        if next_ is not None and insn["pop_next"] and not tokens[next_]:
            return ModuleState.WAIT_POP_NEXT
        return ModuleState.BUSY

    def _fault(self, program: Words, launch: Launch, timed: TimedProgram, s: np.void) -> FaultError:
        """What the fault registers would say."""
        number, outcome = (int(s["refusal"][name]) for name in ("insn", "outcome"))
        queue = Queue(int(timed.records["queue"][number]))
        index = number - int(s["modules"]["offset"][queue])
        cause, value = self._cause(program[timed.places[number]][None], launch, s, outcome)
        fault = Fault(cause, Unit(queue), index, value)
        return FaultError(fault_message(program, self.config, fault), fault)

    def _cause(self, word: Words, launch: Launch, s: np.void, outcome: int) -> tuple[Cause, int]:
        if outcome == state.ILLEGAL:
            return Cause.ILLEGAL_INSTRUCTION, 0
        instruction = decode(word, self.config)[0]
        storing = s["storing"]
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
