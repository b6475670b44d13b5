"""Tensor expressions that the accelerator can compute, and their way there by `auto_tensorize`."""

from __future__ import annotations

import random
from collections import Counter

from support.te_workloads import Workload
from weft_compiler import te
from weft_compiler.accel.intrinsics.alu import alu_immediate
from weft_compiler.accel.intrinsics.gemm import gemm
from weft_compiler.accel.intrinsics.load import load
from weft_compiler.accel.intrinsics.store import store, store_narrow
from weft_compiler.errors import ScheduleError
from weft_compiler.te.auto_tensorize import auto_tensorize
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import AluOp

CONFIGS = (
    AcceleratorConfig(block_in=4, block_out=4),
    AcceleratorConfig(batch=2, block_in=4, block_out=4),
    AcceleratorConfig(block_in=8, block_out=4),
)


def _epilogue(rng: random.Random, acc: te.Tensor) -> Workload:
    names = ("n", "m", "k", "l")[: len(acc.shape)]
    if rng.random() < 0.3:
        return Workload("tensorized", (acc,))
    shifted = te.compute(acc.shape, lambda *at: acc[at] >> 3, "shift", axes=names)
    return Workload("tensorized", (te.compute(acc.shape, lambda *at: shifted[at].cast("int8"), "out", axes=names),))


def dense(rng: random.Random, config: AcceleratorConfig) -> Workload:
    rows, depth = config.batch * rng.randint(1, 3), config.block_in * rng.randint(1, 3)
    columns = config.block_out * rng.randint(1, 3)
    x, w = te.placeholder((rows, depth), "int8", "X"), te.placeholder((columns, depth), "int8", "W")
    k = te.reduce_axis(depth, "k")
    return _epilogue(
        rng,
        te.compute((rows, columns), lambda m, n: te.sum(x[m, k].cast("int32") * w[n, k].cast("int32"), k), "acc"),
    )


def batched(rng: random.Random, config: AcceleratorConfig) -> Workload:
    batch, rows, depth = rng.randint(1, 3), config.batch * rng.randint(1, 3), config.block_in * rng.randint(1, 2)
    columns = config.block_out * rng.randint(1, 2)
    x, w = te.placeholder((batch, rows, depth), "int8", "X"), te.placeholder((batch, depth, columns), "int8", "W")
    k = te.reduce_axis(depth, "k")
    return _epilogue(
        rng,
        te.compute(
            (batch, rows, columns),
            lambda b, m, n: te.sum(w[b, k, n].cast("int32") * x[b, m, k].cast("int32"), k),
            "acc",
        ),
    )


def convolution(rng: random.Random, config: AcceleratorConfig) -> Workload:
    images, depth = config.batch * rng.randint(1, 2), config.block_in * rng.randint(1, 2)
    channels, kernel = config.block_out * rng.randint(1, 2), rng.randint(1, 3)
    stride, dilation, padding = rng.randint(1, 2), rng.randint(1, 2), rng.randint(0, 1)
    size = rng.randint((kernel - 1) * dilation + 1, 7)
    out = (size + 2 * padding - (kernel - 1) * dilation - 1) // stride + 1
    x = te.placeholder((images, depth, size, size), "int8", "X")
    w = te.placeholder((channels, depth, kernel, kernel), "int8", "W")
    pad = x
    if padding:
        pad = te.compute(
            (images, depth, size + 2, size + 2),
            lambda n, c, y, x_: te.select(
                (y >= 1) & (y <= size) & (x_ >= 1) & (x_ <= size), x[n, c, y - 1, x_ - 1], rng.randint(-2, 2)
            ),
            "pad",
        )
    c, p, q = te.reduce_axis(depth, "c"), te.reduce_axis(kernel, "p"), te.reduce_axis(kernel, "q")
    acc = te.compute(
        (images, channels, out, out),
        lambda n, o, y, x_: te.sum(
            pad[n, c, y * stride + p * dilation, x_ * stride + q * dilation].cast("int32")
            * w[o, c, p, q].cast("int32"),
            (c, p, q),
        ),
        "acc",
    )
    return _epilogue(rng, acc)


TENSORIZABLE = (dense, batched, convolution)


def tensorize_all(schedule: te.Schedule, config: AcceleratorConfig, taken: Counter[str]) -> list[te.Intrinsic]:
    """Put every stage on the accelerator that it takes; gives the intrinsics for a replay."""
    used = []

    def attempt(tensor: te.Tensor | str, intrinsic: te.Intrinsic) -> tuple[te.Tensor, ...]:
        used.append(intrinsic)
        try:
            operands = auto_tensorize(schedule, tensor, intrinsic).operands
        except ScheduleError:
            taken[f"{intrinsic.name} refused"] += 1
            return ()
        taken[intrinsic.name] += 1
        return operands

    for operand, memory in zip(attempt("acc", gemm(config)), ("inp", "wgt"), strict=False):
        attempt(operand, load(config, memory))
    output = schedule.program.outputs[0]
    if output.name == "out":
        if any(stage.tensor.name == "shift" for stage in schedule.stages):
            attempt("shift", alu_immediate(config, AluOp.SHR, 3))
        attempt("out", store_narrow(config))
    else:
        attempt("acc", store(config))
    return used
