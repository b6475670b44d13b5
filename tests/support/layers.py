"""Layers of a quantised network as programs, assembled by hand the way a compiler would: every extension in use.

Two halves of INP and of ACC alternate (virtual threads): while GEMM works on one, the load module fills the other
half of INP and the store module requantises out of the other half of ACC. Tensors are tiled NCHW16c: blocks of
channels first, then rows, columns, and the channels of a block.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import (
    Alu,
    AluOp,
    Finish,
    GemmOverwrite,
    Instruction,
    Load,
    Memory,
    OverwriteMask,
    Set,
    SetRegister,
    Store,
    StoreMode,
)
from weft_hardware.presets import VTA
from weft_simulator.lockstep.bits import instructions_to_bytes, uops_to_bytes
from weft_simulator.lockstep.program import Program

CONFIG = VTA
"""The ``vta`` preset with every extension."""

Tiles = NDArray[np.int8]
"""A tiled activation tensor, (blocks, rows, columns, block)."""


@dataclass(frozen=True)
class Conv:
    """A convolution of one image; ``rows`` output rows are computed from one half of INP.

    ``group`` blocks of output channels are requantised by one STORE.
    """

    size: int
    in_channels: int
    out_channels: int
    kernel: int = 3
    stride: int = 1
    rows: int = 2
    group: int = 1

    @property
    def pad(self) -> int:
        return self.kernel // 2

    @property
    def out_size(self) -> int:
        return (self.size + 2 * self.pad - self.kernel) // self.stride + 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates, those with padding included."""
        return self.out_size**2 * self.kernel**2 * self.in_channels * self.out_channels


@dataclass(frozen=True)
class Requantisation:
    """Bias and float32 scale a channel; zero points of input and output; the residual operand's, if there is one."""

    bias: NDArray[np.int64]
    scale: NDArray[np.float32]
    in_zero: int = 0
    out_zero: int = 0


@dataclass(frozen=True)
class Sum:
    """``residual`` is added as QLinearAdd's second input: registers as docs/isa.md has them, scales encoded."""

    residual: Tiles
    scale: int
    residual_scale: int
    offset: int


@dataclass(frozen=True)
class LayerProgram:
    """A program and where its result lies in the image."""

    program: Program
    out: slice
    shape: tuple[int, ...]
    ideal_cycles: int
    """What the busiest unit needs if it never waits."""

    def result(self, image: NDArray[np.uint8]) -> Tiles:
        return image[self.out].view(np.int8).reshape(self.shape)


class _Image:
    """Tensors laid out one after another, each at the base register of its memory."""

    def __init__(self) -> None:
        self.parts: list[tuple[int, NDArray[np.uint8]]] = []
        self.end = 4096

    def place(self, data: NDArray) -> int:
        raw = np.ascontiguousarray(data).view(np.uint8).reshape(-1)
        address = self.end
        self.parts.append((address, raw))
        self.end = -(-(address + raw.size) // 4096) * 4096
        return address

    def build(self, instructions: list[Instruction], bases: Mapping[Memory, int], config: AcceleratorConfig) -> Program:
        code = self.place(np.frombuffer(instructions_to_bytes(instructions, config), np.uint8))
        image = np.zeros(self.end, np.uint8)
        for address, raw in self.parts:
            image[address : address + raw.size] = raw
        return Program(config, instructions, image, 0, dict(bases), code)


def to_tiles(tensor: NDArray, block: int = 16) -> Tiles:
    """(channels, rows, columns) to tiles."""
    channels, rows, columns = tensor.shape
    return np.ascontiguousarray(tensor.reshape(channels // block, block, rows, columns).transpose(0, 2, 3, 1))


def from_tiles(tiles: Tiles) -> NDArray:
    blocks, rows, columns, block = tiles.shape
    return tiles.transpose(0, 3, 1, 2).reshape(blocks * block, rows, columns)


def _set(register: SetRegister, value: int) -> Set:
    return Set(register=int(register), value=value & 0xFFFFFFFF)


def _load(memory: Memory, tiles: int, **fields: int | bool) -> Load:
    return Load(memory=int(memory), x_size=tiles, y_size=1, x_stride=tiles, **fields)  # type: ignore[arg-type]


def _parameters(bias: NDArray[np.int64], scale: NDArray[np.float32]) -> NDArray[np.uint32]:
    return np.stack([bias.astype(np.int32).view(np.uint32), scale.astype(np.float32).view(np.uint32)], axis=-1)


def _sum_registers(total: Sum | None, distance: int) -> list[Instruction]:
    if total is None:
        return []
    return [
        _set(SetRegister.RESIDUAL, distance),
        _set(SetRegister.SCALE, total.scale),
        _set(SetRegister.RESIDUAL_SCALE, total.residual_scale),
        _set(SetRegister.OFFSET, total.offset),
    ]


def conv_program(
    conv: Conv,
    x: Tiles,
    weights: NDArray[np.int8],
    quant: Requantisation,
    total: Sum | None = None,
    config: AcceleratorConfig = CONFIG,
) -> LayerProgram:
    """A whole convolution, requantised on the way out, with a residual operand added if there is one.

    Parameters
    ----------
    x : int8 tiles (blocks, size, size, block_in)
    weights : int8 array (out_channels, in_channels, kernel, kernel)
    """
    c, block = conv, config.block_out
    ins, outs = c.in_channels // config.block_in, c.out_channels // block
    taps = ins * c.kernel**2
    strips, groups = c.out_size // c.rows, outs // c.group
    assert c.out_size % c.rows == outs % c.group == 0
    tiled = weights.reshape(outs, block, ins, config.block_in, c.kernel, c.kernel).transpose(0, 2, 4, 5, 1, 3)
    bias = quant.bias - quant.in_zero * weights.astype(np.int64).sum(axis=(1, 2, 3))
    # Padding holds the zero point, so that every tap contributes (x − zero point) · w.
    row_step = c.stride if c.kernel == 1 else 1  # rows between those that a 1×1 kernel reads stay in DRAM
    width, in_rows = c.size + 2 * c.pad, (c.rows - 1) * (c.stride // row_step) + c.kernel
    strip_tiles, out_tiles = in_rows * width, c.rows * c.out_size
    inp_half, acc_half = config.inp_depth // 2, config.acc_depth // 2
    assert ins * strip_tiles <= inp_half
    assert c.group * out_tiles <= acc_half
    uops = [
        (
            (strip * groups + out // c.group) % 2 * acc_half + out % c.group * out_tiles,
            strip * inp_half + i * strip_tiles + ky * width + kx,
            out * taps + (i * c.kernel + ky) * c.kernel + kx,
        )
        for strip in (0, 1)
        for out in range(outs)
        for i in range(ins)
        for ky in range(c.kernel)
        for kx in range(c.kernel)
    ]
    image = _Image()
    result = np.zeros((outs, c.out_size, c.out_size, block), np.int8)
    bases = {
        Memory.INP: image.place(x),
        Memory.WGT: image.place(tiled),
        Memory.UOP: image.place(np.frombuffer(uops_to_bytes(uops, config), np.uint8)),
        Memory.PARAM: image.place(_parameters(bias, quant.scale)),
        Memory.ACC_8BIT: image.place(result),
    }
    distance = (image.place(total.residual) - bases[Memory.ACC_8BIT]) // block if total else 0

    def strip_loads(s: int) -> list[Instruction]:
        first = s * c.rows * c.stride - c.pad
        above = max(0, -first)
        below = max(0, first + (in_rows - 1) * row_step + 1 - c.size)
        loads: list[Instruction] = [
            Load(
                memory=int(Memory.INP),
                sram=s % 2 * inp_half + i * strip_tiles,
                dram=(i * c.size + first + above) * c.size,
                y_size=in_rows - above - below,
                x_size=c.size,
                x_stride=row_step * c.size,
                y_pad0=above,
                y_pad1=below,
                x_pad0=c.pad,
                x_pad1=c.pad,
                pop_next=i == 0 and s >= 2,
                push_next=i == ins - 1 and s > 0,
            )
            for i in range(ins)
        ]
        return loads

    def strip_gemms(s: int, g: int) -> list[Instruction]:
        n = s * groups + g
        return [
            GemmOverwrite(
                uop_bgn=(s % 2 * outs + out) * taps,
                uop_end=(s % 2 * outs + out + 1) * taps,
                iter_out=c.rows,
                iter_in=c.out_size,
                dst_out=c.out_size,
                dst_in=1,
                src_out=width * (c.stride // row_step),
                src_in=c.stride,
                pop_prev=out % c.group == 0 and (s == 0 or g == 0),
                pop_next=out % c.group == 0 and n >= 2,
                push_next=out % c.group == c.group - 1,
                push_prev=out == outs - 1 and s + 2 < strips,
            )
            for out in range(g * c.group, (g + 1) * c.group)
        ]

    def strip_store(s: int, g: int) -> list[Instruction]:
        n = s * groups + g
        mode = StoreMode.PARAM_Y | (StoreMode.RESIDUAL if total else StoreMode(0))
        store = Store(
            memory=int(Memory.ACC_8BIT),
            mode=int(mode),
            sram=n % 2 * acc_half,
            dram=g * c.group * c.out_size**2 + s * out_tiles,
            y_size=c.group,
            x_size=out_tiles,
            x_stride=c.out_size**2,
            pop_prev=True,
            push_prev=n + 2 < strips * groups,
        )
        return [_set(SetRegister.PARAM, g * c.group), store]

    group_tiles = c.group * taps
    program: list[Instruction] = [_set(SetRegister.LOAD_PAD, quant.in_zero), *strip_loads(0)]
    program += [
        _load(Memory.WGT, group_tiles, sram=g * group_tiles, dram=g * group_tiles, push_next=True)
        for g in range(groups)
    ]
    program[1 + ins : 1 + ins] = [
        _load(Memory.UOP, len(uops)),
        _set(SetRegister.OVERWRITE, OverwriteMask.UOP),
        _load(Memory.PARAM, outs),
        _set(SetRegister.ZERO_POINT, quant.out_zero),
        *_sum_registers(total, distance),
    ]
    for s in range(strips):
        program += strip_loads(s + 1) if s + 1 < strips else []
        for g in range(groups):
            program += [*strip_gemms(s, g), *strip_store(s, g)]
    program.append(Finish())
    start = bases[Memory.ACC_8BIT]
    built = image.build(program, bases, config)
    return LayerProgram(built, slice(start, start + result.size), result.shape, c.macs // config.macs)


def add_program(first: Tiles, total: Sum, config: AcceleratorConfig = CONFIG, chunk: int = 448) -> LayerProgram:
    """QLinearAdd alone: one operand is widened into accumulators, the other is the residual of the STORE."""
    block = config.block_out
    tiles = first.size // block
    chunks, half = tiles // chunk, config.acc_depth // 2
    assert tiles % chunk == 0
    assert chunk <= half
    image = _Image()
    # One base register serves both: the result follows the first operand.
    source = image.place(first)
    result = image.place(np.zeros_like(first))
    residual = image.place(total.residual)
    ones = _parameters(np.zeros(block, np.int64), np.ones(block, np.float32))
    bases = {Memory.ACC_8BIT: source, Memory.PARAM: image.place(ones)}
    distance, away = (result - source) // block, (residual - result) // block
    program: list[Instruction] = [_load(Memory.PARAM, 1), *_sum_registers(total, away)]
    for n in range(chunks):
        place = {"sram": n % 2 * half, "dram": n * chunk}
        program.append(_load(Memory.ACC_8BIT, chunk, **place, pop_next=n >= 2, push_next=True))
        program.append(
            Store(
                memory=int(Memory.ACC_8BIT),
                mode=int(StoreMode.RESIDUAL),
                sram=place["sram"],
                dram=place["dram"] + distance,
                y_size=1,
                x_size=chunk,
                x_stride=chunk,
                pop_prev=True,
                push_prev=n + 2 < chunks,
            )
        )
    program.append(Finish())
    built = image.build(program, bases, config)
    lanes = config.epilogue_lanes
    beats = 2 * first.size // config.axi_bytes  # both operands are read
    return LayerProgram(built, slice(result, result + first.size), first.shape, max(first.size // lanes, beats))


def max_pool_program(x: Tiles, config: AcceleratorConfig = CONFIG, rows: int = 2) -> LayerProgram:
    """ResNet's 3×3 pool of stride 2: widening loads padded with the least value, COPY of one tap, MAX of the others."""
    blocks, size, _, block = x.shape
    out_size, width = size // 2, size + 1
    in_rows, out_tiles = 2 * rows + 1, rows * out_size
    half = config.acc_depth // 2
    assert out_tiles + in_rows * width <= half
    assert out_size % rows == 0
    image = _Image()
    result = np.zeros((blocks, out_size, out_size, block), np.int8)
    uops = [(p * half, p * half + out_tiles + ky * width + kx, 0) for p in (0, 1) for ky in range(3) for kx in range(3)]
    source = image.place(x)
    target = image.place(result)
    ones = _parameters(np.zeros(block, np.int64), np.ones(block, np.float32))
    bases = {
        Memory.ACC_8BIT: source,
        Memory.PARAM: image.place(ones),
        Memory.UOP: image.place(np.frombuffer(uops_to_bytes(uops, config), np.uint8)),
    }
    program: list[Instruction] = [
        _set(SetRegister.COMPUTE_PAD, -128),
        _load(Memory.UOP, len(uops)),
        _load(Memory.PARAM, 1),
    ]
    steps = {"iter_out": rows, "iter_in": out_size, "dst_out": out_size, "dst_in": 1}
    steps |= {"src_out": 2 * width, "src_in": 2}
    strips = [(b, s) for b in range(blocks) for s in range(out_size // rows)]
    for n, (b, s) in enumerate(strips):
        above = int(s == 0)
        program.append(
            Load(
                memory=int(Memory.ACC_8BIT),
                sram=n % 2 * half + out_tiles,
                dram=(b * size + 2 * rows * s - 1 + above) * size,
                y_size=in_rows - above,
                x_size=size,
                x_stride=size,
                y_pad0=above,
                x_pad0=1,
                pop_next=n >= 2,
            )
        )
        first = n % 2 * 9
        program.append(Alu(alu_op=int(AluOp.COPY), uop_bgn=first, uop_end=first + 1, **steps))
        program.append(Alu(alu_op=int(AluOp.MAX), uop_bgn=first + 1, uop_end=first + 9, push_next=True, **steps))
        program.append(
            Store(
                memory=int(Memory.ACC_8BIT),
                sram=n % 2 * half,
                dram=(target - source) // block + (b * out_size + s * rows) * out_size,
                y_size=1,
                x_size=out_tiles,
                x_stride=out_tiles,
                pop_prev=True,
                push_prev=n + 2 < len(strips),
            )
        )
    program.append(Finish())
    built = image.build(program, bases, config)
    start = target
    # A register-register operation takes two cycles a vector.
    return LayerProgram(built, slice(start, start + result.size), result.shape, 2 * 9 * result.size // block)
