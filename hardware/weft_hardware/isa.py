"""The instruction set, declared once: encoder, decoder, RTL layouts, disassembler and docs derive from here.

At the ``vta`` preset every encoding equals VTA's, bit for bit. Field order is bit order, from the least significant
bit of an instruction's low half; ``high=True`` starts its high half. Reserved bits are written as zero and ignored
when read, because VTA's own runtime leaves them uninitialised.

Source
------
Apache TVM VTA, ``include/vta/hw_spec.h`` (field order and widths, opcodes, memory ids).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from functools import cache
from types import MappingProxyType
from typing import Annotated, ClassVar, get_type_hints

from .config import AcceleratorConfig

Width = int | Callable[[AcceleratorConfig], int]


class Opcode(IntEnum):
    """Bits 2..0 of every instruction."""

    LOAD = 0
    STORE = 1
    GEMM = 2
    FINISH = 3
    ALU = 4


class Memory(IntEnum):
    """The memories that LOAD and STORE name."""

    UOP = 0
    WGT = 1
    INP = 2
    ACC = 3
    OUT = 4


class AluOp(IntEnum):
    """Vector operations on accumulators; all wrap at the accumulator's width."""

    MIN = 0
    MAX = 1
    ADD = 2
    SHR = 3
    """Arithmetic shift right, left by a negative amount; beyond the width it leaves the sign (right) or 0 (left)."""
    MUL = 4


class Queue(IntEnum):
    """The command queues, in pipeline order: *prev* and *next* in the dependency flags follow it."""

    LOAD = 0
    COMPUTE = 1
    STORE = 2


@dataclass(frozen=True)
class Bits:
    """How one field is encoded."""

    width: Width
    doc: str
    unit: str = ""
    signed: bool = False
    high: bool = False

    def width_for(self, config: AcceleratorConfig) -> int:
        return self.width if isinstance(self.width, int) else self.width(config)


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """What every instruction begins with, after its opcode: the dependency flags."""

    OPCODE: ClassVar[Opcode]

    pop_prev: Annotated[bool, Bits(1, "wait for a token from the previous module")] = False
    pop_next: Annotated[bool, Bits(1, "wait for a token from the next module")] = False
    push_prev: Annotated[bool, Bits(1, "give the previous module a token when done")] = False
    push_next: Annotated[bool, Bits(1, "give the next module a token when done")] = False

    @property
    def queue(self) -> Queue:
        """The command queue that the fetch unit sends this instruction to."""
        return Queue.COMPUTE


@dataclass(frozen=True, kw_only=True)
class MemoryInstruction(Instruction):
    """A 2-D block between DRAM and a scratchpad; sizes, strides and addresses count tiles of that memory.

    In the scratchpad the block is contiguous. ``x_size = 0`` moves tokens only; ``y_size = 0`` writes the padding
    rows only. Row ``y`` lies at DRAM tile ``dram + y * x_stride``.
    """

    memory: Annotated[int, Bits(3, "memory id")]
    sram: Annotated[int, Bits(16, "first tile in the scratchpad", "tiles")] = 0
    dram: Annotated[int, Bits(32, "first tile in DRAM, from the memory's base register", "tiles")] = 0
    y_size: Annotated[int, Bits(16, "rows", "rows", high=True)] = 0
    x_size: Annotated[int, Bits(16, "tiles a row", "tiles")] = 0
    x_stride: Annotated[int, Bits(16, "DRAM pitch of the rows", "tiles")] = 0
    y_pad0: Annotated[int, Bits(4, "zero rows before the block", "rows")] = 0
    y_pad1: Annotated[int, Bits(4, "zero rows after the block", "rows")] = 0
    x_pad0: Annotated[int, Bits(4, "zero tiles before each row", "tiles")] = 0
    x_pad1: Annotated[int, Bits(4, "zero tiles after each row", "tiles")] = 0


@dataclass(frozen=True, kw_only=True)
class Load(MemoryInstruction):
    """DRAM to scratchpad, with zero padding around the block."""

    OPCODE: ClassVar[Opcode] = Opcode.LOAD

    @property
    def queue(self) -> Queue:
        return Queue.LOAD if self.memory in (Memory.INP, Memory.WGT) else Queue.COMPUTE


@dataclass(frozen=True, kw_only=True)
class Store(MemoryInstruction):
    """Scratchpad to DRAM: OUT narrows what ACC holds by truncation, ACC (extension) stores it whole; no padding."""

    OPCODE: ClassVar[Opcode] = Opcode.STORE

    @property
    def queue(self) -> Queue:
        return Queue.STORE


@dataclass(frozen=True, kw_only=True)
class LoopInstruction(Instruction):
    """``for out in iter_out: for in in iter_in: for uop in [uop_bgn, uop_end)``; an index is uop + out·f_out + in·f_in.

    Zero iterations or an empty micro-op range do nothing.
    """

    reset: Annotated[bool, Bits(1, "GEMM writes zeros to dst; no meaning in ALU")] = False
    uop_bgn: Annotated[int, Bits(lambda c: c.uop_index_bits, "first micro-op", "micro-ops")] = 0
    uop_end: Annotated[int, Bits(lambda c: c.uop_index_bits + 1, "one past the last micro-op", "micro-ops")] = 0
    iter_out: Annotated[int, Bits(14, "outer loop count", "iterations")] = 0
    iter_in: Annotated[int, Bits(14, "inner loop count", "iterations")] = 0


@dataclass(frozen=True, kw_only=True)
class Gemm(LoopInstruction):
    """``acc[dst] += inp[src] · wgt[wgt]ᵀ``, or ``acc[dst] = 0`` with ``reset``."""

    OPCODE: ClassVar[Opcode] = Opcode.GEMM

    dst_out: Annotated[int, Bits(lambda c: c.acc_index_bits, "dst step of the outer loop", "tiles", high=True)] = 0
    dst_in: Annotated[int, Bits(lambda c: c.acc_index_bits, "dst step of the inner loop", "tiles")] = 0
    src_out: Annotated[int, Bits(lambda c: c.inp_index_bits, "src step of the outer loop", "tiles")] = 0
    src_in: Annotated[int, Bits(lambda c: c.inp_index_bits, "src step of the inner loop", "tiles")] = 0
    wgt_out: Annotated[int, Bits(lambda c: c.wgt_index_bits, "wgt step of the outer loop", "tiles")] = 0
    wgt_in: Annotated[int, Bits(lambda c: c.wgt_index_bits, "wgt step of the inner loop", "tiles")] = 0


@dataclass(frozen=True, kw_only=True)
class Alu(LoopInstruction):
    """``acc[dst] = op(acc[dst], imm)`` with ``use_imm``, otherwise ``acc[dst] = op(acc[dst], acc[src])``."""

    OPCODE: ClassVar[Opcode] = Opcode.ALU

    dst_out: Annotated[int, Bits(lambda c: c.acc_index_bits, "dst step of the outer loop", "tiles", high=True)] = 0
    dst_in: Annotated[int, Bits(lambda c: c.acc_index_bits, "dst step of the inner loop", "tiles")] = 0
    src_out: Annotated[int, Bits(lambda c: c.src_index_bits, "src step of the outer loop", "tiles")] = 0
    src_in: Annotated[int, Bits(lambda c: c.src_index_bits, "src step of the inner loop", "tiles")] = 0
    alu_op: Annotated[int, Bits(3, "operation")] = 0
    use_imm: Annotated[bool, Bits(1, "the second operand is imm")] = False
    imm: Annotated[int, Bits(16, "immediate operand", signed=True)] = 0


@dataclass(frozen=True, kw_only=True)
class Finish(Instruction):
    """End of the program: sets *done* once every unit is drained."""

    OPCODE: ClassVar[Opcode] = Opcode.FINISH


@dataclass(frozen=True, kw_only=True)
class MicroOp:
    """Tile indices of one step of a GEMM or ALU instruction."""

    dst: Annotated[int, Bits(lambda c: c.acc_index_bits, "accumulator", "tiles")] = 0
    src: Annotated[int, Bits(lambda c: c.src_index_bits, "input tile (GEMM) or accumulator (ALU)", "tiles")] = 0
    wgt: Annotated[int, Bits(lambda c: c.wgt_index_bits, "weight tile", "tiles")] = 0


INSTRUCTIONS: tuple[type[Instruction], ...] = (Load, Store, Gemm, Finish, Alu)
"""Every instruction class, in opcode order."""

OPCODE_BITS = 3


@dataclass(frozen=True)
class FieldPosition:
    """Where one field lies: bits ``[offset, offset + width)`` of the whole word."""

    name: str
    offset: int
    width: int
    bits: Bits


@cache
def declared_fields(cls: type) -> Mapping[str, Bits]:
    """The encoded fields of an instruction class or of `MicroOp`, in bit order."""
    hints = get_type_hints(cls, include_extras=True)
    return MappingProxyType({field.name: hints[field.name].__metadata__[0] for field in fields(cls)})


def _half_widths(cls: type[Instruction], config: AcceleratorConfig) -> tuple[int, int]:
    halves = [OPCODE_BITS, 0]
    half = 0
    for bits in declared_fields(cls).values():
        half = 1 if bits.high else half
        halves[half] += bits.width_for(config)
    return halves[0], halves[1]


@cache
def instruction_bits(config: AcceleratorConfig) -> int:
    """Bits of an instruction: 128, or the next power of two when a deep scratchpad widens its fields."""
    widest = max(max(_half_widths(cls, config)) for cls in INSTRUCTIONS)
    return 2 * max(64, 1 << (widest - 1).bit_length())


def instruction_bytes(config: AcceleratorConfig) -> int:
    return instruction_bits(config) // 8


def uop_bits(config: AcceleratorConfig) -> int:
    """Bits of a micro-op: 32, or 64 when its indices outgrow that."""
    return 32 if sum(b.width_for(config) for b in declared_fields(MicroOp).values()) <= 32 else 64


def tile_bytes(memory: Memory, config: AcceleratorConfig) -> int:
    """Bytes of one tile of a memory in DRAM: the unit of every size, stride and address of LOAD and STORE."""
    bits = {
        Memory.UOP: uop_bits(config),
        Memory.WGT: config.wgt_tile_bits,
        Memory.INP: config.inp_tile_bits,
        Memory.ACC: config.acc_tile_bits,
        Memory.OUT: config.out_tile_bits,
    }
    return bits[memory] // 8


def scratchpad_depth(memory: Memory, config: AcceleratorConfig) -> int:
    """Tiles of the scratchpad behind a memory id; OUT is a narrowed view of ACC."""
    depths = {
        Memory.UOP: config.uop_depth,
        Memory.WGT: config.wgt_depth,
        Memory.INP: config.inp_depth,
        Memory.ACC: config.acc_depth,
        Memory.OUT: config.acc_depth,
    }
    return depths[memory]


@cache
def layout(cls: type, config: AcceleratorConfig) -> Mapping[str, FieldPosition]:
    """Bit positions of an instruction class (its opcode left out) or of `MicroOp`."""
    is_instruction = issubclass(cls, Instruction)
    offset = OPCODE_BITS if is_instruction else 0
    positions: dict[str, FieldPosition] = {}
    for name, bits in declared_fields(cls).items():
        if bits.high:
            offset = instruction_bits(config) // 2
        width = bits.width_for(config)
        positions[name] = FieldPosition(name, offset, width, bits)
        offset += width
    return MappingProxyType(positions)


def loadable(config: AcceleratorConfig) -> frozenset[Memory]:
    """The memories that LOAD accepts."""
    del config  # extensions will add to this set
    return frozenset({Memory.UOP, Memory.WGT, Memory.INP, Memory.ACC})


def storable(config: AcceleratorConfig) -> frozenset[Memory]:
    """The memories that STORE accepts."""
    return frozenset({Memory.OUT, Memory.ACC}) if config.raw_store else frozenset({Memory.OUT})


def illegal_reason(instruction: Instruction, config: AcceleratorConfig) -> str | None:
    """Why the hardware refuses an instruction outright (fault ILLEGAL_INSTRUCTION), or None if it does not.

    Indices and blocks outside a scratchpad are another fault, raised when they are reached.
    """
    name = type(instruction).__name__.upper()
    if isinstance(instruction, MemoryInstruction):
        allowed = loadable(config) if isinstance(instruction, Load) else storable(config)
        if instruction.memory not in allowed:
            names = ", ".join(f"{m.name} ({m.value})" for m in sorted(allowed))
            return f"{name}.memory = {instruction.memory} names no memory it can reach; use one of {names}"
        pads = (instruction.y_pad0, instruction.y_pad1, instruction.x_pad0, instruction.x_pad1)
        if isinstance(instruction, Store) and any(pads):
            return f"STORE with padding {pads} has no meaning; set the four pad fields to 0"
    if isinstance(instruction, Alu) and instruction.alu_op not in tuple(AluOp):
        names = ", ".join(f"{op.name} ({op.value})" for op in AluOp)
        return f"ALU.alu_op = {instruction.alu_op} is no operation; use one of {names}"
    return None
