"""Three modules, their command queues and the token queues between them, at the grain of whole instructions."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import Words, unpack
from weft_hardware.isa import Instruction, Queue
from weft_hardware.registers import ModuleState

from .diagnosis import CHANNELS, Channel, command_queues

POP_PREV, POP_NEXT, RUN, PUSH_PREV, PUSH_NEXT = (1 << k for k in range(5))
"""The steps of an instruction, in their order."""

_STATES = {
    POP_PREV: ModuleState.WAIT_POP_PREV,
    POP_NEXT: ModuleState.WAIT_POP_NEXT,
    RUN: ModuleState.BUSY,
    PUSH_PREV: ModuleState.WAIT_PUSH_PREV,
    PUSH_NEXT: ModuleState.WAIT_PUSH_NEXT,
}


@dataclass(frozen=True)
class Plan:
    """What a program asks of the queues.

    Attributes
    ----------
    steps : list of int
        The steps that each instruction takes; flags that name a neighbour that does not exist are left out.
    queues : list of program indices for each queue
    """

    steps: list[int]
    queues: dict[Queue, list[int]]


def plan_of(program: Words, config: AcceleratorConfig) -> Plan:
    """The queue and the steps of every instruction, legal or not."""
    queues = command_queues(program, config)
    flags = unpack(Instruction, program, config)
    steps = np.full(len(program), RUN)
    for name, bit, edge in (
        ("pop_prev", POP_PREV, Queue.LOAD),
        ("pop_next", POP_NEXT, Queue.STORE),
        ("push_prev", PUSH_PREV, Queue.LOAD),
        ("push_next", PUSH_NEXT, Queue.STORE),
    ):
        steps |= np.where((flags[name] != 0) & (queues != edge), bit, 0)
    return Plan(steps.tolist(), {queue: np.flatnonzero(queues == queue).tolist() for queue in Queue})


class _Module:
    """One module: its instructions, how many it retired and which steps the current one still has to take."""

    __slots__ = ("indices", "pops", "pushes", "queue", "remaining", "retired")

    def __init__(self, queue: Queue, indices: list[int]) -> None:
        self.queue = queue
        self.indices = indices
        self.retired = 0
        self.remaining = 0
        """Steps left of the instruction at the head; 0 before it is looked at."""
        slots = {channel: k for k, channel in enumerate(CHANNELS)}
        before, after = queue - 1, queue + 1
        self.pops = {POP_PREV: slots.get((before, queue), -1), POP_NEXT: slots.get((after, queue), -1)}  # type: ignore[call-overload]
        self.pushes = {PUSH_PREV: slots.get((queue, before), -1), PUSH_NEXT: slots.get((queue, after), -1)}  # type: ignore[call-overload]


class Engine:
    """Runs a program in an order that tokens and queue depths allow.

    An instruction pops (prev, then next), runs, pushes (prev, then next), and occupies its command queue until then.

    Parameters
    ----------
    run : callable
        Executes the instruction at a program index.
    """

    def __init__(self, config: AcceleratorConfig, plan: Plan, run: Callable[[int], None]) -> None:
        self._steps = plan.steps
        self._execute = run
        self._modules = [_Module(queue, plan.queues[queue]) for queue in Queue]
        self._tokens = [0] * len(CHANNELS)
        self._token_depth = config.token_queue_depth
        self._command_depth = config.command_queue_depth

    def run(self, chooser: random.Random | None = None) -> None:
        """Go on until the program ended or nothing can move."""
        if chooser is None:
            while any([self._advance(module, None) for module in self._modules]):
                pass
            return
        moving = list(self._modules)
        while moving:
            module = chooser.choice(moving)
            if self._advance(module, 1):
                moving = list(self._modules)
            else:
                moving.remove(module)

    def _frontier(self) -> int:
        """Program index of the first instruction that fetch cannot dispatch yet."""
        depth = self._command_depth
        return min(
            module.indices[module.retired + depth] if module.retired + depth < len(module.indices) else len(self._steps)
            for module in self._modules
        )

    def _advance(self, module: _Module, limit: int | None) -> bool:
        """Take up to ``limit`` steps of one module; whether it took any."""
        tokens, steps, indices, execute = self._tokens, self._steps, module.indices, self._execute
        frontier = self._frontier()
        taken = 0
        while module.retired < len(indices) and taken != limit:
            index = indices[module.retired]
            if index >= frontier:
                frontier = self._frontier()
                if index >= frontier:
                    break
            remaining = module.remaining or steps[index]
            step = remaining & -remaining
            if step == RUN:
                execute(index)
            elif step < RUN:
                slot = module.pops[step]
                if not tokens[slot]:
                    break
                tokens[slot] -= 1
            else:
                slot = module.pushes[step]
                if tokens[slot] >= self._token_depth:
                    break
                tokens[slot] += 1
            taken += 1
            module.remaining = remaining ^ step
            if not module.remaining:
                module.retired += 1
        return taken > 0

    def finished(self) -> bool:
        """Whether every instruction retired."""
        return all(module.retired == len(module.indices) for module in self._modules)

    def retired(self) -> dict[Queue, int]:
        return {module.queue: module.retired for module in self._modules}

    def waiting_tokens(self) -> dict[Channel, int]:
        """Token queues that are not empty."""
        return {channel: count for channel, count in zip(CHANNELS, self._tokens, strict=True) if count}

    def states(self) -> dict[Queue, ModuleState]:
        """What each module waits for, when nothing can move."""
        frontier = self._frontier()
        states = {}
        for module in self._modules:
            states[module.queue] = ModuleState.IDLE
            if module.retired < len(module.indices) and (index := module.indices[module.retired]) < frontier:
                remaining = module.remaining or self._steps[index]
                states[module.queue] = _STATES[remaining & -remaining]
        return states
