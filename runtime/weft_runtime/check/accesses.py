"""What each instruction reads and writes, exactly: tiles of scratchpads, bytes of DRAM.

That depends on what ran before in the same queue alone: registers that SET wrote, micro-ops that LOAD brought. So the
instructions are walked in program order, which is the order of each queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import unpack_uops
from weft_hardware.isa import (
    QUEUE_REGISTERS,
    Alu,
    Gemm,
    Instruction,
    LoopInstruction,
    Memory,
    MemoryInstruction,
    Set,
    SetRegister,
    Store,
    StoreMode,
    illegal_reason,
    scratchpad_depth,
    tile_bytes,
    uop_bits,
)
from weft_hardware.registers import Cause

from ..device import Launch
from ..dram import Dram
from ..fault_values import address_outside, first_index_outside, first_tile_outside
from .findings import Span
from .regions import Block, Stretch, repeated

FIELDS = ("dst", "src", "wgt")

MOST_MASKS = 4096
"""Index sets that are kept, since the loop nests of a program are much alike."""

SCRATCHPAD = {Memory.OUT: Memory.ACC, Memory.ACC_8BIT: Memory.ACC}
"""The scratchpad behind a memory id, where it is another one's."""


@dataclass
class Accesses:
    """Of one instruction: scratchpads with the tiles read or written, and blocks of DRAM.

    Only scratchpads that two queues reach are listed: INP, WGT and ACC. Micro-ops, parameters, the table and the
    registers belong to one queue each, whose order is theirs.
    """

    tiles: list[tuple[Memory, bool, slice | int]] = field(default_factory=list)
    """Scratchpad, whether it is written, and where: a stretch, or a bit mask, which takes little room."""
    blocks: list[tuple[bool, Block]] = field(default_factory=list)
    """Whether it is written, and the bytes."""


class RefusedError(Exception):
    """The instruction faults."""

    def __init__(self, cause: Cause, value: int = 0) -> None:
        super().__init__(cause, value)
        self.cause = cause
        self.value = value


class UnknownError(Exception):
    """The instruction's micro-ops are not known."""

    def __init__(self, span: Span) -> None:
        super().__init__(span)
        self.span = span


SHARED = {Memory.INP, Memory.WGT, Memory.ACC}
"""The scratchpads that two queues reach."""


class AccessReader:
    """Walks a program's instructions in program order.

    Parameters
    ----------
    launch : Launch
    memory : Dram
        As it is before the launch.
    unknown : sequence of (begin, end)
        Addresses whose bytes may be others when the program is launched.
    """

    def __init__(self, launch: Launch, memory: Dram, config: AcceleratorConfig, unknown: Sequence[Stretch]) -> None:
        self._config = config
        self._memory = memory
        self._unknown = unknown
        self._bases = {m: launch.bases.get(m, 0) for m in Memory}
        self._windows = {m: memory.window(launch, m, config) for m in Memory}
        self._sizes = {m: tile_bytes(m, config) for m in Memory}
        self._depths = {m: scratchpad_depth(m, config) for m in Memory}
        self._uops = {name: np.zeros(config.uop_depth, np.uint32) for name in FIELDS}
        self._known = np.zeros(config.uop_depth, bool)
        self._registers = {r: declared.initial for r, declared in QUEUE_REGISTERS.items()}
        self._masks: dict[tuple[bytes, int, int, int, int], int] = {}

    def of(self, instruction: Instruction | None) -> Accesses:
        """The accesses of the next instruction; None stands for an opcode that is none.

        Raises
        ------
        RefusedError, UnknownError
        """
        if instruction is None or illegal_reason(instruction, self._config):
            raise RefusedError(Cause.ILLEGAL_INSTRUCTION)
        if isinstance(instruction, MemoryInstruction):
            return self._transfer(instruction)
        if isinstance(instruction, LoopInstruction):
            return self._loop(instruction)
        if isinstance(instruction, Set):
            register = SetRegister(instruction.register)
            self._registers[register] = QUEUE_REGISTERS[register].value(instruction.value)
        return Accesses()

    # LOAD and STORE ------------------------------------------------------------------------------------------

    def _transfer(self, insn: MemoryInstruction) -> Accesses:
        found = Accesses()
        memory, is_store = Memory(insn.memory), isinstance(insn, Store)
        width = insn.x_pad0 + insn.x_size + insn.x_pad1
        tiles = width * (insn.y_pad0 + insn.y_size + insn.y_pad1)
        if insn.x_size == 0 or tiles == 0:
            return found
        if insn.sram + tiles > self._depths[memory]:
            raise RefusedError(Cause.SCRATCHPAD_RANGE, first_tile_outside(insn, self._config))
        scratchpad = SCRATCHPAD.get(memory, memory)
        if scratchpad in SHARED:
            found.tiles.append((scratchpad, not is_store, slice(insn.sram, insn.sram + tiles)))
        adds_residual = False
        if isinstance(insn, Store) and memory is Memory.ACC_8BIT:
            self._refuse_parameters(insn)
            adds_residual = bool(insn.mode & StoreMode.RESIDUAL)
        if insn.y_size:
            found.blocks.append((is_store, self._block(insn, memory)))
        if insn.y_size and adds_residual:
            found.blocks.append((False, self._block(insn, memory, self._registers[SetRegister.RESIDUAL])))
        if memory is Memory.UOP:
            self._load_uops(insn, found)
        return found

    def _refuse_parameters(self, insn: Store) -> None:
        """Parameter tiles outside; those inside are loaded and read by the same queue."""
        last = self._registers[SetRegister.PARAM]
        last += insn.x_size - 1 if insn.mode & StoreMode.PARAM_X else 0
        last += insn.y_size - 1 if insn.mode & StoreMode.PARAM_Y else 0
        depth = self._depths[Memory.PARAM]
        if last >= depth:
            raise RefusedError(Cause.SCRATCHPAD_RANGE, max(self._registers[SetRegister.PARAM], depth))

    def _block(self, insn: MemoryInstruction, memory: Memory, away: int = 0) -> Block:
        """The bytes ``away`` tiles from where the instruction says."""
        size, (begin, end) = self._sizes[memory], self._windows[memory]
        start = self._bases[memory] + (insn.dram + away) * size
        block = Block(start, insn.x_size * size, insn.x_stride * size, insn.y_size)
        if block.start < begin or block.end > end:
            base = self._bases[memory] + away * size
            address = address_outside(insn, base, (begin, end), self._config)
            raise RefusedError(Cause.WINDOW, address + ((address < 0) << self._config.axi_addr_bits))
        return block

    def _load_uops(self, insn: MemoryInstruction, found: Accesses) -> None:
        width = insn.x_pad0 + insn.x_size + insn.x_pad1
        rows = insn.y_pad0 + insn.y_size + insn.y_pad1
        place = slice(insn.sram, insn.sram + width * rows)
        bits = uop_bits(self._config)
        words = np.zeros((rows, width), f"<u{bits // 8}")
        known = np.ones((rows, width), bool)
        for _, block in found.blocks:
            row = block.start
            for y in range(insn.y_pad0, insn.y_pad0 + insn.y_size):
                part = slice(insn.x_pad0, insn.x_pad0 + insn.x_size)
                words[y, part] = self._memory.view(row, block.length).view(words.dtype)
                if self._unknown and any(begin < row + block.length and row < end for begin, end in self._unknown):
                    known[y, part] = False
                row += block.pitch
        columns = unpack_uops(words.reshape(-1), self._config)
        for name, values in columns.items():
            self._uops[name][place] = values
        self._known[place] = known.reshape(-1)

    # GEMM and ALU --------------------------------------------------------------------------------------------

    def _loop(self, insn: LoopInstruction) -> Accesses:
        found = Accesses()
        if not (insn.iter_out and insn.iter_in and insn.uop_bgn < insn.uop_end):
            return found
        if insn.uop_end > self._config.uop_depth:
            raise RefusedError(Cause.SCRATCHPAD_RANGE, first_index_outside(insn, self._uops, self._config))
        known = self._known[insn.uop_bgn : insn.uop_end]
        if not known.all():
            missing = insn.uop_bgn + np.flatnonzero(~known)
            raise UnknownError(Span("UOP", int(missing[0]), int(missing[-1]), missing.size))
        operands = [("dst", Memory.ACC, True)]
        if isinstance(insn, Gemm) and not insn.reset:
            operands += [("src", Memory.INP, False), ("wgt", Memory.WGT, False)]
        if isinstance(insn, Alu) and not insn.use_imm:
            operands += [("src", Memory.ACC, False)]
        for name, memory, is_written in operands:
            mask = self._indices(insn, name, self._depths[memory])
            if memory is not Memory.ACC or is_written:  # what compute reads of ACC no other queue writes
                found.tiles.append((memory, is_written, mask))
        return found

    def _indices(self, insn: LoopInstruction, name: str, depth: int) -> int:
        """Mask of all tiles that one operand of a loop nest takes."""
        uops = self._uops[name][insn.uop_bgn : insn.uop_end]
        step_out, step_in = getattr(insn, f"{name}_out"), getattr(insn, f"{name}_in")
        last = int(uops.max()) + (insn.iter_out - 1) * step_out + (insn.iter_in - 1) * step_in
        if last >= depth:
            raise RefusedError(Cause.SCRATCHPAD_RANGE, first_index_outside(insn, self._uops, self._config))
        shape = (uops.tobytes(), insn.iter_out, step_out, insn.iter_in, step_in)
        mask = self._masks.get(shape)
        if mask is None:
            mask = 0
            for index in set(uops.tolist()):
                mask |= 1 << index
            mask = repeated(repeated(mask, step_in, insn.iter_in), step_out, insn.iter_out)
            if len(self._masks) >= MOST_MASKS:
                self._masks.clear()
            self._masks[shape] = mask
        return mask
