"""All orders in which queues and tokens let a short program run, executed on the reference model."""

from __future__ import annotations

import copy
import hashlib
from collections import Counter
from dataclasses import dataclass

from weft_hardware.isa import Queue
from weft_simulator.lockstep.program import Program
from weft_simulator.lockstep.reference import Machine, launch_registers
from weft_simulator.lockstep.tokens import popped, pushed


@dataclass(frozen=True)
class Outcomes:
    """How a program may end: digests of the memory it leaves, and whether it may hang or leave tokens behind."""

    memories: frozenset[str]
    hangs: bool
    leftover: bool

    @property
    def harmless(self) -> bool:
        return len(self.memories) == 1 and not self.hangs and not self.leftover


def outcomes(program: Program) -> Outcomes:
    """Run every order; states that two orders share are gone on from once.

    Token queues have any depth: what a full one makes wait is no order to count on.
    """
    machine = Machine(program.config)
    machine.dram = bytearray(program.image.tobytes())
    machine.dram_base, machine.bases, machine.registers = program.dram_base, program.bases, launch_registers()
    lines = [[insn for insn in program.instructions if insn.queue is queue] for queue in Queue]
    states: dict[tuple[int, ...], dict[str, Machine]] = {(0, 0, 0): {_digest(machine): machine}}
    ends: set[str] = set()
    hangs = leftover = False
    while states:
        position = min(states, key=sum)
        machines = states.pop(position)
        tokens: Counter = Counter()
        for line, done in zip(lines, position, strict=True):
            for insn in line[:done]:
                tokens.update(pushed(insn))
                tokens.subtract(popped(insn))
        moving = [
            q for q in Queue if position[q] < len(lines[q]) and all(tokens[c] for c in popped(lines[q][position[q]]))
        ]
        if not moving:
            done = all(p == len(line) for p, line in zip(position, lines, strict=True))
            hangs |= not done
            leftover |= done and any(tokens.values())
            ends |= {hashlib.sha256(m.dram).hexdigest() for m in machines.values()}
        for queue in moving:
            after = tuple(p + (q is queue) for p, q in zip(position, Queue, strict=True))
            for before in machines.values():
                following = copy.copy(before)
                for name in ("inp", "wgt", "acc", "uop", "param", "table", "registers", "dram"):
                    setattr(following, name, copy.copy(getattr(before, name)))
                following.execute(lines[queue][position[queue]])
                states.setdefault(after, {})[_digest(following)] = following
    return Outcomes(frozenset(ends), hangs, leftover)


def _digest(machine: Machine) -> str:
    state = hashlib.sha256(machine.dram)
    for name in ("inp", "wgt", "acc", "uop", "param", "table"):
        state.update(getattr(machine, name).tobytes())
    state.update(repr(sorted(machine.registers.items())).encode())
    return state.hexdigest()
