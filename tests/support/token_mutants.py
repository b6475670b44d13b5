"""Programs whose tokens are wrong: dropped, added, swapped, retargeted."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from weft_hardware.isa import Instruction, Queue
from weft_simulator.lockstep.oracle import token_edges
from weft_simulator.lockstep.program import Program
from weft_simulator.lockstep.tokens import CHANNELS, Channel, pop_flag, popped, push_flag, pushed

FLAGS = ("pop_prev", "pop_next", "push_prev", "push_next")

Mutation = Callable[[list[Instruction], random.Random], bool]
"""Changes instructions in place; False if they offer nothing to change."""


def _set(instructions: list[Instruction], index: int, flag: str, value: bool) -> None:
    instructions[index] = replace(instructions[index], **{flag: value})


def _moves(instructions: list[Instruction], moved: Callable) -> list[tuple[int, Channel]]:
    return [(k, channel) for k, insn in enumerate(instructions) for channel in moved(insn)]


def _pairs(instructions: list[Instruction]) -> list[tuple[int, int, Channel]]:
    edges = token_edges(instructions)[0]
    return [(a, b, (instructions[a].queue, instructions[b].queue)) for a, b in edges]


def drop_push(instructions: list[Instruction], rng: random.Random) -> bool:
    """A token that is never given."""
    moves = _moves(instructions, pushed)
    if moves:
        index, channel = rng.choice(moves)
        _set(instructions, index, push_flag(channel), False)
    return bool(moves)


def drop_pop(instructions: list[Instruction], rng: random.Random) -> bool:
    """A token that is never taken; later pops take earlier tokens."""
    moves = _moves(instructions, popped)
    if moves:
        index, channel = rng.choice(moves)
        _set(instructions, index, pop_flag(channel), False)
    return bool(moves)


def drop_token(instructions: list[Instruction], rng: random.Random) -> bool:
    """A push and its pop."""
    pairs = _pairs(instructions)
    if pairs:
        pusher, popper, channel = rng.choice(pairs)
        _set(instructions, pusher, push_flag(channel), False)
        _set(instructions, popper, pop_flag(channel), False)
    return bool(pairs)


def drop_push_and_pop(instructions: list[Instruction], rng: random.Random) -> bool:
    """A push and a pop of one channel that need not belong together: the tokens between them change hands."""
    moves = _moves(instructions, pushed)
    if not moves:
        return False
    index, channel = rng.choice(moves)
    poppers = [k for k, c in _moves(instructions, popped) if c == channel]
    if not poppers:
        return False
    _set(instructions, index, push_flag(channel), False)
    _set(instructions, rng.choice(poppers), pop_flag(channel), False)
    return True


def add_token(instructions: list[Instruction], rng: random.Random) -> bool:
    """A push and a pop where there were none: orders more, or hangs, or makes later tokens change hands."""
    channel = rng.choice(CHANNELS)
    push, pop = push_flag(channel), pop_flag(channel)
    givers = [k for k, i in enumerate(instructions) if i.queue is channel[0] and not getattr(i, push)]
    takers = [k for k, i in enumerate(instructions) if i.queue is channel[1] and not getattr(i, pop)]
    if not (givers and takers):
        return False
    _set(instructions, rng.choice(givers), push, True)
    _set(instructions, rng.choice(takers), pop, True)
    return True


def retarget(instructions: list[Instruction], rng: random.Random) -> bool:
    """One end of a token moves to another instruction of the same queue."""
    moved, flag_of, end = rng.choice(((pushed, push_flag, 0), (popped, pop_flag, 1)))
    moves = _moves(instructions, moved)
    if not moves:
        return False
    index, channel = rng.choice(moves)
    flag, queue = flag_of(channel), channel[end]
    free = [k for k, insn in enumerate(instructions) if insn.queue is queue and not getattr(insn, flag)]
    if not free:
        return False
    near = sorted(free, key=lambda k: abs(k - index))[:3]
    _set(instructions, index, flag, False)
    _set(instructions, rng.choice((*near, *free)), flag, True)
    return True


def turn(instructions: list[Instruction], rng: random.Random) -> bool:
    """An instruction of Compute gives to, or takes from, the other neighbour."""
    moves = [(k, f) for k, i in enumerate(instructions) if i.queue is Queue.COMPUTE for f in FLAGS if getattr(i, f)]
    if not moves:
        return False
    index, flag = rng.choice(moves)
    other = flag.replace("prev", "next") if flag.endswith("prev") else flag.replace("next", "prev")
    _set(instructions, index, flag, getattr(instructions[index], other))
    _set(instructions, index, other, True)
    return True


def swap(instructions: list[Instruction], rng: random.Random) -> bool:
    """Two instructions of a queue exchange their flags."""
    queue = rng.choice(list(Queue))
    line = [k for k, insn in enumerate(instructions) if insn.queue is queue]
    if len(line) < 2:
        return False
    a, b = rng.sample(line, 2)
    flags = [{name: getattr(instructions[k], name) for name in FLAGS} for k in (a, b)]
    instructions[a], instructions[b] = replace(instructions[a], **flags[1]), replace(instructions[b], **flags[0])
    return flags[0] != flags[1]


MUTATIONS: tuple[Mutation, ...] = (
    drop_push, drop_pop, drop_token, drop_token, drop_push_and_pop, add_token, retarget, retarget, turn, swap,
)  # fmt: skip


def mutant(program: Program, rng: random.Random, count: int = 1) -> Program:
    """The program after some mutations, named after them."""
    instructions, names = list(program.instructions), []
    for _ in range(100):
        mutation = rng.choice(MUTATIONS)
        if mutation(instructions, rng):
            names.append(mutation.__name__)
        if len(names) == count:
            break
    changed = replace(program, instructions=instructions, image=program.image.copy())
    changed.name = f"{program.name}, {' and '.join(names)}"
    changed.install()
    return changed
