"""FAULT_VALUE of what is refused: the first index outside its scratchpad, an address outside its window."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import (
    Alu,
    Gemm,
    Instruction,
    LoopInstruction,
    Memory,
    MemoryInstruction,
    scratchpad_depth,
    tile_bytes,
)


def _used_operands(instruction: LoopInstruction, config: AcceleratorConfig) -> dict[str, int]:
    """Depth of the scratchpad of each micro-op field in use."""
    depths = {"dst": config.acc_depth}
    if isinstance(instruction, Gemm) and not instruction.reset:
        depths |= {"src": config.inp_depth, "wgt": config.wgt_depth}
    if isinstance(instruction, Alu) and not instruction.use_imm:
        depths |= {"src": config.acc_depth}
    return depths


def _first_iteration(largest: int, step: int, depth: int, count: int) -> int:
    """First k in range(count) with largest + k·step ≥ depth, or count if there is none."""
    if largest >= depth:
        return 0
    return count if step == 0 else min(count, -((largest - depth) // step))


def first_index_outside(
    instruction: LoopInstruction, uops: Mapping[str, NDArray[np.uint32]], config: AcceleratorConfig
) -> int:
    """The first index, in loop order, that lies outside its scratchpad; dst before src before wgt within a step."""
    if instruction.uop_end > config.uop_depth:
        return max(instruction.uop_bgn, config.uop_depth)
    used = _used_operands(instruction, config)
    columns = {name: uops[name][instruction.uop_bgn : instruction.uop_end].astype(np.int64) for name in used}
    steps = {name: (getattr(instruction, f"{name}_out"), getattr(instruction, f"{name}_in")) for name in used}
    last = {name: (instruction.iter_in - 1) * steps[name][1] for name in used}
    outer = min(
        _first_iteration(int(columns[n].max()) + last[n], steps[n][0], depth, instruction.iter_out)
        for n, depth in used.items()
    )
    rows = {name: columns[name] + outer * steps[name][0] for name in used}
    inner = min(
        _first_iteration(int(rows[n].max()), steps[n][1], depth, instruction.iter_in) for n, depth in used.items()
    )
    indices = {name: rows[name] + inner * steps[name][1] for name in used}
    outside = np.array([indices[name] >= depth for name, depth in used.items()])
    step = int(np.flatnonzero(outside.any(axis=0))[0])
    name = list(used)[int(np.flatnonzero(outside[:, step])[0])]
    return int(indices[name][step])


def first_tile_outside(instruction: MemoryInstruction, config: AcceleratorConfig) -> int:
    """The first scratchpad tile of a LOAD or STORE that lies outside."""
    return max(instruction.sram, scratchpad_depth(Memory(instruction.memory), config))


def address_outside(
    instruction: MemoryInstruction, base: int, window: tuple[int, int], config: AcceleratorConfig
) -> int:
    """FAULT_VALUE of a ``WINDOW`` fault: the block's first byte if that lies outside ``[begin, end)``, or its last."""
    size = tile_bytes(Memory(instruction.memory), config)
    first = base + instruction.dram * size
    if not window[0] <= first < window[1]:
        return first
    return first + ((instruction.y_size - 1) * instruction.x_stride + instruction.x_size) * size - 1


def value_of(instruction: Instruction, uops: Mapping[str, NDArray[np.uint32]], config: AcceleratorConfig) -> int:
    """FAULT_VALUE of a ``SCRATCHPAD_RANGE`` fault."""
    if isinstance(instruction, MemoryInstruction):
        return first_tile_outside(instruction, config)
    assert isinstance(instruction, LoopInstruction)
    return first_index_outside(instruction, uops, config)
