"""The whole check of one program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import Words, as_words, decode, opcodes
from weft_hardware.isa import Instruction, Opcode, Queue, instruction_bytes
from weft_hardware.registers import Cause, Unit

from ..device import Launch, check_launch
from ..diagnosis import deadlock_message, token_message
from ..dram import Dram
from ..errors import Fault
from ..schedule import Engine, Plan, plan_of
from .accesses import Accesses, AccessReader, RefusedError, UnknownError
from .findings import Finding, Kind, Span
from .order import legal_order, pushers
from .races import RaceFinder
from .regions import Block, Stretch, gaps
from .report import Report


def check_program(
    launch: Launch, memory: Dram, config: AcceleratorConfig, *, constants: Sequence[Stretch] | None = None
) -> Report:
    """Prove that a program runs to its end with the same result whatever the timing, or find what is in the way.

    Nothing is executed.

    Parameters
    ----------
    launch : Launch
        Where the program lies, its base registers and windows.
    memory : Dram
        The memory before the launch, the program and its micro-ops in it; not changed.
    constants : sequence of (begin, end), optional
        Addresses whose bytes are the same at every launch, and must stay so; what lies elsewhere is not known, say
        inputs, or results of other programs. By default all of the memory is known, and only the program must stay.

    Raises
    ------
    DeviceError
        If the launch is refused before it starts, or the instructions do not lie in the memory.
    """
    check_launch(launch, config)
    size = launch.insn_count * instruction_bytes(config)
    words = as_words(memory.view(launch.insn_address, size).copy(), config)
    plan = plan_of(words, config)
    instructions = _decoded(words, config)
    findings = _check_queues(words, plan, config)
    unknown = () if constants is None else gaps(constants, memory.base, memory.base + memory.data.size)
    reader = AccessReader(launch, memory, config, unknown)
    program = (launch.insn_address, launch.insn_address + size)
    accesses = _read(instructions, plan, reader, findings)
    for index in plan.queues[Queue.STORE]:
        findings += _check_store(index, accesses[index], program, constants or ())
    finder = RaceFinder(instructions, accesses, plan, memory, config)
    findings += finder.walk(legal_order(plan, sources := pushers(plan)), sources)
    return Report(config, words, tuple(findings))


def _decoded(words: Words, config: AcceleratorConfig) -> list[Instruction | None]:
    """The instructions, None where the opcode is none."""
    known = np.isin(opcodes(words), tuple(Opcode))
    decoded = iter(decode(words[known], config))
    return [next(decoded) if is_known else None for is_known in known.tolist()]


def _check_queues(words: Words, plan: Plan, config: AcceleratorConfig) -> list[Finding]:
    """Deadlock, tokens left, no FINISH: one run decides, since who waits for ever does so whatever the timing."""
    findings = []
    engine = Engine(config, plan, lambda _: None)
    engine.run()
    tokens = engine.waiting_tokens()
    if not engine.finished():
        retired = engine.retired()
        heads = [line[retired[queue]] for queue, line in plan.queues.items() if retired[queue] < len(line)]
        text = deadlock_message(words, config, retired, engine.states(), tokens)
        findings.append(Finding(Kind.DEADLOCK, tuple(sorted(heads)), text=text))
    elif tokens:
        findings.append(Finding(Kind.TOKENS_LEFT, text=token_message(words, config, tokens)))
    if not (opcodes(words) == Opcode.FINISH).any():
        findings.append(Finding(Kind.FAULT, fault=Fault(Cause.NO_FINISH, Unit.ENGINE, len(words), 0)))
    return findings


def _read(
    instructions: list[Instruction | None],
    plan: Plan,
    reader: AccessReader,
    findings: list[Finding],
) -> list[Accesses]:
    """What each instruction reaches; what faults reaches nothing."""
    places = {index: (queue, k) for queue, line in plan.queues.items() for k, index in enumerate(line)}
    every = []
    for index, instruction in enumerate(instructions):
        accesses = Accesses()
        queue, k = places[index]
        try:
            accesses = reader.of(instruction)
        except RefusedError as refused:
            fault = Fault(refused.cause, Unit(queue), k, refused.value)
            findings.append(Finding(Kind.FAULT, (index,), fault=fault))
        except UnknownError as unknown:
            findings.append(Finding(Kind.UNKNOWN_MICRO_OPS, (index,), unknown.span))
        every.append(accesses)
    return every


def _check_store(index: int, accesses: Accesses, program: Stretch, constants: Sequence[Stretch]) -> Iterator[Finding]:
    """A STORE over the program, a constant, or its own residual operand, none of which any token could order."""
    reads = [block for writes, block in accesses.blocks if not writes]
    for writes, block in accesses.blocks:
        if not writes:
            continue
        if block.meets(*program):
            yield Finding(Kind.PROGRAM_OVERWRITTEN, (index,), _common(block, *program))
        for constant in constants:
            if block.meets(*constant) and constant != program:
                yield Finding(Kind.CONSTANT_OVERWRITTEN, (index,), _common(block, *constant))
        for operand in reads:
            distance = operand.start - block.start
            in_place = distance == 0 and (block.rows == 1 or block.pitch >= block.length)
            if block.meets_moved(distance) and not in_place:
                yield Finding(Kind.OPERAND_OVERWRITTEN, (index,), _common(block, operand.start, operand.end))


def _common(block: Block, begin: int, end: int) -> Span:
    """The stretch of DRAM in which a block meets ``[begin, end)``."""
    first, last = max(block.start, begin), min(block.end, end) - 1
    return Span("DRAM", first, last, last - first + 1)
