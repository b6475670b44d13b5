"""The instruction set's semantics in plain numpy, one instruction after another: what arbitrates between simulators.

Written from the design document alone. It favours being read over being fast, and knows nothing about time: whoever
calls it chooses the order, and it checks that the order respects queues and tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from support.bits import uop_bytes, uop_fields
from support.program import Program
from support.tokens import Channel, popped, pushed
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
    Store,
)
from weft_hardware.registers import Cause

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
    return wrap(left * right, 32)


class Machine:
    """The accelerator's state and what each instruction does to it; scratchpads live as long as the machine."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.inp = np.zeros((config.inp_depth, config.batch, config.block_in), np.int64)
        self.wgt = np.zeros((config.wgt_depth, config.block_out, config.block_in), np.int64)
        self.acc = np.zeros((config.acc_depth, config.batch, config.block_out), np.int64)
        self.uop = np.zeros(config.uop_depth, np.uint64)
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
        elif isinstance(insn, (Set, GemmOverwrite)):
            raise ReferenceFaultError(Cause.ILLEGAL_INSTRUCTION)
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
        }[memory]
        return elements * bits // 8

    def _row(self, insn: MemoryInstruction, y: int) -> slice:
        """Where row y of the block lies in ``dram``."""
        size = self.tile_bytes(Memory(insn.memory))
        address = self.bases.get(Memory(insn.memory), 0) + (insn.dram + y * insn.x_stride) * size
        start, end = address - self.dram_base, address - self.dram_base + insn.x_size * size
        if start < 0 or end > len(self.dram) or address + insn.x_size * size > 1 << self.config.axi_addr_bits:
            raise ReferenceFaultError(Cause.BUS_ERROR, address)
        return slice(start, end)

    def _load(self, insn: Load) -> None:
        if insn.memory not in (Memory.UOP, Memory.WGT, Memory.INP, Memory.ACC):
            raise ReferenceFaultError(Cause.ILLEGAL_INSTRUCTION)
        if insn.x_size == 0:
            return
        pads = {Memory.INP: self.inp, Memory.WGT: self.wgt, Memory.ACC: self.acc, Memory.UOP: self.uop}
        target = pads[Memory(insn.memory)]
        width = insn.x_pad0 + insn.x_size + insn.x_pad1
        rows = insn.y_pad0 + insn.y_size + insn.y_pad1
        if rows and insn.sram + rows * width > len(target):
            raise ReferenceFaultError(Cause.SCRATCHPAD_RANGE, max(insn.sram, len(target)))
        block = np.zeros((rows, width, *target.shape[1:]), target.dtype)
        for y in range(insn.y_size):
            raw = bytes(self.dram[self._row(insn, y)])
            block[insn.y_pad0 + y, insn.x_pad0 : insn.x_pad0 + insn.x_size] = self._tiles(insn, raw, target)
        target[insn.sram : insn.sram + rows * width] = block.reshape(-1, *target.shape[1:])

    def _tiles(self, insn: Load, raw: bytes, target: NDArray) -> NDArray:
        if insn.memory == Memory.UOP:
            return np.frombuffer(raw, f"<u{uop_bytes(self.config)}").astype(np.uint64)
        c = self.config
        bits = {Memory.INP: c.inp_bits, Memory.WGT: c.wgt_bits, Memory.ACC: c.acc_bits}[Memory(insn.memory)]
        return elements_from_bytes(raw, bits).reshape(-1, *target.shape[1:])

    def _store(self, insn: Store) -> None:
        legal = (Memory.OUT, Memory.ACC) if self.config.raw_store else (Memory.OUT,)
        if insn.memory not in legal or insn.y_pad0 or insn.y_pad1 or insn.x_pad0 or insn.x_pad1:
            raise ReferenceFaultError(Cause.ILLEGAL_INSTRUCTION)
        if insn.x_size == 0 or insn.y_size == 0:
            return
        if insn.sram + insn.y_size * insn.x_size > self.config.acc_depth:
            raise ReferenceFaultError(Cause.SCRATCHPAD_RANGE, max(insn.sram, self.config.acc_depth))
        bits = self.config.out_bits if insn.memory == Memory.OUT else self.config.acc_bits
        for y in range(insn.y_size):
            first = insn.sram + y * insn.x_size
            self.dram[self._row(insn, y)] = elements_to_bytes(self.acc[first : first + insn.x_size], bits)

    # GEMM and ALU --------------------------------------------------------------------------------------------

    def _steps(self, insn: Gemm | Alu) -> Iterator[tuple[int, int, int]]:
        """Tile indices (dst, src, wgt) of every step, in order."""
        uops = range(insn.uop_bgn, insn.uop_end)
        if insn.iter_out and insn.iter_in and uops and insn.uop_end > self.config.uop_depth:
            raise ReferenceFaultError(Cause.SCRATCHPAD_RANGE, max(insn.uop_bgn, self.config.uop_depth))
        if not (insn.iter_out and insn.iter_in and uops):
            return
        decoded = [uop_fields(int(self.uop[k]), self.config) for k in uops]
        wgt_out, wgt_in = (insn.wgt_out, insn.wgt_in) if isinstance(insn, Gemm) else (0, 0)
        for out in range(insn.iter_out):
            for inner in range(insn.iter_in):
                for dst, src, wgt in decoded:
                    yield (
                        dst + out * insn.dst_out + inner * insn.dst_in,
                        src + out * insn.src_out + inner * insn.src_in,
                        wgt + out * wgt_out + inner * wgt_in,
                    )

    def _gemm(self, insn: Gemm) -> None:
        c = self.config
        for dst, src, wgt in self._steps(insn):
            check(dst, c.acc_depth)
            if insn.reset:
                self.acc[dst] = 0
                continue
            check(src, c.inp_depth)
            check(wgt, c.wgt_depth)
            self.acc[dst] = wrap(self.acc[dst] + self.inp[src] @ self.wgt[wgt].T, 32)

    def _alu(self, insn: Alu) -> None:
        if insn.alu_op > AluOp.MUL:
            raise ReferenceFaultError(Cause.ILLEGAL_INSTRUCTION)
        immediate = np.full(self.acc.shape[1:], insn.imm, np.int64)
        for dst, src, _ in self._steps(insn):
            check(dst, self.config.acc_depth)
            if not insn.use_imm:
                check(src, self.config.acc_depth)
            self.acc[dst] = alu(AluOp(insn.alu_op), self.acc[dst], immediate if insn.use_imm else self.acc[src])


def check(index: int, depth: int) -> None:
    if index >= depth:
        raise ReferenceFaultError(Cause.SCRATCHPAD_RANGE, index)
