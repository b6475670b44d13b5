"""Kernels of tiles, all of whose stages the accelerator computes, under random schedules."""

from __future__ import annotations

import random
from collections import Counter

from support.te_schedules import random_steps
from weft_compiler import te
from weft_compiler.accel.intrinsics.alu import alu_immediate
from weft_compiler.accel.intrinsics.gemm import gemm
from weft_compiler.accel.intrinsics.load import load
from weft_compiler.accel.intrinsics.store import store, store_narrow
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import AluOp

CONFIG = AcceleratorConfig(block_in=4, block_out=4, alu_extensions=True)

LOOPS = ("split", "reorder", "fuse", "tile", "compute_at", "virtual_thread", "pipeline", "double_buffer")
"""Steps that leave every stage on the accelerator."""


def random_kernel(rng: random.Random, config: AcceleratorConfig, taken: Counter[str]) -> te.Schedule:
    """A convolution or matrix product of packed tensors, with ALU steps behind it."""
    schedule = _tensorized(rng, config)
    random_steps(rng, schedule, rng.randint(2, 24), taken, LOOPS)
    return schedule


def _tensorized(rng: random.Random, config: AcceleratorConfig) -> te.Schedule:
    accumulated = _convolution(rng, config) if rng.random() < 0.7 else _product(rng, config)
    names = tuple("nmyxbo"[-len(accumulated.shape) :])
    stages = [(accumulated, gemm(config))]
    for number in range(rng.randint(0, 2)):
        op, value = rng.choice([(AluOp.SHR, 5), (AluOp.MAX, 0), (AluOp.ADD, -3), (AluOp.MUL, 3), (AluOp.MIN, 90)])
        last = stages[-1][0]
        stages.append((_applied(last, op, value, f"alu{number}", names), alu_immediate(config, op, value)))
    last = stages[-1][0]
    if rng.random() < 0.5:
        out = te.compute(last.shape, lambda *at: last[at].cast("int8"), "out", axes=names)
        stages.append((out, store_narrow(config)))
    else:
        out = te.compute(last.shape, lambda *at: last[at], "out", axes=names)
        stages.append((out, store(config)))
    s = te.Schedule(out)
    for tensor, intrinsic in stages:
        operands = te.auto_tensorize(s, tensor, intrinsic).operands
        if tensor is accumulated:
            for operand, memory in zip(operands, ("inp", "wgt"), strict=True):
                te.auto_tensorize(s, operand, load(config, memory))
    return s


def _applied(x: te.Tensor, op: AluOp, value: int, name: str, names: tuple[str, ...]) -> te.Tensor:
    functions = {
        AluOp.SHR: lambda a: a >> value,
        AluOp.MAX: lambda a: te.maximum(a, value),
        AluOp.MIN: lambda a: te.minimum(a, value),
        AluOp.ADD: lambda a: a + value,
        AluOp.MUL: lambda a: a * value,
    }
    return te.compute(x.shape, lambda *at: functions[op](x[at]), name, axes=names)


def _convolution(rng: random.Random, config: AcceleratorConfig) -> te.Tensor:
    batch, block_in, block_out = config.batch, config.block_in, config.block_out
    depth, channels, kernel = rng.randint(1, 3), rng.randint(1, 3), rng.randint(1, 3)
    stride, dilation, padding = rng.randint(1, 2), rng.randint(1, 2), rng.randint(0, 1)
    size = rng.randint((kernel - 1) * dilation + 1, 8)
    out = (size + 2 * padding - (kernel - 1) * dilation - 1) // stride + 1
    x = te.placeholder((1, depth, size, size, batch, block_in), "int8", "X")
    w = te.placeholder((channels, depth, kernel, kernel, block_out, block_in), "int8", "W")
    image = x
    if padding:
        image = te.compute(
            (1, depth, size + 2, size + 2, batch, block_in),
            lambda n, c, y, x_, b, i: te.select(
                (y >= 1) & (y <= size) & (x_ >= 1) & (x_ <= size), x[n, c, y - 1, x_ - 1, b, i], 0
            ),
            "image",
        )
    c, p, q = te.reduce_axis(depth, "c"), te.reduce_axis(kernel, "p"), te.reduce_axis(kernel, "q")
    i = te.reduce_axis(block_in, "i")
    return te.compute(
        (1, channels, out, out, batch, block_out),
        lambda n, m, y, x_, b, o: te.sum(
            image[n, c, y * stride + p * dilation, x_ * stride + q * dilation, b, i].cast("int32")
            * w[m, c, p, q, o, i].cast("int32"),
            (c, p, q, i),
        ),
        "acc",
    )


def _product(rng: random.Random, config: AcceleratorConfig) -> te.Tensor:
    rows, columns, depth = rng.randint(1, 6), rng.randint(1, 5), rng.randint(1, 5)
    x = te.placeholder((rows, depth, config.batch, config.block_in), "int8", "X")
    w = te.placeholder((columns, depth, config.block_out, config.block_in), "int8", "W")
    k, i = te.reduce_axis(depth, "k"), te.reduce_axis(config.block_in, "i")
    return te.compute(
        (rows, columns, config.batch, config.block_out),
        lambda m, n, b, o: te.sum(x[m, k, b, i].cast("int32") * w[n, k, o, i].cast("int32"), (k, i)),
        "acc",
    )
