"""The instruction set's semantics in plain numpy, one instruction after another: what arbitrates between simulators.

Written from the design document alone. It favours being read over being fast, and knows nothing about time: whoever
calls it chooses the order, and it checks that the order respects queues and tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import (
    Alu,
    AluOp,
    Gemm,
    GemmOverwrite,
    Instruction,
    Load,
    Memory,
    MemoryInstruction,
    Queue,
    Set,
    SetRegister,
    Store,
    StoreMode,
)
from weft_hardware.registers import Cause

from .bits import uop_bytes, uop_fields
from .epilogue import add_residual, requantise
from .program import Program
from .tokens import Channel, popped, pushed

Elements = NDArray[np.int64]


class ReferenceFaultError(Exception):
    """The hardware must stop here; ``value`` is the index or address at fault."""

    def __init__(self, cause: Cause, value: int = 0) -> None:
        super().__init__(f"{cause.name} {value:#x}")
        self.cause = cause
        self.value = value


def wrap(values: Elements, bits: int) -> Elements:
    """Two's complement of the low bits."""
    half = 1 << (bits - 1)
    return ((values + half) & ((1 << bits) - 1)) - half


def elements_from_bytes(raw: bytes, bits: int) -> Elements:
    """Signed elements, packed from the least significant bits."""
    if bits >= 8:
        return np.frombuffer(raw, f"<i{bits // 8}").astype(np.int64)
    nibbles = [part for byte in raw for part in (byte & 15, byte >> 4)]
    return wrap(np.array(nibbles, np.int64), 4)


def bytes_read(raw: bytes, *, unsigned: bool) -> Elements:
    """Each byte as uint8 or as int8."""
    return np.frombuffer(raw, np.uint8 if unsigned else np.int8).astype(np.int64)


def elements_to_bytes(values: Elements, bits: int) -> bytes:
    """The low bits of each element."""
    return wrap(values, bits).astype(f"<i{bits // 8}").tobytes()


def shift_right(values: Elements, amounts: Elements) -> Elements:
    """Arithmetic shift right; left by a negative amount; whatever leaves the 32 bits is lost."""
    right = values >> np.clip(amounts, 0, 31)
    left = np.where(amounts <= -32, 0, values << np.clip(-amounts, 0, 31))
    return wrap(np.where(amounts >= 0, right, left), 32)


def alu(op: AluOp, left: Elements, right: Elements) -> Elements:
    """One vector operation on 32-bit values."""
    if op is AluOp.MIN:
        return np.minimum(left, right)
    if op is AluOp.MAX:
        return np.maximum(left, right)
    if op is AluOp.ADD:
        return wrap(left + right, 32)
    if op is AluOp.SHR:
        return shift_right(left, right)
    if op is AluOp.COPY:
        return right
    if op is AluOp.SUB:
        return wrap(left - right, 32)
    return wrap(left * right, 32)


R = SetRegister
SIGNED_32 = {R.LOAD_PAD, R.COMPUTE_PAD, R.RESIDUAL}
SIGNED_9 = {R.ZERO_POINT, R.CLAMP_LO, R.CLAMP_HI, R.SUM_LO, R.SUM_HI}
UNSIGNED = {R.WIDEN: 1, R.OVERWRITE: 3, R.PARAM: 16, R.SCALE: 32, R.RESIDUAL_SCALE: 32, R.OFFSET: 32}
START = {R.CLAMP_LO: -128, R.CLAMP_HI: 127, R.SUM_LO: -128, R.SUM_HI: 127}
"""Initial values that are not 0."""


def held(register: SetRegister, value: int) -> int:
    """What a register keeps of the 32 bits that SET gives it."""
    if register in UNSIGNED:
        return value & ((1 << UNSIGNED[register]) - 1)
    return int(wrap(np.array(value), 32 if register in SIGNED_32 else 9))


def existing_registers(c: AcceleratorConfig) -> set[SetRegister]:
    """The registers that an accelerator has."""
    there: set[SetRegister] = set()
    if c.pad_value:
        there |= {R.LOAD_PAD, R.COMPUTE_PAD}
    if c.widening_load:
        there |= {R.WIDEN}
    if c.gemm_overwrite:
        there |= {R.OVERWRITE}
    if c.epilogue_lanes:
        there |= {R.PARAM, R.ZERO_POINT, R.CLAMP_LO, R.CLAMP_HI}
    if c.residual:
        there |= {R.RESIDUAL, R.SCALE, R.RESIDUAL_SCALE, R.OFFSET, R.SUM_LO, R.SUM_HI}
    return there


def launch_registers() -> dict[SetRegister, int]:
    """The registers as every launch finds them."""
    return {register: START.get(register, 0) for register in R}


class Machine:
    """The accelerator's state and what each instruction does to it; scratchpads live as long as the machine."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.inp = np.zeros((config.inp_depth, config.batch, config.block_in), np.int64)
        self.wgt = np.zeros((config.wgt_depth, config.block_out, config.block_in), np.int64)
        self.acc = np.zeros((config.acc_depth, config.batch, config.block_out), np.int64)
        self.uop = np.zeros(config.uop_depth, np.uint64)
        self.param = np.zeros((config.param_depth, config.block_out, 2), np.int64)
        self.table = np.zeros((1, 256), np.int64)
        self.registers = launch_registers()
        self.dram = bytearray()
        self.dram_base = 0
        self.bases: dict[Memory, int] = {}

    def run(self, program: Program, order: Sequence[int] | None = None) -> NDArray[np.uint8]:
        """Execute a whole program, in program order unless another is given; returns the DRAM it leaves.

        Raises
        ------
        ReferenceFaultError
            Where the hardware would stop.
        """
        order = range(len(program.instructions)) if order is None else order
        assert sorted(order) == list(range(len(program.instructions))), "the order leaves instructions out"
        self.dram = bytearray(program.image.tobytes())
        self.dram_base = program.dram_base
        self.bases = program.bases
        self.registers = launch_registers()
        tokens: Counter[Channel] = Counter()
        last: dict[Queue, int] = {}
        for index in order:
            insn = program.instructions[index]
            assert last.get(insn.queue, -1) < index, f"instruction {index} runs after a later one of its queue"
            last[insn.queue] = index
            for channel in popped(insn):
                tokens[channel] -= 1
                assert tokens[channel] >= 0, f"instruction {index} runs before its token arrived"
            self.execute(insn)
            tokens.update(pushed(insn))
        return np.frombuffer(bytes(self.dram), np.uint8).copy()

    def execute(self, insn: Instruction) -> None:
        """One instruction, tokens apart."""
        if isinstance(insn, Load):
            self._load(insn)
        elif isinstance(insn, Store):
            self._store(insn)
        elif isinstance(insn, Set):
            if insn.register not in existing_registers(self.config):
                raise ReferenceFaultError(Cause.ILLEGAL_INSTRUCTION)
            self.registers[R(insn.register)] = held(R(insn.register), insn.value)
        elif isinstance(insn, Gemm):
            self._gemm(insn)
        elif isinstance(insn, Alu):
            self._alu(insn)

    # LOAD and STORE ------------------------------------------------------------------------------------------

    def tile_bytes(self, memory: Memory) -> int:
        c = self.config
        if memory is Memory.UOP:
            return uop_bytes(c)
        elements, bits = {
            Memory.WGT: (c.block_out * c.block_in, c.wgt_bits),
            Memory.INP: (c.batch * c.block_in, c.inp_bits),
            Memory.ACC: (c.batch * c.block_out, c.acc_bits),
            Memory.OUT: (c.batch * c.block_out, c.out_bits),
            Memory.ACC_8BIT: (c.batch * c.block_out, 8),
            Memory.PARAM: (c.block_out, 64),
            Memory.TABLE: (256, 8),
        }[memory]
        return elements * bits // 8

    def _row(self, insn: MemoryInstruction, y: int) -> slice:
        """Where row y of the block lies in ``dram``."""
        size = self.tile_bytes(Memory(insn.memory))
        address = self.bases.get(Memory(insn.memory), 0) + (insn.dram + y * insn.x_stride) * size
        start, end = address - self.dram_base, address - self.dram_base + insn.x_size * size
        if start < 0 or end > len(self.dram) or address + insn.x_size * size > 1 << self.config.axi_addr_bits:
            raise ReferenceFaultError(Cause.WINDOW, address)
        return slice(start, end)

    def _scratchpads(self) -> dict[Memory, NDArray]:
        """What LOAD can reach."""
        c = self.config
        reachable: dict[Memory, NDArray] = {
            Memory.INP: self.inp,
            Memory.WGT: self.wgt,
            Memory.ACC: self.acc,
            Memory.UOP: self.uop,
        }
        if c.widening_load:
            reachable[Memory.ACC_8BIT] = self.acc
        if c.epilogue_lanes:
            reachable[Memory.PARAM] = self.param
        if c.table:
            reachable[Memory.TABLE] = self.table
        return reachable

    def _pad(self, memory: int) -> int:
        if memory == Memory.INP:
            return int(wrap(np.array(self.registers[R.LOAD_PAD]), self.config.inp_bits))
        return self.registers[R.COMPUTE_PAD] if memory in (Memory.ACC, Memory.ACC_8BIT) else 0

    def _load(self, insn: Load) -> None:
        reachable = self._scratchpads()
        if insn.memory not in reachable:
            raise ReferenceFaultError(Cause.ILLEGAL_INSTRUCTION)
        if insn.x_size == 0:
            return
        target = reachable[Memory(insn.memory)]
        width = insn.x_pad0 + insn.x_size + insn.x_pad1
        rows = insn.y_pad0 + insn.y_size + insn.y_pad1
        if rows and insn.sram + rows * width > len(target):
            raise ReferenceFaultError(Cause.SCRATCHPAD_RANGE, max(insn.sram, len(target)))
        block = np.full((rows, width, *target.shape[1:]), self._pad(insn.memory), target.dtype)
        for y in range(insn.y_size):
            raw = bytes(self.dram[self._row(insn, y)])
            block[insn.y_pad0 + y, insn.x_pad0 : insn.x_pad0 + insn.x_size] = self._tiles(insn, raw, target)
        target[insn.sram : insn.sram + rows * width] = block.reshape(-1, *target.shape[1:])

    def _tiles(self, insn: Load, raw: bytes, target: NDArray) -> NDArray:
        if insn.memory == Memory.UOP:
            return np.frombuffer(raw, f"<u{uop_bytes(self.config)}").astype(np.uint64)
        if insn.memory == Memory.ACC_8BIT:
            return bytes_read(raw, unsigned=bool(self.registers[R.WIDEN])).reshape(-1, *target.shape[1:])
        c = self.config
        bits = {Memory.INP: c.inp_bits, Memory.WGT: c.wgt_bits, Memory.ACC: c.acc_bits, Memory.PARAM: 32}
        width = bits.get(Memory(insn.memory), 8)
        return elements_from_bytes(raw, width).reshape(-1, *target.shape[1:])

    def _store(self, insn: Store) -> None:
        c = self.config
        legal = {Memory.OUT}
        legal |= {Memory.ACC} if c.raw_store else set()
        legal |= {Memory.ACC_8BIT} if c.epilogue_lanes else set()
        if insn.memory not in legal or insn.y_pad0 or insn.y_pad1 or insn.x_pad0 or insn.x_pad1:
            raise ReferenceFaultError(Cause.ILLEGAL_INSTRUCTION)
        is_epilogue = insn.memory == Memory.ACC_8BIT
        residual_bits = StoreMode.RESIDUAL | StoreMode.SWAP | StoreMode.UNSIGNED
        lacking = (0 if c.residual else residual_bits) | (0 if c.table else StoreMode.TABLE)
        if is_epilogue and insn.mode & lacking:
            raise ReferenceFaultError(Cause.ILLEGAL_INSTRUCTION)
        if insn.x_size == 0 or insn.y_size == 0:
            return
        if insn.sram + insn.y_size * insn.x_size > c.acc_depth:
            raise ReferenceFaultError(Cause.SCRATCHPAD_RANGE, max(insn.sram, c.acc_depth))
        params = self._parameter_tiles(insn) if is_epilogue else np.zeros((insn.y_size, insn.x_size), np.int64)
        for y in range(insn.y_size):
            first = insn.sram + y * insn.x_size
            values, bits = self.acc[first : first + insn.x_size], c.out_bits if insn.memory == Memory.OUT else 32
            if is_epilogue:
                values, bits = self._epilogue(insn, y, values, self.param[params[y]]), 8
            self.dram[self._row(insn, y)] = elements_to_bytes(values, bits)

    def _parameter_tiles(self, insn: Store) -> Elements:
        """The parameter tile of each tile of the block, shape (y_size, x_size)."""
        x, y = np.arange(insn.x_size), np.arange(insn.y_size)[:, None]
        tiles = self.registers[R.PARAM] + x * bool(insn.mode & StoreMode.PARAM_X)
        tiles = tiles + y * bool(insn.mode & StoreMode.PARAM_Y)
        for index in tiles[tiles >= self.config.param_depth].tolist():
            raise ReferenceFaultError(Cause.SCRATCHPAD_RANGE, index)
        return tiles

    def _epilogue(self, insn: Store, y: int, acc: Elements, params: Elements) -> Elements:
        """What a row of tiles (x_size, batch, block_out) becomes on its way out."""
        reg = self.registers
        bias, scale = (params[:, None, :, k] for k in (0, 1))
        sums = wrap(acc + bias, 32)
        values = requantise(sums, scale, reg[R.ZERO_POINT], reg[R.CLAMP_LO], reg[R.CLAMP_HI])
        if insn.mode & StoreMode.RESIDUAL:
            place = self._row(replace(insn, dram=insn.dram + reg[R.RESIDUAL]), y)
            operand = bytes_read(bytes(self.dram[place]), unsigned=bool(insn.mode & StoreMode.UNSIGNED))
            first, second = (values, reg[R.SCALE]), (operand.reshape(values.shape), reg[R.RESIDUAL_SCALE])
            if insn.mode & StoreMode.SWAP:
                first, second = second, first
            values = add_residual(*first, *second, reg[R.OFFSET], reg[R.SUM_LO], reg[R.SUM_HI])
        return self.table[0, values & 255] if insn.mode & StoreMode.TABLE else values

    # GEMM and ALU --------------------------------------------------------------------------------------------

    def _steps(self, insn: Gemm | Alu) -> Iterator[tuple[int, int, int, int]]:
        """Of every step, in order, the tile indices (dst, src, wgt) and which loops are not in their first round.

        The last is a mask as in OVERWRITE: 1 the outer loop, 2 the inner one, 4 the micro-ops.
        """
        uops = range(insn.uop_bgn, insn.uop_end)
        if insn.iter_out and insn.iter_in and uops and insn.uop_end > self.config.uop_depth:
            raise ReferenceFaultError(Cause.SCRATCHPAD_RANGE, max(insn.uop_bgn, self.config.uop_depth))
        if not (insn.iter_out and insn.iter_in and uops):
            return
        decoded = [uop_fields(int(self.uop[k]), self.config) for k in uops]
        wgt_out, wgt_in = (insn.wgt_out, insn.wgt_in) if isinstance(insn, Gemm) else (0, 0)
        for out in range(insn.iter_out):
            for inner in range(insn.iter_in):
                for k, (dst, src, wgt) in enumerate(decoded):
                    yield (
                        dst + out * insn.dst_out + inner * insn.dst_in,
                        src + out * insn.src_out + inner * insn.src_in,
                        wgt + out * wgt_out + inner * wgt_in,
                        (out > 0) | (inner > 0) << 1 | (k > 0) << 2,
                    )

    def _gemm(self, insn: Gemm) -> None:
        c = self.config
        is_overwriting = isinstance(insn, GemmOverwrite)
        if is_overwriting and not c.gemm_overwrite:
            raise ReferenceFaultError(Cause.ILLEGAL_INSTRUCTION)
        for dst, src, wgt, later in self._steps(insn):
            check(dst, c.acc_depth)
            if insn.reset:
                self.acc[dst] = 0
                continue
            check(src, c.inp_depth)
            check(wgt, c.wgt_depth)
            before = 0 if is_overwriting and not later & self.registers[R.OVERWRITE] else self.acc[dst]
            self.acc[dst] = wrap(before + self.inp[src] @ self.wgt[wgt].T, 32)

    def _alu(self, insn: Alu) -> None:
        if insn.alu_op > (AluOp.SUB if self.config.alu_extensions else AluOp.MUL):
            raise ReferenceFaultError(Cause.ILLEGAL_INSTRUCTION)
        immediate = np.full(self.acc.shape[1:], insn.imm, np.int64)
        for dst, src, _, _ in self._steps(insn):
            check(dst, self.config.acc_depth)
            if not insn.use_imm:
                check(src, self.config.acc_depth)
            self.acc[dst] = alu(AluOp(insn.alu_op), self.acc[dst], immediate if insn.use_imm else self.acc[src])


def check(index: int, depth: int) -> None:
    if index >= depth:
        raise ReferenceFaultError(Cause.SCRATCHPAD_RANGE, index)
