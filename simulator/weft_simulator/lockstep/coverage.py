"""Functional coverage of the instruction set: which opcodes, flags, boundary values and hazards programs have shown.

The bins of a configuration are all that its declarations allow; a bin is a short sentence, and it is hit when a legal
program holds an instruction that the sentence is true of. What was never hit is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import (
    QUEUE_REGISTERS,
    Alu,
    AluOp,
    Finish,
    Gemm,
    GemmOverwrite,
    Load,
    LoopInstruction,
    Memory,
    MemoryInstruction,
    Queue,
    QueueRegister,
    Set,
    SetRegister,
    Store,
    StoreMode,
    alu_operations,
    layout,
    loadable,
    scratchpad_depth,
    settable,
    storable,
    store_modes,
    tile_bytes,
)

from .accesses import AccessTracker
from .generator import SHIFTS
from .oracle import linear_order, predecessors
from .program import Program

DISTANCES = range(1, 7)
"""Steps between two uses of one accumulator at which a pipeline has to forward or wait; others are alike."""

PAGE = 4096
FLAGS = ("pop_prev", "pop_next", "push_prev", "push_next")
PADS = ("y_pad0", "y_pad1", "x_pad0", "x_pad1")
TRIPS = {"0": 0, "1": 1, "16383": 16383}
IMMEDIATES = (-32768, -1, 0, 1, 32767)
EXPONENT_FIELDS = {"is zero or less than the least normal number": 0, "has the exponent field 255": 255}


def bins(config: AcceleratorConfig) -> frozenset[str]:
    """Everything that programs of a configuration can show."""
    return frozenset(
        [
            *_flag_bins(config),
            *_memory_bins(config),
            *_loop_bins(config),
            *_hazard_bins(config),
            *(bin for register in settable(config) for bin in _register_bins(register, config)),
            *(f"ALU imm {value}" for value in IMMEDIATES),
            *(f"ALU SHR imm {value}" for value in SHIFTS),
            "an instruction behind FINISH",
        ]
    )


def _queues(config: AcceleratorConfig) -> Iterator[tuple[str, Queue]]:
    """Each opcode with each queue that it can run in."""
    for memory in loadable(config):
        yield "LOAD", Load(memory=memory).queue
    for register in settable(config):
        yield "SET", Set(register=register).queue
    yield "STORE", Queue.STORE
    opcodes = ["GEMM", "ALU", *(["GEMM_OVERWRITE"] if config.gemm_overwrite else [])]
    yield from ((opcode, Queue.COMPUTE) for opcode in [*opcodes, "FINISH"])


def _flags(queue: Queue) -> list[str]:
    """The flags that name a neighbour which exists."""
    edges = {Queue.LOAD: "prev", Queue.STORE: "next"}
    return [flag for flag in FLAGS if not flag.endswith(edges.get(queue, "neither"))]


def _declared(register: SetRegister, config: AcceleratorConfig) -> QueueRegister:
    """What a register holds that matters: of LOAD_PAD the bits of an input."""
    declared = QUEUE_REGISTERS[register]
    return replace(declared, width=config.inp_bits) if register is SetRegister.LOAD_PAD else declared


def _register_values(register: SetRegister, config: AcceleratorConfig) -> dict[str, int]:
    """The ends of what a register of whole numbers is good for."""
    declared = _declared(register, config)
    if register is SetRegister.PARAM:
        return {"first tile": 0, "last tile": config.param_depth - 1}
    if register in (SetRegister.RESIDUAL, SetRegister.OVERWRITE) or declared.is_float:
        return {}  # by sign, with GEMM_OVERWRITE, by exponent
    low, high = (-1 << (declared.width - 1), (1 << (declared.width - 1)) - 1) if declared.signed else (0, 1)
    return {"least": low, "greatest": high, **({"zero": 0} if declared.signed else {})}


def _register_bins(register: SetRegister, config: AcceleratorConfig) -> Iterator[str]:
    name = f"SET {register.name}"
    yield name
    yield from (f"{name}: {what}" for what in _register_values(register, config))
    if QUEUE_REGISTERS[register].is_float:
        yield from (f"{name}: {what}" for what in (*EXPONENT_FIELDS, "negative", "positive"))
    if register is SetRegister.RESIDUAL:
        yield from (f"{name}: {what}" for what in ("behind the result", "in place", "ahead of the result"))


def _flag_bins(config: AcceleratorConfig) -> Iterator[str]:
    for opcode, queue in _queues(config):
        for flag in _flags(queue):
            yield f"{opcode} in {queue.name.lower()}: {flag}"
            yield f"{opcode} in {queue.name.lower()}: no {flag}"


def _memory_bins(config: AcceleratorConfig) -> Iterator[str]:
    for memory in loadable(config):
        name = f"LOAD {memory.name}"
        yield from _block_bins(name, memory, config)
        yield f"{name}: padding rows only"
        for pad in PADS:
            if scratchpad_depth(memory, config) > 1:
                yield f"{name}: {pad} > 0"
            if scratchpad_depth(memory, config) >= 16:
                yield f"{name}: {pad} = 15"
    for memory in storable(config):
        yield from _block_bins(f"STORE {memory.name}", memory, config)
        yield f"STORE {memory.name}: no rows"
    if Memory.ACC_8BIT in storable(config):
        for mode in StoreMode:
            if mode & store_modes(config):
                yield f"STORE ACC_8BIT: {mode.name}"
                yield f"STORE ACC_8BIT: no {mode.name}"
        if config.param_depth > 1:
            yield from (f"STORE ACC_8BIT: {what}" for what in ("a parameter tile a column", "a parameter tile a row"))
        yield "STORE ACC_8BIT: the last parameter tile"


def _block_bins(name: str, memory: Memory, config: AcceleratorConfig) -> Iterator[str]:
    depth = scratchpad_depth(memory, config)
    yield f"{name}: no columns"
    yield f"{name}: up to the last tile"
    yield f"{name}: from the first tile"
    yield f"{name}: one tile"
    if depth > 1:
        yield from (f"{name}: {what}" for what in ("one row of several tiles", "several rows of one tile"))
        yield from (f"{name}: pitch {what} the row" for what in ("equals", "exceeds", "is below"))
    if tile_bytes(memory, config) < config.axi_bytes:
        yield from (f"{name}: {edge} within a beat" for edge in ("begins", "ends"))
    if min(depth, 256) * tile_bytes(memory, config) >= PAGE:
        yield f"{name}: a row crosses a page"


def _loop_kinds(config: AcceleratorConfig) -> Iterator[tuple[str, type[LoopInstruction]]]:
    yield from (("GEMM", Gemm), ("GEMM reset", Gemm))
    if config.gemm_overwrite:
        yield from ((f"GEMM_OVERWRITE mask {mask}", GemmOverwrite) for mask in range(8))
    for op in alu_operations(config):
        yield from ((f"ALU {op.name} {operand}", Alu) for operand in ("reg", "imm"))


def _loop_bins(config: AcceleratorConfig) -> Iterator[str]:
    for kind, _ in _loop_kinds(config):
        yield f"{kind}: runs"
    for cls in (Gemm, Alu):
        name = cls.OPCODE.name
        yield from (f"{name}: {field} = {trip}" for field in ("iter_out", "iter_in") for trip in TRIPS)
        yield from (f"{name}: {what}" for what in ("no micro-ops", "micro-op 0", "the last micro-op", "both loops"))
        for field, position in layout(cls, config).items():
            if field.endswith(("_out", "_in")) and not field.startswith("iter"):
                yield from (f"{name}: {field} = {value}" for value in (0, 1, (1 << position.width) - 1))


def _hazard_bins(config: AcceleratorConfig) -> Iterator[str]:
    for name in ("GEMM", "ALU"):
        yield from (f"{name}: the same accumulator {d} steps later" for d in DISTANCES)
    yield from (f"ALU: reads what was written {d} steps before" for d in DISTANCES)
    for first in ("GEMM", "ALU", "LOAD"):
        yield from (f"{first} then {second} on one accumulator" for second in ("GEMM", "ALU", "LOAD"))
        for memory in storable(config):
            yield f"{first} then STORE {memory.name} of one accumulator"
            yield f"STORE {memory.name} then {first} of one accumulator"


class Coverage:
    """Counts the bins that programs of one configuration hit."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.bins = bins(config)
        self.hits: Counter[str] = Counter()

    def add(self, program: Program) -> None:
        """Count what a legal program shows."""
        self.hits.update(set(features(program)) & self.bins)

    @property
    def missing(self) -> list[str]:
        """The bins that nothing has hit."""
        return sorted(self.bins - self.hits.keys())

    @property
    def ratio(self) -> float:
        """Share of the bins that were hit."""
        return 1 - len(self.missing) / len(self.bins)


def features(program: Program) -> Iterator[str]:
    """The sentences that are true of a program's instructions."""
    config, tracker = program.config, AccessTracker(program)
    mask = 0
    last_acc: tuple[str, int] | None = None
    last_store: tuple[str, int] | None = None
    # What happens before what, rather than the order of fetching.
    for index in linear_order(predecessors(program.instructions)):
        insn = program.instructions[index]
        accesses = tracker.of(insn)
        for flag in _flags(insn.queue):
            yield f"{insn.OPCODE.name} in {insn.queue.name.lower()}: {'' if getattr(insn, flag) else 'no '}{flag}"
        if isinstance(insn, Set):
            yield from _register_features(insn, config)
            mask = insn.value & 7 if insn.register == SetRegister.OVERWRITE else mask
        elif isinstance(insn, MemoryInstruction):
            yield from _memory_features(insn, program)
            if isinstance(insn, Store) and insn.memory == Memory.ACC_8BIT and "param" in accesses.reads:
                yield from _parameter_features(insn, accesses.reads["param"], config)
        elif isinstance(insn, (Gemm, Alu)):
            yield from _loop_features(insn, tracker.columns, config, mask)
        touched = accesses.writes.get("acc", 0)
        if touched:
            family = "GEMM" if isinstance(insn, Gemm) else insn.OPCODE.name
            if last_acc is not None and last_acc[1] & touched:
                yield f"{last_acc[0]} then {family} on one accumulator"
            if last_store is not None and last_store[1] & touched:
                yield f"{last_store[0]} then {family} of one accumulator"
            last_acc = family, touched
        if isinstance(insn, Store) and "acc" in accesses.reads:
            last_store = f"STORE {Memory(insn.memory).name}", accesses.reads["acc"]
            if last_acc is not None and last_acc[1] & last_store[1]:
                yield f"{last_acc[0]} then {last_store[0]} of one accumulator"
    if not isinstance(program.instructions[-1], Finish):
        yield "an instruction behind FINISH"


def _register_features(insn: Set, config: AcceleratorConfig) -> Iterator[str]:
    register = SetRegister(insn.register)
    declared, name = _declared(register, config), f"SET {register.name}"
    held = declared.value(insn.value)
    yield name
    yield from (f"{name}: {what}" for what, value in _register_values(register, config).items() if held == value)
    if declared.is_float:
        field = held >> 23 & 255
        yield from (f"{name}: {what}" for what, value in EXPONENT_FIELDS.items() if field == value)
        yield f"{name}: {'negative' if held >> 31 else 'positive'}"
    if register is SetRegister.RESIDUAL:
        yield f"{name}: {'in place' if held == 0 else 'behind the result' if held < 0 else 'ahead of the result'}"


def _parameter_features(insn: Store, tiles: int, config: AcceleratorConfig) -> Iterator[str]:
    if tiles >> (config.param_depth - 1):
        yield "STORE ACC_8BIT: the last parameter tile"
    if insn.mode & StoreMode.PARAM_X and insn.x_size > 1:
        yield "STORE ACC_8BIT: a parameter tile a column"
    if insn.mode & StoreMode.PARAM_Y and insn.y_size > 1:
        yield "STORE ACC_8BIT: a parameter tile a row"


def _memory_features(insn: MemoryInstruction, program: Program) -> Iterator[str]:
    config, memory = program.config, Memory(insn.memory)
    name, size = f"{insn.OPCODE.name} {memory.name}", tile_bytes(memory, config)
    pads = {pad: getattr(insn, pad) for pad in PADS}
    tiles = (pads["x_pad0"] + insn.x_size + pads["x_pad1"]) * (pads["y_pad0"] + insn.y_size + pads["y_pad1"])
    if insn.x_size == 0:
        yield f"{name}: no columns"
        return
    if insn.y_size == 0:
        yield f"{name}: {'padding rows only' if tiles else 'no rows'}"
    if tiles == 0:
        return
    start = program.bases.get(memory, 0) + insn.dram * size
    row, rows = insn.x_size * size, [start + y * insn.x_stride * size for y in range(insn.y_size)]
    several = insn.y_size > 1
    yield from (
        f"{name}: {what}"
        for what, holds in {
            "up to the last tile": insn.sram + tiles == scratchpad_depth(memory, config),
            "from the first tile": insn.sram == 0,
            "one tile": (insn.x_size, insn.y_size) == (1, 1),
            "one row of several tiles": insn.y_size == 1 and insn.x_size > 1,
            "several rows of one tile": several and insn.x_size == 1,
            "pitch equals the row": several and insn.x_stride == insn.x_size,
            "pitch exceeds the row": several and insn.x_stride > insn.x_size,
            "pitch is below the row": several and insn.x_stride < insn.x_size,
            "begins within a beat": any(address % config.axi_bytes for address in rows),
            "ends within a beat": any((address + row) % config.axi_bytes for address in rows),
            "a row crosses a page": any(address // PAGE != (address + row - 1) // PAGE for address in rows),
        }.items()
        if holds
    )
    for pad, value in pads.items():
        yield from (f"{name}: {pad} {what}" for what, holds in (("> 0", value > 0), ("= 15", value == 15)) if holds)
    if isinstance(insn, Store) and memory is Memory.ACC_8BIT:
        yield from (f"{name}: {'' if insn.mode & mode else 'no '}{mode.name}" for mode in StoreMode)


def _loop_features(insn: Gemm | Alu, uops: NDArray[np.int64], config: AcceleratorConfig, mask: int) -> Iterator[str]:
    name = "GEMM" if isinstance(insn, Gemm) else "ALU"
    yield from (
        f"{name}: {field} = {trip}"
        for field in ("iter_out", "iter_in")
        for trip, count in TRIPS.items()
        if getattr(insn, field) == count
    )
    if not (insn.iter_out and insn.iter_in):
        return
    if insn.uop_bgn >= insn.uop_end:
        yield f"{name}: no micro-ops"
        return
    yield f"{_kind(insn, mask)}: runs"
    if isinstance(insn, Alu) and insn.use_imm:
        yield f"ALU imm {insn.imm}"
        if insn.alu_op == AluOp.SHR:
            yield f"ALU SHR imm {insn.imm}"
    for what, holds in {
        "micro-op 0": insn.uop_bgn == 0,
        "the last micro-op": insn.uop_end == config.uop_depth,
        "both loops": insn.iter_out > 1 and insn.iter_in > 1,
    }.items():
        if holds:
            yield f"{name}: {what}"
    for field in layout(type(insn), config):
        if field.endswith(("_out", "_in")):
            yield f"{name}: {field} = {getattr(insn, field)}"
    yield from _hazards(insn, name, uops)


def _kind(insn: Gemm | Alu, mask: int) -> str:
    if isinstance(insn, Alu):
        return f"ALU {AluOp(insn.alu_op).name} {'imm' if insn.use_imm else 'reg'}"
    if isinstance(insn, GemmOverwrite) and not insn.reset:
        return f"GEMM_OVERWRITE mask {mask}"
    return "GEMM reset" if insn.reset else "GEMM"


def _hazards(insn: Gemm | Alu, name: str, uops: NDArray[np.int64]) -> Iterator[str]:
    """Uses of one accumulator at short distances, from the first steps of the loop nest."""
    columns = uops[:, insn.uop_bgn : insn.uop_end]
    inner = min(insn.iter_in, 8)
    dst, src = (
        np.concatenate([columns[column] + k * step for k in range(inner)])
        for column, step in ((0, insn.dst_in), (1, insn.src_in))
    )
    for d in DISTANCES:
        if (dst[d:] == dst[:-d]).any():
            yield f"{name}: the same accumulator {d} steps later"
        if isinstance(insn, Alu) and not insn.use_imm and (src[d:] == dst[:-d]).any():
            yield f"ALU: reads what was written {d} steps before"
