"""The instruction set, declared once: encoder, decoder, RTL layouts, disassembler and docs derive from here.

At the ``vta`` preset every encoding equals VTA's, bit for bit. Field order is bit order, from the least significant
bit of an instruction's low half; ``high=True`` starts its high half. Reserved bits are written as zero and ignored
when read, because VTA's own runtime leaves them uninitialised.

Source
------
Apache TVM VTA, ``include/vta/hw_spec.h`` (field order and widths, opcodes, memory ids).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from enum import IntEnum, IntFlag
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
    SET = 5
    GEMM_OVERWRITE = 6


class Memory(IntEnum):
    """The memories that LOAD and STORE name, as they lie in DRAM."""

    UOP = 0
    WGT = 1
    INP = 2
    ACC = 3
    OUT = 4
    """Accumulators, narrowed by truncation to their low bits."""
    ACC_8BIT = 5
    """Accumulators as 8-bit values: LOAD widens them, STORE requantises."""
    PARAM = 6
    """Bias (int32) and scale (float32) of each output channel of a block, channel by channel: the epilogue's."""
    TABLE = 7
    """The 256 bytes of the epilogue's table, indexed by an 8-bit value read as unsigned."""


class AluOp(IntEnum):
    """Vector operations on accumulators; all wrap at the accumulator's width."""

    MIN = 0
    MAX = 1
    ADD = 2
    SHR = 3
    """Arithmetic shift right, left by a negative amount; beyond the width it leaves the sign (right) or 0 (left)."""
    MUL = 4
    COPY = 5
    """The second operand."""
    SUB = 6
    """The first operand minus the second."""


BASE_ALU_OPS = frozenset({AluOp.MIN, AluOp.MAX, AluOp.ADD, AluOp.SHR, AluOp.MUL})
"""VTA's own; the others are an extension (`AcceleratorConfig.alu_extensions`)."""


class StoreMode(IntFlag):
    """What a STORE of ACC_8BIT does besides requantising, and which parameter tile an accumulator tile takes."""

    UNSIGNED = 1
    """The residual operand is uint8, else int8."""
    RESIDUAL = 2
    """Add the 8-bit tile at DRAM tile ``dram + RESIDUAL`` of ACC_8BIT, as QLinearAdd does."""
    SWAP = 4
    """The residual operand is the first addend, the requantised value the second."""
    TABLE = 8
    """Replace the value by its entry of the table, last of all."""
    PARAM_X = 16
    """The parameter tile advances with each tile of a row."""
    PARAM_Y = 32
    """The parameter tile advances with each row."""


class OverwriteMask(IntFlag):
    """A step of GEMM_OVERWRITE overwrites if each index that the mask names is at its first value."""

    OUTER = 1
    INNER = 2
    UOP = 4


class Queue(IntEnum):
    """The command queues, in pipeline order: *prev* and *next* in the dependency flags follow it."""

    LOAD = 0
    COMPUTE = 1
    STORE = 2


@dataclass(frozen=True)
class QueueRegister:
    """A register of a command queue, written by SET; later instructions of that queue use it.

    SET's value is 32 bits, of which the register keeps the low ``width``. Every launch starts with ``initial``.
    ``is_float`` says that the bits are a float32.
    """

    queue: Queue
    width: int
    doc: str
    signed: bool = False
    initial: int = 0
    is_float: bool = False

    def value(self, raw: int) -> int:
        """What the register holds after SET of ``raw``."""
        low = raw & ((1 << self.width) - 1)
        return low - (1 << self.width) if self.signed and low >> (self.width - 1) else low


class SetRegister(IntEnum):
    """The registers that SET names; bits 5..4 of the number are the queue."""

    LOAD_PAD = 0x00
    COMPUTE_PAD = 0x10
    WIDEN = 0x11
    OVERWRITE = 0x12
    PARAM = 0x20
    ZERO_POINT = 0x21
    CLAMP_LO = 0x22
    CLAMP_HI = 0x23
    RESIDUAL = 0x24
    SCALE = 0x25
    RESIDUAL_SCALE = 0x26
    OFFSET = 0x27
    SUM_LO = 0x28
    SUM_HI = 0x29


QUEUE_REGISTERS: Mapping[SetRegister, QueueRegister] = MappingProxyType(
    {
        SetRegister.LOAD_PAD: QueueRegister(
            Queue.LOAD, 32, "element with which LOAD of INP pads, its low bits", signed=True
        ),
        SetRegister.COMPUTE_PAD: QueueRegister(
            Queue.COMPUTE, 32, "element with which LOAD of ACC and of ACC_8BIT pads", signed=True
        ),
        SetRegister.WIDEN: QueueRegister(Queue.COMPUTE, 1, "1: LOAD of ACC_8BIT reads uint8, else int8"),
        SetRegister.OVERWRITE: QueueRegister(
            Queue.COMPUTE, 3, "which steps of GEMM_OVERWRITE overwrite, see `OverwriteMask`"
        ),
        SetRegister.PARAM: QueueRegister(Queue.STORE, 16, "parameter tile of a block's first tile"),
        SetRegister.ZERO_POINT: QueueRegister(Queue.STORE, 9, "added after rounding", signed=True),
        SetRegister.CLAMP_LO: QueueRegister(Queue.STORE, 9, "least requantised value", signed=True, initial=-128),
        SetRegister.CLAMP_HI: QueueRegister(Queue.STORE, 9, "greatest requantised value", signed=True, initial=127),
        SetRegister.RESIDUAL: QueueRegister(
            Queue.STORE, 32, "DRAM tiles of ACC_8BIT from the result to the residual operand", signed=True
        ),
        SetRegister.SCALE: QueueRegister(
            Queue.STORE, 32, "float32: requantised value's scale over the sum's", is_float=True
        ),
        SetRegister.RESIDUAL_SCALE: QueueRegister(
            Queue.STORE, 32, "float32: residual operand's scale over the sum's", is_float=True
        ),
        SetRegister.OFFSET: QueueRegister(Queue.STORE, 32, "float32: added to the sum before rounding", is_float=True),
        SetRegister.SUM_LO: QueueRegister(Queue.STORE, 9, "least sum", signed=True, initial=-128),
        SetRegister.SUM_HI: QueueRegister(Queue.STORE, 9, "greatest sum", signed=True, initial=127),
    }
)
"""Width, meaning and initial value of each register."""


@dataclass(frozen=True)
class Bits:
    """How one field is encoded; ``at`` puts it at a fixed bit instead of behind the field before it."""

    width: Width
    doc: str
    unit: str = ""
    signed: bool = False
    high: bool = False
    at: int | None = None

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
    """DRAM to scratchpad, with padding around the block: zeros, or what SET chose for that memory."""

    OPCODE: ClassVar[Opcode] = Opcode.LOAD

    @property
    def queue(self) -> Queue:
        return LOAD_QUEUES.get(self.memory, Queue.COMPUTE)


@dataclass(frozen=True, kw_only=True)
class Store(MemoryInstruction):
    """Scratchpad to DRAM, without padding.

    OUT narrows what ACC holds by truncation. Extensions: ACC stores it whole, ACC_8BIT sends it through the epilogue.
    """

    OPCODE: ClassVar[Opcode] = Opcode.STORE

    mode: Annotated[int, Bits(6, "see `StoreMode`; reserved but for ACC_8BIT", at=58)] = 0

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
class GemmOverwrite(Gemm):
    """GEMM whose steps write ``acc[dst] = inp[src] · wgt[wgt]ᵀ`` where OVERWRITE says so, and accumulate elsewhere."""

    OPCODE: ClassVar[Opcode] = Opcode.GEMM_OVERWRITE


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
class Set(Instruction):
    """Write a register of one command queue."""

    OPCODE: ClassVar[Opcode] = Opcode.SET

    register: Annotated[int, Bits(6, "see `SetRegister`; its bits 5..4 choose the queue")] = 0
    value: Annotated[int, Bits(32, "what the register holds from now on, its low bits", high=True)] = 0

    @property
    def queue(self) -> Queue:
        queue = self.register >> SET_QUEUE_SHIFT
        return Queue(queue) if queue in tuple(Queue) else Queue.COMPUTE


@dataclass(frozen=True, kw_only=True)
class MicroOp:
    """Tile indices of one step of a GEMM or ALU instruction."""

    dst: Annotated[int, Bits(lambda c: c.acc_index_bits, "accumulator", "tiles")] = 0
    src: Annotated[int, Bits(lambda c: c.src_index_bits, "input tile (GEMM) or accumulator (ALU)", "tiles")] = 0
    wgt: Annotated[int, Bits(lambda c: c.wgt_index_bits, "weight tile", "tiles")] = 0


LOAD_QUEUES: Mapping[int, Queue] = MappingProxyType(
    {Memory.INP: Queue.LOAD, Memory.WGT: Queue.LOAD, Memory.PARAM: Queue.STORE, Memory.TABLE: Queue.STORE}
)
"""The queue of a LOAD by its memory; the others run in compute's."""

SET_QUEUE_SHIFT = 4

INSTRUCTIONS: tuple[type[Instruction], ...] = (Load, Store, Gemm, Finish, Alu, Set, GemmOverwrite)
"""Every instruction class, in opcode order."""

OPCODE_BITS = 3

PARAM_BITS = 64
"""A channel's parameters: bias (int32) in the low half, scale (float32) in the high half."""

TABLE_ENTRIES = 256


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


def field_limits(cls: type, name: str) -> tuple[int, int]:
    """Lowest and highest value of a field that is as wide in every configuration."""
    bits = declared_fields(cls)[name]
    assert isinstance(bits.width, int), name
    return value_limits(bits.width, bits.signed)


def value_limits(width: int, signed: bool) -> tuple[int, int]:
    """Lowest and highest value of so many bits."""
    return (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)


def _half_widths(cls: type[Instruction], config: AcceleratorConfig) -> tuple[int, int]:
    halves = [OPCODE_BITS, 0]
    half = 0
    for bits in declared_fields(cls).values():
        half = 1 if bits.high else half
        if bits.at is None:
            halves[half] += bits.width_for(config)
    return halves[0], halves[1]


@cache
def instruction_bits(config: AcceleratorConfig) -> int:
    """Bits of an instruction: 128, or the next power of two when a deep scratchpad widens its fields."""
    widest = max(max(_half_widths(cls, config)) for cls in INSTRUCTIONS)
    return 2 * max(64, 1 << (widest - 1).bit_length())


def instruction_bytes(config: AcceleratorConfig) -> int:
    return instruction_bits(config) // 8


@cache
def uop_bits(config: AcceleratorConfig) -> int:
    """Bits of a micro-op: 32, or 64 when its indices outgrow that."""
    return 32 if sum(b.width_for(config) for b in declared_fields(MicroOp).values()) <= 32 else 64


@cache
def tile_bytes(memory: Memory, config: AcceleratorConfig) -> int:
    """Bytes of one tile of a memory in DRAM: the unit of every size, stride and address of LOAD and STORE."""
    bits = {
        Memory.UOP: uop_bits(config),
        Memory.WGT: config.wgt_tile_bits,
        Memory.INP: config.inp_tile_bits,
        Memory.ACC: config.acc_tile_bits,
        Memory.OUT: config.out_tile_bits,
        Memory.ACC_8BIT: config.batch * config.block_out * 8,
        Memory.PARAM: config.block_out * PARAM_BITS,
        Memory.TABLE: TABLE_ENTRIES * 8,
    }
    return bits[memory] // 8


@cache
def scratchpad_depth(memory: Memory, config: AcceleratorConfig) -> int:
    """Tiles of the scratchpad behind a memory id; OUT and ACC_8BIT are views of ACC."""
    depths = {
        Memory.UOP: config.uop_depth,
        Memory.WGT: config.wgt_depth,
        Memory.INP: config.inp_depth,
        Memory.ACC: config.acc_depth,
        Memory.OUT: config.acc_depth,
        Memory.ACC_8BIT: config.acc_depth,
        Memory.PARAM: config.param_depth,
        Memory.TABLE: 1,
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
        positions[name] = FieldPosition(name, offset if bits.at is None else bits.at, width, bits)
        offset += width if bits.at is None else 0
    return MappingProxyType(positions)


def loadable(config: AcceleratorConfig) -> frozenset[Memory]:
    """The memories that LOAD accepts."""
    memories = {Memory.UOP, Memory.WGT, Memory.INP, Memory.ACC}
    memories |= {Memory.ACC_8BIT} if config.widening_load else set()
    memories |= {Memory.PARAM} if config.epilogue_lanes else set()
    memories |= {Memory.TABLE} if config.table else set()
    return frozenset(memories)


def storable(config: AcceleratorConfig) -> frozenset[Memory]:
    """The memories that STORE accepts."""
    memories = {Memory.OUT}
    memories |= {Memory.ACC} if config.raw_store else set()
    memories |= {Memory.ACC_8BIT} if config.epilogue_lanes else set()
    return frozenset(memories)


def settable(config: AcceleratorConfig) -> frozenset[SetRegister]:
    """The registers that SET accepts."""
    registers: set[SetRegister] = set()
    registers |= {SetRegister.LOAD_PAD, SetRegister.COMPUTE_PAD} if config.pad_value else set()
    registers |= {SetRegister.WIDEN} if config.widening_load else set()
    registers |= {SetRegister.OVERWRITE} if config.gemm_overwrite else set()
    if config.epilogue_lanes:
        registers |= {SetRegister.PARAM, SetRegister.ZERO_POINT, SetRegister.CLAMP_LO, SetRegister.CLAMP_HI}
    if config.residual:
        registers |= {SetRegister.RESIDUAL, SetRegister.SCALE, SetRegister.RESIDUAL_SCALE, SetRegister.OFFSET}
        registers |= {SetRegister.SUM_LO, SetRegister.SUM_HI}
    return frozenset(registers)


def alu_operations(config: AcceleratorConfig) -> frozenset[AluOp]:
    """The operations that ALU accepts."""
    return frozenset(AluOp) if config.alu_extensions else BASE_ALU_OPS


def store_modes(config: AcceleratorConfig) -> StoreMode:
    """The bits of ``mode`` that a STORE of ACC_8BIT may set."""
    modes = StoreMode.PARAM_X | StoreMode.PARAM_Y
    modes |= StoreMode.RESIDUAL | StoreMode.SWAP | StoreMode.UNSIGNED if config.residual else StoreMode(0)
    return modes | (StoreMode.TABLE if config.table else StoreMode(0))


def illegal_reason(instruction: Instruction, config: AcceleratorConfig) -> str | None:
    """Why the hardware refuses an instruction outright (fault ILLEGAL_INSTRUCTION), or None if it does not.

    Indices and blocks outside a scratchpad are another fault, raised when they are reached.
    """
    name = instruction.OPCODE.name
    if isinstance(instruction, MemoryInstruction):
        allowed = loadable(config) if isinstance(instruction, Load) else storable(config)
        if instruction.memory not in allowed:
            return f"{name}.memory = {instruction.memory} names no memory it can reach; use one of {_names(allowed)}"
        pads = (instruction.y_pad0, instruction.y_pad1, instruction.x_pad0, instruction.x_pad1)
        if isinstance(instruction, Store) and any(pads):
            return f"STORE with padding {pads} has no meaning; set the four pad fields to 0"
    if isinstance(instruction, Store) and instruction.memory == Memory.ACC_8BIT:
        modes = store_modes(config)
        if instruction.mode & ~modes:
            return f"STORE.mode = {instruction.mode:#x} asks for what this accelerator lacks; use bits of {modes:#x}"
    if isinstance(instruction, Alu) and instruction.alu_op not in alu_operations(config):
        return f"ALU.alu_op = {instruction.alu_op} is no operation; use one of {_names(alu_operations(config))}"
    if isinstance(instruction, Set) and instruction.register not in settable(config):
        way_out = f"use one of {_names(settable(config))}" if settable(config) else "this accelerator has none"
        return f"SET.register = {instruction.register} names no register; {way_out}"
    if isinstance(instruction, GemmOverwrite) and not config.gemm_overwrite:
        return "GEMM_OVERWRITE is not part of this accelerator; reset the accumulators with GEMM first"
    return None


def _names(members: Iterable[IntEnum]) -> str:
    return ", ".join(f"{m.name} ({m.value})" for m in sorted(members))
