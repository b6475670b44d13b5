"""Makes a failing program small: fewer instructions, fewer tokens, smaller blocks and loops, an image of zeros.

Every step keeps the program legal by the oracle, so that what is left fails for the simulators' reasons, not its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from weft_hardware.isa import Finish, Instruction, LoopInstruction, MemoryInstruction

from .accesses import OutOfRangeError
from .oracle import all_accesses, judge, token_edges
from .program import Program
from .tokens import pop_flag, push_flag

Fails = Callable[[Program], bool]


def shrink(program: Program, fails: Fails) -> Program:
    """The smallest program found by local steps, each of which keeps it legal and failing.

    Parameters
    ----------
    program : Program
        Legal, and ``fails(program)`` holds.
    fails : function
        Runs a program from cleared scratchpads and tells whether it still fails.
    """

    def holds(candidate: Program) -> bool:
        return is_legal(candidate) and fails(candidate)

    before = None
    while before != _size(program):
        before = _size(program)
        program = _fewer_instructions(program, holds)
        program = _first_that_holds(program, _with_fewer_tokens, holds)
        program = _first_that_holds(program, _with_smaller_fields, holds)
    return _emptier(program, holds)


def is_legal(program: Program) -> bool:
    """Whether nothing of it races, hangs or faults."""
    try:
        return judge(program).legal
    except OutOfRangeError:
        return False


def _size(program: Program) -> tuple[int, int]:
    """Instructions, and the sum of all their fields."""
    fields = (int(value) for insn in program.instructions for value in vars(insn).values())
    return len(program.instructions), sum(abs(value) for value in fields)


def with_instructions(program: Program, instructions: list[Instruction]) -> Program:
    """The program with other instructions in the same memory."""
    changed = replace(program, instructions=instructions, image=program.image.copy())
    changed.install()
    return changed


def without(program: Program, dropped: Iterable[int]) -> Program:
    """The program without some instructions; their tokens go with them, at both ends."""
    gone = set(dropped)
    kept = dict(enumerate(program.instructions))
    for pusher, popper in token_edges(program.instructions)[0]:
        if pusher in gone or popper in gone:
            kept = _cut(kept, pusher, popper)
    return with_instructions(program, [insn for index, insn in kept.items() if index not in gone])


def _cut(instructions: dict[int, Instruction], pusher: int, popper: int) -> dict[int, Instruction]:
    """The instructions without the token from one to the other."""
    channel = instructions[pusher].queue, instructions[popper].queue
    push = replace(instructions[pusher], **{push_flag(channel): False})
    pop = replace(instructions[popper], **{pop_flag(channel): False})
    return {**instructions, pusher: push, popper: pop}


def _fewer_instructions(program: Program, holds: Fails) -> Program:
    """Drop runs of instructions, long ones first; FINISH stays."""
    length = len(program.instructions) // 2
    while length:
        start = 0
        while start < len(program.instructions):
            run = range(start, min(start + length, len(program.instructions)))
            candidate = without(program, (k for k in run if not isinstance(program.instructions[k], Finish)))
            if len(candidate.instructions) < len(program.instructions) and holds(candidate):
                program = candidate
            else:
                start += length
        length //= 2
    return program


def _first_that_holds(program: Program, steps: Callable[[Program], Iterator[Program]], holds: Fails) -> Program:
    """Take the first step that keeps the failure, and begin again, until none does."""
    while (better := next((candidate for candidate in steps(program) if holds(candidate)), None)) is not None:
        program = better
    return program


def _with_fewer_tokens(program: Program) -> Iterator[Program]:
    for pusher, popper in token_edges(program.instructions)[0]:
        cut = _cut(dict(enumerate(program.instructions)), pusher, popper)
        yield with_instructions(program, list(cut.values()))


def _with_smaller_fields(program: Program) -> Iterator[Program]:
    for index, insn in enumerate(program.instructions):
        for changes in _smaller(insn):
            smaller = list(program.instructions)
            smaller[index] = replace(insn, **changes)
            yield with_instructions(program, smaller)


def _smaller(insn: Instruction) -> Iterator[dict[str, int]]:
    """Changes that make an instruction do less, the boldest first."""
    if isinstance(insn, MemoryInstruction):
        least = {"y_size": 1, "x_size": 1, "y_pad0": 0, "y_pad1": 0, "x_pad0": 0, "x_pad1": 0}
    elif isinstance(insn, LoopInstruction):
        least = {"iter_out": 1, "iter_in": 1, "uop_end": insn.uop_bgn + 1}
    else:
        return
    for name, low in least.items():
        value = getattr(insn, name)
        for smaller in dict.fromkeys((low, low + (value - low) // 2, value - 1)):
            if low <= smaller < value:
                yield {name: smaller}


def _emptier(program: Program, holds: Fails) -> Program:
    """Zero the memory that is not read, and then as much of the rest as the failure allows."""
    read = 0
    for entry in all_accesses(program):
        read |= entry.reads.get("dram", 0)
    begin, end = (address - program.dram_base for address in program.insn_range)
    bits = bin(read)[:1:-1]
    emptied = replace(program, image=program.image.copy())
    for offset in range(emptied.image.size):
        if not (begin <= offset < end or (offset < len(bits) and bits[offset] == "1")):
            emptied.image[offset] = 0
    return emptied if holds(emptied) else program
