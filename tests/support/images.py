"""Raw memory images with a small program in them, for everything that runs images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import encode, encode_uops
from weft_hardware.isa import Alu, AluOp, Finish, Instruction, Load, Memory, MicroOp, Store, tile_bytes


@dataclass(frozen=True)
class Image:
    """An image, where it lies, its program, and what it holds after a run."""

    data: bytes
    base: int
    insn_address: int
    insn_count: int
    expected: bytes


def bias_program(config: AcceleratorConfig, source: int, uops: int, target: int) -> list[Instruction]:
    """Load an accumulator tile, add 3, store it as OUT; byte addresses, base registers 0."""
    return [
        Load(memory=Memory.UOP, dram=uops // tile_bytes(Memory.UOP, config), y_size=1, x_size=1, x_stride=1),
        Load(memory=Memory.ACC, dram=source // tile_bytes(Memory.ACC, config), y_size=1, x_size=1, x_stride=1),
        Alu(alu_op=AluOp.ADD, use_imm=True, imm=3, uop_end=1, iter_out=1, iter_in=1, push_next=True),
        Store(
            memory=Memory.OUT,
            dram=target // tile_bytes(Memory.OUT, config),
            y_size=1,
            x_size=1,
            x_stride=1,
            pop_prev=True,
            push_prev=True,
        ),
        Finish(pop_next=True),
    ]


def bias_image(config: AcceleratorConfig, base: int = 0x10000, size: int = 4096) -> Image:
    """An image whose program reads accumulators at ``base + 0x400`` and writes ``base + 0x800``."""
    program = encode(bias_program(config, base + 0x400, base + 0x300, base + 0x800), config)
    rng = np.random.default_rng(1)
    memory: NDArray[np.uint8] = rng.integers(0, 256, size, np.uint8)
    for offset, values in ((0, program), (0x300, encode_uops([MicroOp()], config))):
        raw = np.frombuffer(values.tobytes(), np.uint8)
        memory[offset : offset + raw.size] = raw
    expected = memory.copy()
    accumulators = memory[0x400 : 0x400 + tile_bytes(Memory.ACC, config)].view("<i4")
    narrowed = (accumulators.astype(np.int64) + 3).astype(np.int8).view(np.uint8)
    expected[0x800 : 0x800 + narrowed.size] = narrowed
    return Image(memory.tobytes(), base, base, len(program), expected.tobytes())
