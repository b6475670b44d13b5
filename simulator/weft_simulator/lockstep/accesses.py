"""What each instruction reads and writes, as sets of tiles and of DRAM bytes.

A set is a Python integer used as a bit mask: bit k stands for tile k of a scratchpad, or for DRAM byte ``base + k``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from weft_hardware.isa import (
    Alu,
    Gemm,
    Instruction,
    Load,
    Memory,
    MemoryInstruction,
    Set,
    SetRegister,
    Store,
    StoreMode,
)

from .bits import uop_bytes, widths
from .program import Program
from .reference import R, held


@dataclass
class Accesses:
    """Bit masks by place: ``uop``, ``inp``, ``wgt``, ``acc``, ``param``, ``table``, ``dram``."""

    reads: dict[str, int] = field(default_factory=dict)
    writes: dict[str, int] = field(default_factory=dict)

    def conflicts(self, other: Accesses) -> list[str]:
        """The places where one writes what the other reads or writes."""
        places = {p for p, mask in self.writes.items() if mask & (other.reads.get(p, 0) | other.writes.get(p, 0))}
        places |= {p for p, mask in self.reads.items() if mask & other.writes.get(p, 0)}
        return sorted(places)


class OutOfRangeError(Exception):
    """An access outside its scratchpad or outside the DRAM image."""


def _span(start: int, length: int) -> int:
    return ((1 << length) - 1) << start


def _mask(indices: NDArray[np.int64], depth: int) -> int:
    touched = np.zeros(depth, bool)
    touched[indices] = True
    return int.from_bytes(np.packbits(touched, bitorder="little").tobytes(), "little")


class AccessTracker:
    """Walks each queue's instructions in order: what they reach depends on micro-ops loaded and registers set before.

    Micro-ops are read from the image as it was before the launch; the oracle refuses programs whose stores reach
    micro-ops that are loaded.
    """

    def __init__(self, program: Program) -> None:
        c = self.config = program.config
        self.program = program
        self.columns = np.zeros((3, c.uop_depth), np.int64)  # dst, src, wgt of the micro-op buffer
        acc, out = c.batch * c.block_out * 4, c.batch * c.block_out * c.out_bits // 8
        self.tile_bytes = {
            Memory.UOP: uop_bytes(c),
            Memory.WGT: c.block_out * c.block_in * c.wgt_bits // 8,
            Memory.INP: c.batch * c.block_in * c.inp_bits // 8,
            Memory.ACC: acc,
            Memory.OUT: out,
            Memory.ACC_8BIT: c.batch * c.block_out,
            Memory.PARAM: c.block_out * 8,
            Memory.TABLE: 256,
        }
        self.depths = {
            Memory.UOP: c.uop_depth,
            Memory.WGT: c.wgt_depth,
            Memory.INP: c.inp_depth,
            Memory.ACC: c.acc_depth,
            Memory.OUT: c.acc_depth,
            Memory.ACC_8BIT: c.acc_depth,
            Memory.PARAM: c.param_depth,
            Memory.TABLE: 1,
        }
        self.registers: dict[SetRegister, int] = dict.fromkeys(SetRegister, 0)

    def of(self, insn: Instruction) -> Accesses:
        """The accesses of the next instruction.

        Raises
        ------
        OutOfRangeError
            If it would fault.
        """
        if isinstance(insn, MemoryInstruction):
            return self._memory(insn)
        if isinstance(insn, (Gemm, Alu)):
            return self._loop(insn)
        if isinstance(insn, Set):
            self.registers[R(insn.register)] = held(R(insn.register), insn.value)
        return Accesses()

    def _memory(self, insn: MemoryInstruction) -> Accesses:
        memory = Memory(insn.memory)
        width = insn.x_pad0 + insn.x_size + insn.x_pad1
        rows = insn.y_pad0 + insn.y_size + insn.y_pad1
        tiles = width * rows
        if insn.x_size == 0 or tiles == 0:
            return Accesses()
        if insn.sram + tiles > self.depths[memory]:
            raise OutOfRangeError(f"{memory.name} tiles {insn.sram}..{insn.sram + tiles}")
        place = "acc" if memory in (Memory.OUT, Memory.ACC_8BIT) else memory.name.lower()
        scratchpad = {place: _span(insn.sram, tiles)}
        dram = self._dram(insn, memory)
        if isinstance(insn, Store):
            epilogue = self._epilogue(insn) if memory is Memory.ACC_8BIT else {}
            return Accesses(reads=scratchpad | epilogue, writes=dram)
        if memory is Memory.UOP:
            self._load_uops(insn)
        return Accesses(reads=dram, writes=scratchpad)

    def parameter_tiles(self, insn: Store) -> int:
        """How many parameter tiles a block takes, from PARAM on."""
        across = insn.x_size - 1 if insn.mode & StoreMode.PARAM_X else 0
        return across + (insn.y_size - 1 if insn.mode & StoreMode.PARAM_Y else 0) + 1

    def _epilogue(self, insn: Store) -> dict[str, int]:
        """What a requantising STORE reads besides accumulators."""
        first, tiles = self.registers[R.PARAM], self.parameter_tiles(insn)
        if first + tiles > self.depths[Memory.PARAM]:
            raise OutOfRangeError(f"parameter tiles {first}..{first + tiles}")
        reads = {"param": _span(first, tiles)}
        if insn.mode & StoreMode.TABLE:
            reads["table"] = 1
        if insn.mode & StoreMode.RESIDUAL:
            reads |= self._dram(insn, Memory.ACC_8BIT, self.registers[R.RESIDUAL])
        return reads

    def _dram(self, insn: MemoryInstruction, memory: Memory, away: int = 0) -> dict[str, int]:
        """The bytes of a block ``away`` tiles from where the instruction says."""
        if insn.y_size == 0:
            return {}
        size = self.tile_bytes[memory]
        start = self.program.bases.get(memory, 0) - self.program.dram_base + (insn.dram + away) * size
        end = start + ((insn.y_size - 1) * insn.x_stride + insn.x_size) * size
        if start < 0 or end > self.program.image.size:
            raise OutOfRangeError(f"DRAM offsets {start:#x}..{end:#x}")
        row, pitch = insn.x_size * size, insn.x_stride * size
        if insn.x_stride == insn.x_size or insn.y_size == 1:
            return {"dram": _span(start, row * insn.y_size)}
        mask = 0
        for y in range(insn.y_size):
            mask |= _span(y * pitch, row)
        return {"dram": mask << start}

    def _load_uops(self, insn: Load | MemoryInstruction) -> None:
        size = self.tile_bytes[Memory.UOP]
        base = self.program.bases.get(Memory.UOP, 0) - self.program.dram_base
        width = insn.x_pad0 + insn.x_size + insn.x_pad1
        block = np.zeros((insn.y_pad0 + insn.y_size + insn.y_pad1, width), np.int64)
        for y in range(insn.y_size):
            start = base + (insn.dram + y * insn.x_stride) * size
            raw = self.program.image[start : start + insn.x_size * size].tobytes()
            block[insn.y_pad0 + y, insn.x_pad0 : insn.x_pad0 + insn.x_size] = np.frombuffer(raw, f"<u{size}")
        words = block.reshape(-1)
        bits = widths(self.config)
        place = slice(insn.sram, insn.sram + words.size)
        self.columns[0, place] = words & ((1 << bits["acc"]) - 1)
        self.columns[1, place] = (words >> bits["acc"]) & ((1 << bits["src"]) - 1)
        self.columns[2, place] = (words >> (bits["acc"] + bits["src"])) & ((1 << bits["wgt"]) - 1)

    def _loop(self, insn: Gemm | Alu) -> Accesses:
        if not (insn.iter_out and insn.iter_in and insn.uop_bgn < insn.uop_end):
            return Accesses()
        if insn.uop_end > self.config.uop_depth:
            raise OutOfRangeError(f"micro-ops {insn.uop_bgn}..{insn.uop_end}")
        accesses = Accesses(reads={"uop": _span(insn.uop_bgn, insn.uop_end - insn.uop_bgn)})
        dst = self._indices(insn, 0, insn.dst_out, insn.dst_in, self.config.acc_depth)
        accesses.writes["acc"] = dst
        if isinstance(insn, Gemm):
            if insn.reset:
                return accesses
            accesses.reads["acc"] = dst
            accesses.reads["inp"] = self._indices(insn, 1, insn.src_out, insn.src_in, self.config.inp_depth)
            accesses.reads["wgt"] = self._indices(insn, 2, insn.wgt_out, insn.wgt_in, self.config.wgt_depth)
            return accesses
        src = 0 if insn.use_imm else self._indices(insn, 1, insn.src_out, insn.src_in, self.config.acc_depth)
        accesses.reads["acc"] = dst | src
        return accesses

    def _indices(self, insn: Gemm | Alu, column: int, step_out: int, step_in: int, depth: int) -> int:
        uops = self.columns[column, insn.uop_bgn : insn.uop_end]
        outer = np.arange(insn.iter_out) * step_out
        inner = np.arange(insn.iter_in) * step_in
        if uops.max() + outer[-1] + inner[-1] >= depth:
            raise OutOfRangeError(f"tile index {uops.max() + outer[-1] + inner[-1]} of {depth}")
        offsets = np.unique((outer[:, None] + inner).reshape(-1))
        return _mask(np.unique(uops)[:, None] + offsets, depth)
