"""The functional simulator as a device: exact in every byte, without time."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace

from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import Words, decode
from weft_hardware.isa import Memory, MemoryInstruction, Queue, SetRegister
from weft_hardware.registers import Cause, Unit
from weft_runtime.device import Launch, RunReport
from weft_runtime.diagnosis import command_queues, deadlock_message, fault_message, token_message
from weft_runtime.dram import Dram
from weft_runtime.errors import DeadlockError, Fault, FaultError, TokenError
from weft_runtime.fault_values import address_outside, value_of
from weft_runtime.schedule import Engine

from ..simulated import DRAM_SIZE, SimulatedDevice
from .decode import ILLEGAL, NOTHING, Decoded, decode_program
from .kernel import Outcome, packing_for
from .kernels import kernels
from .scratchpads import Scratchpads


class _RefusedError(Exception):
    """A kernel, or an illegal instruction, that did not run."""

    def __init__(self, index: int, outcome: Outcome | None) -> None:
        super().__init__(index, outcome)
        self.index = index
        self.outcome = outcome


class FunctionalDevice(SimulatedDevice):
    """Runs whole instructions, one after another, in an order that the tokens allow.

    Parameters
    ----------
    config, dram_size, dram
        See `SimulatedDevice`.
    order_seed : int, optional
        Choose among the modules that can go on at random, from this seed. By default each goes as far as it can.
        Fetch runs as far ahead as the command queues allow; a later fetch is the same as a later choice.
    portable : bool
        Use no dot-product instructions even if the CPU has them.

    Raises
    ------
    DeviceError
        If llvmlite is not installed.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        *,
        dram_size: int = DRAM_SIZE,
        dram: Dram | None = None,
        order_seed: int | None = None,
        portable: bool = False,
    ) -> None:
        super().__init__(config, dram_size, dram)
        packing = packing_for(config, portable=portable)
        self._kernels = kernels(config, packing)
        self._scratchpads = Scratchpads(config, packing, self.dram)
        self._random = None if order_seed is None else random.Random(order_seed)

    def launch(self, launch: Launch) -> RunReport:
        program = self.program(launch)
        decoded = decode_program(program, self.config)
        self._scratchpads.bind(launch.bases, {memory: self.window(launch, memory) for memory in Memory})
        engine = Engine(self.config, decoded.plan, self._runner(decoded))
        try:
            engine.run(self._random)
        except _RefusedError as refused:
            fault = self._fault(program, launch, engine.retired(), refused)
            raise FaultError(fault_message(program, self.config, fault), fault) from None
        if not engine.finished():
            message = deadlock_message(program, self.config, engine.retired(), engine.states(), engine.waiting_tokens())
            raise DeadlockError(message)
        if not decoded.finishes:
            fault = Fault(Cause.NO_FINISH, Unit.ENGINE, len(program), 0)
            raise FaultError(fault_message(program, self.config, fault), fault)
        if tokens := engine.waiting_tokens():
            raise TokenError(token_message(program, self.config, tokens))
        return RunReport(cycles=None, instructions=len(program))

    def _runner(self, decoded: Decoded) -> Callable[[int], None]:
        """A function that runs the instruction at a program index."""
        table = [self._kernels.get(name) for name in decoded.kernel]
        names = decoded.kernel
        state = self._scratchpads.state.ctypes.data
        rows, pitch = decoded.rows.ctypes.data, decoded.rows.strides[0]

        def run(index: int) -> None:
            kernel = table[index]
            if kernel is not None:
                outcome = kernel(state, rows + index * pitch)
                if outcome:
                    raise _RefusedError(index, Outcome(outcome))
            elif names[index] != NOTHING:
                assert names[index] == ILLEGAL
                raise _RefusedError(index, None)

        return run

    def _fault(self, program: Words, launch: Launch, retired: Mapping[Queue, int], refused: _RefusedError) -> Fault:
        """What the fault registers would say."""
        word = program[refused.index : refused.index + 1]
        queue = Queue(int(command_queues(word, self.config)[0]))
        unit, index = Unit(queue), retired[queue]
        if refused.outcome is None:
            return Fault(Cause.ILLEGAL_INSTRUCTION, unit, index, 0)
        instruction = decode(word, self.config)[0]
        if refused.outcome == Outcome.OUT_OF_SCRATCHPAD:
            uops = {name: self._scratchpads.arrays[f"uop_{name}"] for name in ("dst", "src", "wgt")}
            return Fault(Cause.SCRATCHPAD_RANGE, unit, index, value_of(instruction, uops, self.config))
        assert isinstance(instruction, MemoryInstruction)
        registers = self._scratchpads.arrays["registers"]
        if refused.outcome == Outcome.OUT_OF_PARAMETERS:
            value = max(int(registers[SetRegister.PARAM]), self.config.param_depth)
            return Fault(Cause.SCRATCHPAD_RANGE, unit, index, value)
        if refused.outcome == Outcome.RESIDUAL_OUT_OF_WINDOW:
            instruction = replace(instruction, dram=instruction.dram + int(registers[SetRegister.RESIDUAL]))
        memory = Memory(instruction.memory)
        address = address_outside(instruction, launch.bases.get(memory, 0), self.window(launch, memory), self.config)
        address += (address < 0) << self.config.axi_addr_bits  # RESIDUAL may lead below 0, where the bus wraps
        return Fault(Cause.WINDOW, unit, index, address)
