"""Why a launch hung, faulted or left tokens behind, told from the program and the few registers a device shows.

Simulators and boards share these sentences: a device reports retired counts, module states and token counts, and the
instruction concerned is found by decoding the program again. Everything here runs after the fact, never in a hot loop.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import Words, decode, opcodes, unpack
from weft_hardware.isa import (
    LOAD_QUEUES,
    SET_QUEUE_SHIFT,
    Alu,
    AluOp,
    Gemm,
    Instruction,
    Load,
    LoopInstruction,
    Memory,
    MemoryInstruction,
    Opcode,
    Queue,
    Set,
    SetRegister,
    Store,
    StoreMode,
    illegal_reason,
    scratchpad_depth,
)
from weft_hardware.registers import Cause, ModuleState, Unit

from .errors import Fault

Channel = tuple[Queue, Queue]
"""A token queue: who pushes, who pops."""

CHANNELS: tuple[Channel, ...] = (
    (Queue.LOAD, Queue.COMPUTE),
    (Queue.COMPUTE, Queue.LOAD),
    (Queue.COMPUTE, Queue.STORE),
    (Queue.STORE, Queue.COMPUTE),
)

_STEP = {"prev": -1, "next": 1}
_WAITS = {
    ModuleState.WAIT_POP_PREV: ("pop", "prev"),
    ModuleState.WAIT_POP_NEXT: ("pop", "next"),
    ModuleState.WAIT_PUSH_PREV: ("push", "prev"),
    ModuleState.WAIT_PUSH_NEXT: ("push", "next"),
}


def command_queues(program: Words, config: AcceleratorConfig) -> NDArray[np.int64]:
    """The `Queue` that fetch sends each instruction to; an opcode that is none goes to compute."""
    codes = opcodes(program)
    memories = unpack(Load, program, config)["memory"]
    queues = np.full(len(program), int(Queue.COMPUTE))
    queues[codes == Opcode.STORE] = Queue.STORE
    for memory, queue in LOAD_QUEUES.items():
        queues[(codes == Opcode.LOAD) & (memories == memory)] = queue
    chosen = unpack(Set, program, config)["register"] >> SET_QUEUE_SHIFT
    return np.where((codes == Opcode.SET) & (chosen < len(Queue)), chosen, queues)


def program_index(program: Words, config: AcceleratorConfig, queue: Queue, k: int) -> int | None:
    """Index in the program of the k-th instruction (from 0) of a queue, None if it has no so many."""
    rows = np.flatnonzero(command_queues(program, config) == queue)
    return int(rows[k]) if k < rows.size else None


def blocked_fetch(program: Words, config: AcceleratorConfig, retired: Mapping[Queue, int]) -> int | None:
    """Index of the instruction that fetch cannot dispatch because its command queue is full, None if there is none.

    An instruction occupies its queue until it retires.
    """
    queues = command_queues(program, config)
    full = [
        rows[retired[queue] + config.command_queue_depth]
        for queue in Queue
        if (rows := np.flatnonzero(queues == queue)).size > retired[queue] + config.command_queue_depth
    ]
    return int(min(full)) if full else None


class ProgramView:
    """A program seen queue by queue."""

    def __init__(self, program: Words, config: AcceleratorConfig) -> None:
        self.words = program
        self.config = config
        self.queues = command_queues(program, config)
        # The flags lie at the same bits in every instruction, undecodable ones included.
        self.flags = {n: c != 0 for n, c in unpack(Instruction, program, config).items()}

    def instruction(self, index: int) -> Instruction | None:
        """The decoded instruction, None where the opcode is none."""
        row = self.words[index : index + 1]
        return decode(row, self.config)[0] if int(opcodes(row)[0]) in tuple(Opcode) else None

    def name(self, index: int) -> str:
        """``instruction 3 (LOAD INP)``."""
        instruction = self.instruction(index)
        if instruction is None:
            return f"instruction {index} (opcode {opcodes(self.words[index : index + 1])[0]})"
        text = instruction.OPCODE.name
        if isinstance(instruction, MemoryInstruction) and instruction.memory in tuple(Memory):
            text += f" {Memory(instruction.memory).name}"
        if isinstance(instruction, Alu) and instruction.alu_op in tuple(AluOp):
            text += f" {AluOp(instruction.alu_op).name}"
        if isinstance(instruction, Set) and instruction.register in tuple(SetRegister):
            text += f" {SetRegister(instruction.register).name}"
        return f"instruction {index} ({text})"

    def rows(self, queue: Queue) -> NDArray[np.int64]:
        return np.flatnonzero(self.queues == queue)

    def moving(self, queue: Queue, action: str, channel: Channel) -> NDArray[np.int64]:
        """Program indices of a queue's instructions that pop from, or push into, a channel."""
        rows = self.rows(queue)
        other = channel[0] if queue is channel[1] else channel[1]
        side = "prev" if other < queue else "next"
        return rows[self.flags[f"{action}_{side}"][rows]]


def _neighbour(queue: Queue, side: str) -> Queue:
    return Queue(queue + _STEP[side])


def _label(queue: Queue) -> str:
    return queue.name.lower()


def _tokens(count: int) -> str:
    return "1 token" if count == 1 else f"{count} tokens"


def _next_mover(program: ProgramView, mover: Queue, action: str, channel: Channel, retired: int) -> str | None:
    """The next instruction of ``mover`` that would push into, or pop from, the channel."""
    rows = program.rows(mover)[retired:]
    moving = program.moving(mover, action, channel)
    moving = moving[moving >= rows[0]] if rows.size else moving[:0]
    return program.name(int(moving[0])) if moving.size else None


def _waiting(program: ProgramView, queue: Queue, index: int, state: ModuleState, retired: Mapping[Queue, int]) -> str:
    """One clause: what one stuck module waits for, and who would end the wait."""
    action, side = _WAITS[state]
    other = _neighbour(queue, side)
    me, them = _label(queue), _label(other)
    if action == "pop":
        subject = f"{me} waits at {program.name(index)} for a token from {them}"
        helper = _next_mover(program, other, "push", (other, queue), retired[other])
        return (
            f"{subject}, which {helper} would push"
            if helper
            else f"{subject}, but no {them} instruction left pushes one"
        )
    depth = program.config.token_queue_depth
    subject = f"{me} waits after {program.name(index)} to push a token to {them}, whose token queue is full ({depth})"
    helper = _next_mover(program, other, "pop", (queue, other), retired[other])
    return f"{subject} until {helper} takes one" if helper else f"{subject}, but no {them} instruction left takes one"


def deadlock_message(
    program: Words,
    config: AcceleratorConfig,
    retired: Mapping[Queue, int],
    states: Mapping[Queue, ModuleState],
    tokens: Mapping[Channel, int],
) -> str:
    """One sentence that says who waits for what, at which instruction of the program.

    Parameters
    ----------
    program : uint64 array, shape (n, instruction_bits / 64)
        The whole program as launched.
    retired : Mapping[Queue, int]
        Instructions that each queue completed, their tokens pushed.
    states : Mapping[Queue, ModuleState]
        What each module does now.
    tokens : Mapping[Channel, int]
        Tokens waiting now; absent channels are empty.
    """
    view = ProgramView(program, config)
    clauses = []
    for queue in Queue:
        index = program_index(program, config, queue, retired[queue])
        state = states[queue]
        if index is None or state == ModuleState.IDLE:
            continue
        if state == ModuleState.BUSY:
            clauses.append(f"{_label(queue)} is busy with {view.name(index)}")
        else:
            clauses.append(_waiting(view, queue, index, state, retired))
    blocked = blocked_fetch(program, config, retired)
    if blocked is not None:
        full = _label(Queue(int(view.queues[blocked])))
        clauses.append(
            f"fetch cannot dispatch {view.name(blocked)} because the {full} queue is full "
            f"({config.command_queue_depth} instructions)"
        )
    waiting = [f"{_tokens(tokens[c])} from {_label(c[0])} to {_label(c[1])}" for c in CHANNELS if tokens.get(c)]
    held = f" (waiting tokens: {', '.join(waiting)})" if waiting else ""
    done = sum(retired.values())
    return (
        f"deadlock after {done} of {len(program)} instructions: {'; '.join(clauses)}{held}; "
        "give every pop a push that can come before it"
    )


def _range_reason(program: ProgramView, index: int, value: int) -> str:
    instruction = program.instruction(index)
    config = program.config
    name = program.name(index)
    if isinstance(instruction, MemoryInstruction):
        depth = scratchpad_depth(Memory(instruction.memory), config)
        width = instruction.x_pad0 + instruction.x_size + instruction.x_pad1
        height = instruction.y_pad0 + instruction.y_size + instruction.y_pad1
        last = instruction.sram + width * height - 1
        if last < depth:
            # The block fits, so what does not is the parameter tile that a requantising STORE wanted.
            return (
                f"{name}: parameter tile {value} is outside the PARAM scratchpad of {config.param_depth} tiles "
                f"(0..{config.param_depth - 1}); lower register PARAM or store a smaller block"
            )
        return (
            f"{name}: tiles {instruction.sram}..{last} do not fit the {Memory(instruction.memory).name} scratchpad of "
            f"{depth} tiles (0..{depth - 1}); move a smaller block or lower sram"
        )
    names = [("micro-op", Memory.UOP), ("accumulator", Memory.ACC)]
    if isinstance(instruction, Gemm) and not instruction.reset:
        names += [("input", Memory.INP), ("weight", Memory.WGT)]
    if isinstance(instruction, LoopInstruction) and instruction.uop_end <= config.uop_depth:
        names = names[1:]
    outside = [f"{text} 0..{depth - 1}" for text, m in names if (depth := scratchpad_depth(m, config)) <= value]
    return (
        f"{name}: index {value} is outside its scratchpad ({' or '.join(outside)}); "
        "correct the micro-ops, loop counts or steps"
    )


def _addressing(instruction: Instruction | None) -> str:
    """What decides which DRAM a LOAD or STORE reaches."""
    reads_residual = (
        isinstance(instruction, Store)
        and instruction.memory == Memory.ACC_8BIT
        and instruction.mode & StoreMode.RESIDUAL
    )
    if reads_residual:
        return "its base register, dram, sizes, x_stride and register RESIDUAL"
    return "its base register, dram, sizes and x_stride"


def _illegal(program: ProgramView, index: int) -> str | None:
    """Why the instruction at an index is illegal, None if it is legal."""
    instruction = program.instruction(index)
    if instruction is not None:
        reason = illegal_reason(instruction, program.config)
        return reason and f"instruction {index}: {reason}"
    legal = ", ".join(f"{o.name} ({o.value})" for o in Opcode)
    code = opcodes(program.words[index : index + 1])[0]
    return f"instruction {index}: opcode {code} is not one of {legal}; check the stream's address and count"


def watchdog_message(
    program: Words,
    config: AcceleratorConfig,
    retired: Mapping[Queue, int],
    states: Mapping[Queue, ModuleState],
    cycles: int,
) -> str:
    """One sentence for a program that the watchdog stopped: which instructions made no progress."""
    view = ProgramView(program, config)
    busy = {q: program_index(program, config, q, retired[q]) for q in Queue if states[q] == ModuleState.BUSY}
    clauses = [f"{_label(queue)} is busy with {view.name(index)}" for queue, index in busy.items() if index is not None]
    doing = "; ".join(clauses) if clauses else "no module has an instruction to run"
    return (
        f"watchdog: nothing moved for {cycles} cycles after {sum(retired.values())} of {len(program)} instructions: "
        f"{doing}; check the memory, or raise the watchdog if it may take so long"
    )


def bus_hung_message(value: int) -> str:
    """One clause for a soft reset that waited for the bus in vain; ``value`` is that of the fault BUS_HUNG."""
    missing = " and ".join(name for k, name in enumerate(("reads", "writes")) if value >> k & 1)
    return (
        f"the memory never answered {missing}, and it took a hardware reset of the accelerator to go on; check the bus"
    )


def fault_message(program: Words, config: AcceleratorConfig, fault: Fault) -> str:
    """One sentence for a fault that an instruction, its fetch or the lack of one raised.

    Parameters
    ----------
    program : uint64 array, shape (n, instruction_bits / 64)
        The whole program as launched.
    """
    view = ProgramView(program, config)
    cause, unit, value = fault.cause, fault.unit, fault.value
    if cause == Cause.NO_FINISH:
        return f"all {len(program)} instructions ran and none was FINISH; end the program with FINISH"
    index = program_index(program, config, Queue(unit), fault.index) if unit <= Unit.STORE else None
    if cause in (Cause.BUS_ERROR, Cause.WINDOW):
        subject = "instruction fetch" if index is None else view.name(index)
        remedy = "the instruction address and count" if index is None else _addressing(view.instruction(index))
        return f"{subject}: DRAM access at {value:#x} is outside the memory or was refused; correct {remedy}"
    if cause == Cause.ILLEGAL_INSTRUCTION and index is not None and (reason := _illegal(view, index)):
        return reason
    if cause == Cause.SCRATCHPAD_RANGE and index is not None:
        return _range_reason(view, index, value)
    where = "" if index is None else f" at {view.name(index)}"
    return f"{unit.name.lower()} raised {cause.name}{where} with value {value:#x}; reset the device"


def token_message(program: Words, config: AcceleratorConfig, tokens: Mapping[Channel, int]) -> str:
    """One sentence for tokens that nobody took before the program ended."""
    view = ProgramView(program, config)
    clauses = []
    for source, target in CHANNELS:
        count = tokens.get((source, target), 0)
        if not count:
            continue
        pushers = view.moving(source, "push", (source, target))
        last = f" (last pushed by {view.name(int(pushers[-1]))})" if pushers.size else ""
        clauses.append(f"{_tokens(count)} from {_label(source)} to {_label(target)}{last}")
    return (
        f"the program ended with {' and '.join(clauses)} that no instruction took; "
        "give every push a pop, or drop the push flag"
    )
