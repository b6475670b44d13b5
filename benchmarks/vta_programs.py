"""Programs as the standalone-vta project's compiler lays them out, for one accelerator against VTA's RTL.

Ten instructions and more: micro-ops, a reset whose token lets the inputs come, inputs and weights in one LOAD each, the
other micro-ops, the product over rows and blocks, ALU passes, the STORE, and two LOADs of nothing that gather the
tokens before FINISH.

Source
------
onera/standalone-vta, ``compiler/operations_definition``: the order of instructions, their tokens and their memory map.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import encode, pack_uops
from weft_hardware.isa import Alu, AluOp, Finish, Gemm, Instruction, Load, Memory, Store

Tiles = NDArray[np.integer[Any]]

BLOCK = 16
"""Rows and columns of a block: VTA's tile is one row of it."""


@dataclass(frozen=True)
class VtaProgram:
    """Instructions, what lies in DRAM before them and what they leave there.

    Parameters
    ----------
    placed : dict
        Byte offset to the bytes found there, the encoded instructions included.
    insn_offset : int
        Byte offset of the first instruction.
    out_offset : int
        Byte offset of the result, int8.
    """

    instructions: list[Instruction]
    placed: dict[int, bytes]
    insn_offset: int
    out_offset: int
    expected: NDArray[np.int8] = field(repr=False)


@dataclass(frozen=True)
class MemoryMap:
    """Byte offsets."""

    inp: int
    wgt: int
    out: int
    uop: int
    insn: int


SMALL = MemoryMap(inp=0x1000, wgt=0x2000, out=0x3000, uop=0x4000, insn=0x5000)
LENET = MemoryMap(inp=0x1000, wgt=0x8000, out=0x9000, uop=0xD000, insn=0xE000)


def _line(memory: Memory, sram: int, offset: int, tile_bytes: int, tiles: int, **tokens: bool) -> Load:
    return Load(memory=memory, sram=sram, dram=offset // tile_bytes, y_size=1, x_size=tiles, x_stride=tiles, **tokens)


def _accumulate(
    places: MemoryMap, rows: int, inp_tiles: int, wgt_tiles: int, uops: int, gemm: Gemm
) -> list[Instruction]:
    """From the first micro-op to the product of so many rows."""
    reset = Gemm(uop_end=1, iter_out=rows // BLOCK, iter_in=BLOCK, dst_out=BLOCK, dst_in=1, reset=True, push_prev=True)
    return [
        _line(Memory.UOP, 0, places.uop, 4, 1),
        reset,
        _line(Memory.INP, 0, places.inp, 16, inp_tiles, pop_next=True),
        _line(Memory.WGT, 0, places.wgt, 256, wgt_tiles, push_next=True),
        _line(Memory.UOP, 1, places.uop + 4, 4, uops - 1, pop_prev=True),
        gemm,
    ]


def _store(places: MemoryMap, tiles: int) -> Store:
    """All tiles at once, with its tokens."""
    return Store(
        memory=Memory.OUT, dram=places.out // 16, y_size=1, x_size=tiles, x_stride=tiles, pop_prev=True, push_prev=True
    )


_ENDING: list[Instruction] = [
    Load(memory=Memory.INP, push_next=True),
    Load(memory=Memory.UOP, pop_prev=True, pop_next=True),
    Finish(),
]


def _program(
    config: AcceleratorConfig,
    places: MemoryMap,
    instructions: list[Instruction],
    uops: list[tuple[int, int, int]],
    inp: Tiles,
    wgt: Tiles,
    expected: Tiles,
) -> VtaProgram:
    dst, src, weight = zip(*uops, strict=True)
    placed = {
        places.inp: inp.astype(np.int8).tobytes(),
        places.wgt: wgt.astype(np.int8).tobytes(),
        places.uop: pack_uops(config, dst, src, weight).tobytes(),
        places.insn: encode(instructions, config).tobytes(),
    }
    return VtaProgram(instructions, placed, places.insn, places.out, expected.astype(np.int8))


def _blocks(matrix: Tiles) -> Tiles:
    """A matrix as blocks, by rows of blocks, shape (blocks, BLOCK, BLOCK)."""
    rows, columns = (side // BLOCK for side in matrix.shape)
    return matrix.reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2).reshape(-1, BLOCK, BLOCK)


def matrix_product(config: AcceleratorConfig, blocks: int) -> VtaProgram:
    """A product of two square matrices of one or two blocks a side, each memory loaded by one instruction.

    The reset covers every accumulator of the result. (The project's own program of two blocks resets 16 of 64.)
    """
    side = blocks * BLOCK
    left, right = np.random.default_rng(side).integers(-8, 8, (2, side, side))
    count = blocks * blocks
    if blocks == 1:
        uops = [(0, 0, 0)] * 2
        gemm = Gemm(uop_bgn=1, uop_end=2, iter_out=1, iter_in=BLOCK, dst_in=1, src_in=1, push_next=True)
    else:
        uops = [(0, 0, 0), (0, 0, 0), (16, 0, 1), (32, 32, 0), (48, 32, 1)]
        offsets = {"dst_in": 1, "src_out": 16, "src_in": 1, "wgt_out": 2}
        gemm = Gemm(uop_bgn=1, uop_end=5, iter_out=2, iter_in=BLOCK, **offsets, push_next=True)
    tiles = count * BLOCK
    instructions = [*_accumulate(SMALL, tiles, tiles, count, len(uops), gemm), _store(SMALL, tiles), *_ENDING]
    weights = _blocks(right).transpose(0, 2, 1)
    return _program(config, SMALL, instructions, uops, _blocks(left), weights, _blocks(left @ right))


def lenet5(config: AcceleratorConfig, *, relu: bool = False, pool: bool = False) -> VtaProgram:
    """LeNet-5's first convolution as a product of 784×25 (im2col) and 25×6, both padded to blocks.

    ``pool`` follows the ReLU by the sums of 2×2 pixels shifted right by 2, stored one tile at a time.
    """
    pixels, rows = 28, 784
    rng = np.random.default_rng(5)
    left, right = np.zeros((rows, 32), np.int64), np.zeros((32, BLOCK), np.int64)
    left[:, :25], right[:25, :6] = rng.integers(0, 8, (rows, 25)), rng.integers(-4, 4, (25, 6))
    uops = [(0, 0, 0), (0, 0, 0), (0, 16, 1)]
    by_row = {"iter_out": rows // BLOCK, "iter_in": BLOCK, "dst_out": BLOCK, "dst_in": 1}
    by_pixel = {"iter_out": 14, "iter_in": 14, "dst_out": 56, "dst_in": 2, "src_out": 56, "src_in": 2}
    work: list[Gemm | Alu] = [Gemm(uop_bgn=1, uop_end=3, **by_row, src_out=32, src_in=1)]
    result = left @ right
    if relu or pool:
        uops += [(0, 0, 0)]
        work += [Alu(uop_bgn=3, uop_end=4, **by_row, src_out=BLOCK, src_in=1, alu_op=AluOp.MAX, use_imm=True, imm=0)]
        result = np.maximum(result, 0)
    stores: list[Instruction] = [_store(LENET, rows)]
    if pool:
        uops += [(0, 1, 0), (0, pixels, 0), (0, 0, 0)]
        work += [
            Alu(uop_bgn=4, uop_end=5, iter_out=1, iter_in=rows // 2, dst_in=2, src_in=2, alu_op=AluOp.ADD),
            Alu(uop_bgn=5, uop_end=6, **by_pixel, alu_op=AluOp.ADD),
            Alu(uop_bgn=6, uop_end=7, **by_pixel, alu_op=AluOp.SHR, use_imm=True, imm=2),
        ]
        result = result.reshape(14, 2, 14, 2, BLOCK).sum(axis=(1, 3)) >> 2
        tiles = [
            Store(
                memory=Memory.OUT,
                sram=56 * y + 2 * x,
                dram=LENET.out // 16 + 14 * y + x,
                y_size=1,
                x_size=1,
                x_stride=1,
            )
            for y in range(14)
            for x in range(14)
        ]
        stores = [Store(memory=Memory.OUT, pop_prev=True), *tiles, Store(memory=Memory.OUT, push_prev=True)]
    work[-1] = replace(work[-1], push_next=True)
    product, *passes = work
    assert isinstance(product, Gemm)
    instructions = [*_accumulate(LENET, rows, 2 * rows, 2, len(uops), product), *passes, *stores, *_ENDING]
    return _program(config, LENET, instructions, uops, _blocks(left), _blocks(right).transpose(0, 2, 1), result)
