"""Turns legal programs into ones that every simulator must refuse, each in the same words."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import (
    Alu,
    AluOp,
    Gemm,
    GemmOverwrite,
    Instruction,
    Load,
    Memory,
    Queue,
    Set,
    SetRegister,
    Store,
    StoreMode,
    illegal_reason,
    loadable,
)
from weft_hardware.isa import tile_bytes as isa_tile_bytes
from weft_hardware.registers import Cause

from .generator import ARENA, DRAM_BASE, DRAM_SIZE, Fields
from .program import Program
from .tokens import CHANNELS, pop_flag, popped, push_flag, pushed


def without_a_push(program: Program, rng: random.Random) -> Program | None:
    """A token that is taken but never given: the program hangs. None if it has no tokens."""
    return _without(program, rng, pushed, push_flag)


def without_a_pop(program: Program, rng: random.Random) -> Program | None:
    """A token that is given but never taken."""
    return _without(program, rng, popped, pop_flag)


def _without(program: Program, rng: random.Random, moved: Callable, flag: Callable) -> Program | None:
    moves = [(k, c) for k, insn in enumerate(program.instructions) for c in CHANNELS if c in moved(insn)]
    if not moves:
        return None
    index, channel = rng.choice(moves)
    return _replaced(program, index, replace(program.instructions[index], **{flag(channel): False}))


def faulty_instructions(config: AcceleratorConfig) -> list[tuple[Cause, Instruction]]:
    """Instructions that fault whatever the scratchpads hold, provided micro-op 0 and the next are zeros."""
    c = config
    row: Fields = {"x_size": 1, "y_size": 1}
    once: Fields = {"iter_out": 1, "iter_in": 1, "uop_end": 1}
    outside: Fields = {"uop_bgn": c.uop_depth, "uop_end": c.uop_depth + 1, "iter_out": 1, "iter_in": 1}
    dst: Fields = {"dst_out": c.acc_depth - 1, "iter_out": 3, "iter_in": 1, "uop_end": 1}
    ranges: list[Instruction] = [
        Load(memory=int(Memory.INP), sram=c.inp_depth, **row),
        Load(memory=int(Memory.INP), sram=c.inp_depth - 1, x_pad1=1, **row),
        Load(memory=int(Memory.WGT), sram=65535, x_size=65535, y_pad0=15, y_size=0),
        Load(memory=int(Memory.WGT), sram=c.wgt_depth - 1, y_pad0=1, **row),
        Load(memory=int(Memory.ACC), sram=c.acc_depth - 2, y_pad1=2, **row),
        Load(memory=int(Memory.UOP), sram=c.uop_depth - 1, x_pad0=1, **row),
        Load(memory=int(Memory.INP), x_size=65535, y_size=65535),
        Store(memory=int(Memory.OUT), sram=c.acc_depth, **row),
        Store(memory=int(Memory.OUT), sram=c.acc_depth - 1, x_size=1, y_size=2),
        Gemm(reset=True, **dst),
        Gemm(**dst),
        Gemm(src_in=c.inp_depth - 1, iter_in=3, iter_out=1, uop_end=1),
        Gemm(wgt_out=c.wgt_depth - 1, iter_out=3, iter_in=1, uop_end=1),
        Alu(alu_op=int(AluOp.ADD), use_imm=True, **dst),
        Alu(alu_op=int(AluOp.MAX), src_in=c.acc_depth - 1, iter_in=3, iter_out=1, uop_end=1),
    ]
    if c.uop_depth < 1 << c.uop_index_bits:
        ranges += [Gemm(**outside), Alu(use_imm=True, **outside)]
    else:
        ranges += [Gemm(**{**outside, "uop_bgn": c.uop_depth - 1, "uop_end": c.uop_depth + 1})]
    illegal: list[Instruction] = [
        Load(memory=int(Memory.OUT)),
        Store(memory=int(Memory.INP), **row),
        Store(memory=int(Memory.UOP)),
        Store(memory=int(Memory.OUT), x_pad0=1),
        Store(memory=int(Memory.OUT), y_pad1=15, **row),
        Store(memory=int(Memory.ACC), **row),
        *[Store(memory=int(Memory.ACC_8BIT), mode=int(bit)) for bit in StoreMode],
        Store(memory=int(Memory.ACC_8BIT), mode=0x3F, **row),
        Load(memory=int(Memory.ACC_8BIT), **row),
        Load(memory=int(Memory.PARAM), **row),
        Load(memory=int(Memory.TABLE)),
        Alu(alu_op=5, use_imm=True, **once),
        Alu(alu_op=7),
        GemmOverwrite(**once),
        *(Set(register=number, value=1) for number in (*SetRegister, 0x0F, 0x1F, 0x2F, 0x3F)),
    ]
    illegal = [insn for insn in illegal if illegal_reason(insn, c)]
    requantise: dict[str, Any] = {"memory": int(Memory.ACC_8BIT)}
    ranges += _requantising_outside(c) if c.epilogue_lanes else []
    far = (1 << 32) - 1
    windows: list[Instruction] = [
        Load(memory=int(Memory.INP), dram=far, **row),
        Load(memory=int(Memory.WGT), dram=far, **row),
        Load(memory=int(Memory.ACC), dram=far, **row),
        Load(memory=int(Memory.UOP), dram=far, **row),
        Store(memory=int(Memory.OUT), dram=far, **row),
    ]
    if c.epilogue_lanes:
        windows += [Load(memory=int(Memory.PARAM), dram=far, **row), Store(**requantise, dram=far, **row)]
    if c.residual:
        windows.append(Store(**requantise, dram=_arena_tile(Memory.ACC_8BIT, c), mode=int(StoreMode.RESIDUAL), **row))
    # Addresses that the bus has and the memory has not.
    absent = DRAM_BASE + DRAM_SIZE + (1 << 28)
    for cls, memory in [(Load, m) for m in sorted(loadable(c))] + [(Store, Memory.OUT)]:
        windows.append(cls(memory=int(memory), dram=absent // isa_tile_bytes(memory, c), **row))
    # Beyond the last address that the bus has; its low bits alone would name a tile of the arena.
    beyond = (1 << c.axi_addr_bits) + DRAM_BASE + ARENA[0]
    for cls, memory in ((Load, Memory.INP), (Load, Memory.WGT), (Load, Memory.ACC), (Store, Memory.OUT)):
        if beyond // isa_tile_bytes(memory, c) <= far:
            windows.append(cls(memory=int(memory), dram=beyond // isa_tile_bytes(memory, c), **row))
    causes = ((Cause.SCRATCHPAD_RANGE, ranges), (Cause.ILLEGAL_INSTRUCTION, illegal), (Cause.WINDOW, windows))
    return [(cause, insn) for cause, group in causes for insn in group]


def _requantising_outside(c: AcceleratorConfig) -> list[Instruction]:
    """Blocks and parameter tiles outside; `_prelude` sets PARAM to the last tile."""
    requantise: dict[str, Any] = {"memory": int(Memory.ACC_8BIT)}
    ranges: list[Instruction] = [
        Load(memory=int(Memory.PARAM), sram=c.param_depth, x_size=1, y_size=1),
        Load(memory=int(Memory.PARAM), sram=c.param_depth - 1, x_size=1, y_size=1, x_pad0=1),
        Store(**requantise, sram=c.acc_depth, x_size=1, y_size=1),
        Store(**requantise, x_size=2, y_size=1, mode=int(StoreMode.PARAM_X)),
        Store(**requantise, x_size=1, y_size=2, mode=int(StoreMode.PARAM_Y)),
        Store(**requantise, x_size=2, y_size=2, mode=int(StoreMode.PARAM_X | StoreMode.PARAM_Y)),
    ]
    if c.widening_load:
        ranges.append(Load(**requantise, sram=c.acc_depth - 1, x_size=1, y_size=2))
    if c.table:
        ranges += [Load(memory=int(Memory.TABLE), sram=1, x_size=1, y_size=1)]
        ranges += [Load(memory=int(Memory.TABLE), x_size=2, y_size=1)]
    return ranges


def _arena_tile(memory: Memory, c: AcceleratorConfig) -> int:
    """A tile that lies in the arena, unless base registers are 0: then it is outside memory itself."""
    return (ARENA[1] - ARENA[0]) // 2 // isa_tile_bytes(memory, c)


def _prelude(faulty: Instruction, c: AcceleratorConfig) -> list[Instruction]:
    """What must run before a faulty instruction so that it faults for its own reason."""
    if faulty.queue is Queue.COMPUTE:
        return [Load(memory=int(Memory.UOP), x_size=2, y_pad0=1)]
    registers: dict[SetRegister, int] = {}
    if isinstance(faulty, Store) and faulty.memory == Memory.ACC_8BIT and c.epilogue_lanes:
        registers[SetRegister.PARAM] = c.param_depth - 1
        if c.residual:
            registers[SetRegister.RESIDUAL] = (1 << 31) - 1
    return [Set(register=int(register), value=value) for register, value in registers.items()]


def with_a_fault(program: Program, rng: random.Random, faulty: Instruction) -> Program | None:
    """A faulty instruction in place of one of its queue, with that one's tokens; None if the queue is empty.

    Ahead of one of the compute queue, micro-ops 0 and 1 are made zeros, ahead of a requantising STORE its registers are
    set, so that it faults for its own reason.
    """
    places = [k for k, insn in enumerate(program.instructions) if insn.queue is faulty.queue]
    if not places:
        return None
    index = rng.choice(places)
    old = program.instructions[index]
    flags = {name: getattr(old, name) for name in ("pop_prev", "pop_next", "push_prev", "push_next")}
    spoilt = _replaced(program, index, replace(faulty, **flags))
    spoilt.instructions[index:index] = _prelude(faulty, program.config)
    spoilt.install()
    return spoilt


def _replaced(program: Program, index: int, insn: Instruction) -> Program:
    instructions = list(program.instructions)
    instructions[index] = insn
    changed = replace(program, instructions=instructions, image=program.image.copy(), name=f"{program.name}, spoilt")
    changed.install()
    return changed
