"""Small programs by hand: tensors are placed in DRAM, instructions follow each other, devices run them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support.devices import shared_device
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Instruction, Load, Memory
from weft_hardware.isa import tile_bytes as isa_tile_bytes
from weft_simulator.lockstep.bits import instruction_bytes, uops_to_bytes
from weft_simulator.lockstep.generator import DRAM_BASE, DRAM_SIZE
from weft_simulator.lockstep.program import Program
from weft_simulator.lockstep.tokens import LOAD, STORE, pop_flag, push_flag


class Workbench:
    """DRAM with tensors in it. All base registers are 0, so a tile address is a physical address over tile bytes."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.image = np.full(DRAM_SIZE, 0xA5, np.uint8)
        self._next = 4096

    def reserve(self, memory: Memory, tiles: int) -> int:
        """Room for tiles of a memory; returns the number of the first."""
        size = isa_tile_bytes(memory, self.config)
        self._next = -(-self._next // max(size, 64)) * max(size, 64)
        first = (DRAM_BASE + self._next) // size
        self._next += tiles * size + 64
        assert self._next <= DRAM_SIZE, "the workbench is full"
        return first

    def place(self, memory: Memory, elements: NDArray[Any]) -> int:
        """Put a tensor of the memory's element type into DRAM; returns the number of its first tile."""
        raw = np.ascontiguousarray(elements).view(np.uint8).reshape(-1)
        size = isa_tile_bytes(memory, self.config)
        first = self.reserve(memory, raw.size // size)
        start = first * size - DRAM_BASE
        self.image[start : start + raw.size] = raw
        return first

    def place_uops(self, uops: Sequence[tuple[int, int, int]]) -> int:
        return self.place(Memory.UOP, np.frombuffer(uops_to_bytes(uops, self.config), np.uint8))

    def program(self, instructions: Sequence[Instruction], name: str = "by hand") -> Program:
        """The instructions as they are, encoded behind the tensors."""
        size = instruction_bytes(self.config)
        self._next = -(-self._next // 64) * 64
        program = Program(self.config, list(instructions), self.image, DRAM_BASE, {}, DRAM_BASE + self._next, name)
        self._next += len(instructions) * size
        program.install()
        return program

    def tiles(self, image: NDArray[np.uint8], memory: Memory, first: int, count: int) -> NDArray[Any]:
        """Tiles of OUT or ACC as one row of elements each."""
        size = isa_tile_bytes(memory, self.config)
        bits = self.config.out_bits if memory is Memory.OUT else self.config.acc_bits
        start = first * size - DRAM_BASE
        return image[start : start + count * size].view(f"<i{bits // 8}").reshape(count, -1)


def one_after_another(instructions: Sequence[Instruction]) -> list[Instruction]:
    """Tokens that make each instruction wait for the one before it; Load and Store meet through Compute."""
    chain: list[Instruction] = []
    for insn in instructions:
        if chain and {chain[-1].queue, insn.queue} == {LOAD, STORE}:
            chain.append(Load(memory=int(Memory.UOP)))
            _connect(chain)
        chain.append(insn)
        _connect(chain)
    return chain


def _connect(chain: list[Instruction]) -> None:
    if len(chain) > 1 and chain[-2].queue is not chain[-1].queue:
        channel = (chain[-2].queue, chain[-1].queue)
        chain[-2] = replace(chain[-2], **{push_flag(channel): True})
        chain[-1] = replace(chain[-1], **{pop_flag(channel): True})


def run(kind: str, program: Program, read_latency: int = 0, stall_seed: int | None = None) -> NDArray[np.uint8]:
    """Run a program on a shared device; returns the DRAM it leaves."""
    device, dram = shared_device(kind, program.config, read_latency, stall_seed)
    dram.data[:] = program.image
    device.launch(program.launch())
    return dram.data.copy()
