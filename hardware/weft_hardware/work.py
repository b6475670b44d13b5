"""What a program asks of each unit: the least that any schedule of it takes, known from its instructions alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from .config import AcceleratorConfig
from .encoding import Words, opcodes, unpack
from .isa import Alu, Gemm, Load, Memory, Opcode, Store, StoreMode, instruction_bytes, tile_bytes
from .latencies import PAIRED_BEATS

Columns = Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Work:
    """Counts over a program; they add.

    Parameters
    ----------
    instructions : int
    gemm_cycles, alu_cycles : int
        Micro-ops of GEMM, and beats of ALU vectors: each keeps the compute pipeline for a cycle.
    epilogue_cycles : int
        Steps of requantising STOREs.
    read_bytes, write_bytes : int
        Moved from and to DRAM, instructions and residual operands included.
    """

    instructions: int = 0
    gemm_cycles: int = 0
    alu_cycles: int = 0
    epilogue_cycles: int = 0
    read_bytes: int = 0
    write_bytes: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def least_cycles(self, config: AcceleratorConfig) -> dict[str, int]:
        """Cycles that each resource needs by itself: a program takes no fewer than the largest."""
        beat = config.axi_bytes
        return {
            "compute": self.gemm_cycles + self.alu_cycles,
            "epilogue": self.epilogue_cycles,
            "reads": -(-self.read_bytes // beat),
            "writes": -(-self.write_bytes // beat),
        }


def count_work(words: Words, config: AcceleratorConfig) -> Work:
    """Count an encoded program, whose instructions are legal; shape (n, instruction_bits / 64)."""
    codes = opcodes(words)

    def columns(cls: type, *chosen: Opcode) -> Columns:
        return unpack(cls, words[np.isin(codes, chosen)], config)

    gemm, alu = columns(Gemm, Opcode.GEMM, Opcode.GEMM_OVERWRITE), columns(Alu, Opcode.ALU)
    load, store = columns(Load, Opcode.LOAD), columns(Store, Opcode.STORE)
    narrow = store["memory"] == Memory.ACC_8BIT
    residual = narrow & (store["mode"] & StoreMode.RESIDUAL != 0)
    tiles = store["x_size"] * store["y_size"]
    steps_per_tile = config.batch * config.block_out // config.epilogue_lanes if config.epilogue_lanes else 0
    return Work(
        instructions=len(words),
        gemm_cycles=int(loop_steps(gemm).sum()),
        alu_cycles=int((loop_steps(alu) * alu_beats(alu)).sum()),
        epilogue_cycles=int(tiles[narrow].sum()) * steps_per_tile,
        read_bytes=len(words) * instruction_bytes(config)
        + int(_moved(load, config).sum() + _moved(store, config)[residual].sum()),
        write_bytes=int(_moved(store, config).sum()),
    )


def alu_beats(columns: Columns) -> NDArray[np.int64]:
    """Cycles of each step of ALU instructions."""
    return np.where(columns["use_imm"] != 0, 1, PAIRED_BEATS)


def loop_steps(columns: Columns) -> NDArray[np.int64]:
    """Micro-ops of GEMM and ALU instructions, all iterations."""
    return np.maximum(columns["uop_end"] - columns["uop_bgn"], 0) * columns["iter_out"] * columns["iter_in"]


def _moved(columns: Columns, config: AcceleratorConfig) -> NDArray[np.int64]:
    """Bytes in DRAM of LOADs or STOREs."""
    sizes = np.array([tile_bytes(memory, config) for memory in sorted(Memory)])
    return columns["x_size"] * columns["y_size"] * sizes[columns["memory"]]
