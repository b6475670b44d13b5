"""Tensor expressions with schedules for the accelerator, and how they are run and judged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from weft_compiler import te
from weft_compiler.accel.intrinsics.alu import alu, alu_immediate, alu_reduce
from weft_compiler.accel.intrinsics.gemm import gemm
from weft_compiler.accel.intrinsics.load import load, load_widened
from weft_compiler.accel.intrinsics.requantise import (
    BIAS,
    SCALE,
    load_parameters,
    load_table,
    parameters,
    requantised,
    store_requantised,
)
from weft_compiler.accel.intrinsics.store import store, store_narrow
from weft_compiler.conv_task import Requantisation
from weft_compiler.te.reference import evaluate
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import AluOp


@dataclass(frozen=True)
class Conv:
    """A convolution in blocks of channels, tiled over rows, output and input blocks.

    ``threads`` virtual threads share the strips of rows, or the output blocks if ``over`` says so; ``slots`` buffers
    alternate. ``weights_stay`` puts the loop over output blocks outside that over strips, with the weights attached.
    """

    ic: int = 2
    oc: int = 2
    height: int = 8
    width: int = 8
    kernel: int = 3
    stride: int = 1
    dilation: int = 1
    pad: int = 1
    rows: int = 4
    oc_tile: int = 1
    ic_tile: int = 1
    threads: int = 1
    over: str = "strips"
    slots: int = 1
    weights_stay: bool = False

    def out(self, size: int) -> int:
        return (size + 2 * self.pad - self.dilation * (self.kernel - 1) - 1) // self.stride + 1


def convolution(conv: Conv, config: AcceleratorConfig, requantisation: Requantisation | None = None) -> te.Schedule:
    """``out = Σ pad(X) · W``: raw accumulators, or requantised with the parameters ``P``, the operand ``R`` added, and
    looked up in the table ``T``."""
    c, batch, block_in, block_out = conv, config.batch, config.block_in, config.block_out
    inp, wgt = f"int{config.inp_bits}", f"int{config.wgt_bits}"
    x = te.placeholder((c.ic, c.height, c.width, batch, block_in), inp, "X")
    w = te.placeholder((c.oc, c.ic, c.kernel, c.kernel, block_out, block_in), wgt, "W")
    source = x
    if c.pad:
        shape = (c.ic, c.height + 2 * c.pad, c.width + 2 * c.pad, batch, block_in)

        def padded(ch, y, x_, b, i):
            inside = (y >= c.pad) & (y < c.pad + c.height) & (x_ >= c.pad) & (x_ < c.pad + c.width)
            return te.select(inside, x[ch, y - c.pad, x_ - c.pad, b, i], 0)

        source = te.compute(shape, padded, "pad")
    ic, dy, dx = te.reduce_axis(c.ic, "ic"), te.reduce_axis(c.kernel, "dy"), te.reduce_axis(c.kernel, "dx")
    i = te.reduce_axis(block_in, "i")

    def total(oc, y, x_, b, o):
        value = source[ic, y * c.stride + dy * c.dilation, x_ * c.stride + dx * c.dilation, b, i].cast("int32")
        return te.sum(value * w[oc, ic, dy, dx, o, i].cast("int32"), (ic, dy, dx, i))

    shape = (c.oc, c.out(c.height), c.out(c.width), batch, block_out)
    if requantisation is None:
        out = te.compute(shape, total, "out")
        s = te.Schedule(out)
        acc = s.cache_write(out, "acc")
    else:
        acc = te.compute(shape, total, "total")
        p = te.placeholder((c.oc, block_out, 2), "int32", "P")
        added = requantisation.addition
        r = te.placeholder(shape, added.dtype, "R") if added else None
        t = te.placeholder((256,), requantisation.dtype, "T") if requantisation.table else None
        looked_up = t

        def narrow(oc, y, x_, b, o):
            residual = r[oc, y, x_, b, o] if r is not None else None
            value, bias, scale = acc[oc, y, x_, b, o], p[oc, o, BIAS], p[oc, o, SCALE]
            return requantised(requantisation, value, bias, scale, residual, looked_up)

        out = te.compute(shape, narrow, "out")
        s = te.Schedule(out)
        s[acc].set_scope("acc")
        params = s.cache_read(p, "param")
        s[params].tensorize(s[params].leaves[-2], load_parameters(config))
        if t is not None:
            table = s.cache_read(t, "table")
            s[table].tensorize(s[table].leaves[0], load_table(config, t.dtype))
    weights = s.cache_read(w, "wgt")
    if c.pad:
        image = source
        s[image].set_scope("inp")
    else:
        image = s.cache_read(x, "inp")
    outer, within = s[out].split("oc", min(c.oc_tile, c.oc))
    strip, row = s[out].split("y", min(c.rows, c.out(c.height)))
    loops = [outer, strip] if c.weights_stay else [strip, outer]
    if c.threads > 1:
        shared = strip if c.over == "strips" else outer
        thread, rest = s[out].split(shared, nparts=c.threads)
        s[out].virtual_thread(thread)
        loops = [axis for loop in loops for axis in ((thread, rest) if loop is shared else (loop,))]
        outer = rest if shared is outer else outer
    s[out].reorder(*loops, within, row)
    s[acc].compute_at(out, loops[-1])
    steps, _ = s[acc].split("ic", min(c.ic_tile, c.ic))
    s[acc].reorder(steps, "oc", "y", "x_", "ic.inner", "dy", "dx", "b", "o", "i")
    s[image].compute_at(acc, steps)
    if c.weights_stay and c.ic_tile >= c.ic:
        s[weights].compute_at(out, outer)
    else:
        s[weights].compute_at(acc, steps)
    if c.slots > 1:
        for stage in (acc, image, weights):
            s[stage].double_buffer()
    s[acc].tensorize("b", gemm(config))
    s[image].tensorize(s[image].leaves[-2], load(config, "inp"))
    s[weights].tensorize(s[weights].leaves[-2], load(config, "wgt"))
    s[out].tensorize("b", store(config) if requantisation is None else store_requantised(config, requantisation))
    return s


def vector_chain(tiles: int, part: int, config: AcceleratorConfig, threads: int = 1) -> te.Schedule:
    """``out = narrow(clamp((A + B) >> 2))``, tile by tile on the vector unit."""
    shape = (tiles, config.batch, config.block_out)
    a, b = te.placeholder(shape, "int32", "A"), te.placeholder(shape, "int32", "B")
    total = te.compute(shape, lambda k, r, c: a[k, r, c] + b[k, r, c], "total")
    shifted = te.compute(shape, lambda k, r, c: total[k, r, c] >> 2, "shifted")
    low = te.compute(shape, lambda k, r, c: te.maximum(shifted[k, r, c], -100), "low")
    high = te.compute(shape, lambda k, r, c: te.minimum(low[k, r, c], 100), "high")
    out = te.compute(shape, lambda k, r, c: high[k, r, c].cast("int8"), "out")
    s = te.Schedule(out)
    operands = [s.cache_read(tensor, "acc") for tensor in (a, b)]
    step, _ = s[out].split("k", part)
    if threads > 1:
        step, thread = s[out].split(step, threads)
        s[out].virtual_thread(thread)
        step = thread
    for stage in (total, shifted, low, high):
        s[stage].set_scope("acc")
    for stage in (high, low, shifted, total, *operands):
        s[stage].compute_at(out, step)
    for stage in operands:
        s[stage].tensorize(s[stage].leaves[-2], load(config, "acc"))
    s[total].tensorize("r", alu(config, AluOp.ADD))
    s[shifted].tensorize("r", alu_immediate(config, AluOp.SHR, 2))
    s[low].tensorize("r", alu_immediate(config, AluOp.MAX, -100))
    s[high].tensorize("r", alu_immediate(config, AluOp.MIN, 100))
    s[out].tensorize("r", store_narrow(config))
    return s


def widened(dtype: str, config: AcceleratorConfig) -> te.Schedule:
    """``out = int32(X) + 1`` of 8-bit values, widened on their way in."""
    shape = (6, config.batch, config.block_out)
    x = te.placeholder(shape, dtype, "X")
    wide = te.compute(shape, lambda k, r, c: x[k, r, c].cast("int32"), "wide")
    more = te.compute(shape, lambda k, r, c: wide[k, r, c] + 1, "more")
    out = te.compute(shape, lambda k, r, c: more[k, r, c], "out")
    s = te.Schedule(out)
    for stage in (wide, more):
        s[stage].set_scope("acc")
    s[wide].tensorize("r", load_widened(config, dtype))
    s[more].tensorize("r", alu_immediate(config, AluOp.ADD, 1))
    s[out].tensorize("r", store(config))
    return s


def max_pool(channels: int, size: int, window: int, stride: int, rows: int, config: AcceleratorConfig) -> te.Schedule:
    """The largest of each window, on the vector unit."""
    result = (size - window) // stride + 1
    x = te.placeholder((channels, size, size, config.batch, config.block_out), "int32", "X")
    dy, dx = te.reduce_axis(window, "dy"), te.reduce_axis(window, "dx")
    out = te.compute(
        (channels, result, result, config.batch, config.block_out),
        lambda ch, y, x_, b, o: te.max(x[ch, y * stride + dy, x_ * stride + dx, b, o], (dy, dx)),
        "out",
    )
    s = te.Schedule(out)
    acc = s.cache_write(out, "acc")
    image = s.cache_read(x, "acc")
    strip, _ = s[out].split("y", min(rows, result))
    s[acc].compute_at(out, strip)
    s[image].compute_at(out, strip)
    s[acc].reorder("ch", "y", "x_", "dy", "dx", "b", "o")
    s[acc].tensorize("b", alu_reduce(config, AluOp.MAX))
    s[image].tensorize(s[image].leaves[-2], load(config, "acc"))
    s[out].tensorize("b", store(config))
    return s


def random_inputs(schedule: te.Schedule, seed: int, bits: int = 31) -> dict[te.Tensor, np.ndarray]:
    """Any values of each input's type, int32 of so many bits."""
    rng = np.random.default_rng(seed)
    found = {}
    for tensor in schedule.program.inputs:
        low, high = np.iinfo(tensor.dtype).min, np.iinfo(tensor.dtype).max + 1
        if tensor.name == "P":
            blocks, block, _ = tensor.shape
            bias = rng.integers(-20000, 20000, blocks * block, np.int32)
            scale = (10.0 ** rng.uniform(-4, -2, blocks * block)).astype(np.float32)
            found[tensor] = parameters(bias, scale, block)
            continue
        if tensor.dtype == "int32":
            low, high = -(1 << bits), 1 << bits
        found[tensor] = rng.integers(low, high, tensor.shape, tensor.dtype)
    return found


def expected(schedule: te.Schedule, inputs: dict[te.Tensor, np.ndarray]) -> np.ndarray:
    """What the expression computes, without a schedule."""
    (result,) = evaluate(schedule.program.outputs, inputs)
    return result


def by_name(inputs: dict[te.Tensor, np.ndarray]) -> dict[str, np.ndarray]:
    return {tensor.name: values for tensor, values in inputs.items()}
