"""Kernels of every kind that networks are made of, all of whose stages the accelerator computes, drawn at random."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from support.accel_kernels import random_inputs as accelerator_inputs
from support.te_schedules import random_steps
from weft_compiler import te
from weft_compiler.accel.intrinsics.alu import REDUCTIONS, alu, alu_immediate, alu_reduce
from weft_compiler.accel.intrinsics.gemm import gemm
from weft_compiler.accel.intrinsics.load import load, load_widened
from weft_compiler.accel.intrinsics.requantise import (
    BIAS,
    SCALE,
    load_parameters,
    requantised,
    store_requantised,
)
from weft_compiler.accel.intrinsics.store import store, store_narrow
from weft_compiler.conv_task import Requantisation
from weft_compiler.te.intrinsic import Intrinsic
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import AluOp

CONFIG = AcceleratorConfig(
    block_in=4, block_out=4, pad_value=True, widening_load=True, gemm_overwrite=True, alu_extensions=True,
    epilogue_lanes=1,
)  # fmt: skip
"""What a simulator of the RTL is built for."""

CONFIGS = (
    CONFIG,
    AcceleratorConfig(block_in=4, block_out=4, alu_extensions=True),
    AcceleratorConfig(
        batch=2, block_in=8, block_out=8, uop_depth=64, alu_extensions=True, widening_load=True,
        command_queue_depth=4, token_queue_depth=3,
    ),
)  # fmt: skip

STEPS = (
    *("split", "reorder", "fuse", "tile", "tile reductions", "compute_at"),
    *("virtual_thread", "pipeline", "double_buffer", "unroll"),
)
"""Steps that leave every stage on the accelerator."""

SCOPES = ("inp", "wgt", "acc", "param")


@dataclass
class Kernel:
    """Tensors of tiles, and what computes each, results last; whatever else they read is loaded."""

    config: AcceleratorConfig
    stages: list[tuple[te.Tensor, Intrinsic, Intrinsic | None]] = field(default_factory=list)
    outputs: list[te.Tensor] = field(default_factory=list)

    def add(self, tensor: te.Tensor, intrinsic: Intrinsic, initial: Intrinsic | None = None) -> te.Tensor:
        self.stages.append((tensor, intrinsic, initial))
        return tensor

    @property
    def tile(self) -> tuple[int, int]:
        return self.config.batch, self.config.block_out

    def schedule(self) -> te.Schedule:
        """Every stage tensorized, consumers first."""
        s = te.Schedule(self.outputs)
        read = {stage.tensor for stage in s.stages}
        stages = [stage for stage in self.stages if stage[0] in read]
        for tensor, intrinsic, _ in stages:
            if intrinsic.scopes[0] != "global":
                s[tensor].set_scope(intrinsic.scopes[0])
        for tensor, intrinsic, initial in reversed(stages):
            if initial is None:
                te.auto_tensorize(s, tensor, intrinsic)
                continue
            for read in (t for t in (*s.program.inputs, *(x.tensor for x in s.stages)) if _reads(s, tensor, t)):
                if s.program.find(tensor).tensor is not read and not _on_chip(s, read):
                    s.cache_read(read, "acc", [tensor])
            s[tensor].tensorize(s[tensor].leaves[-2], intrinsic, initial)
        done = {tensor.name for tensor, _, _ in stages}
        for stage in s.stages:
            state = stage.state
            if state.tensorized is None and stage.tensor.name not in done:
                assert state.scope in SCOPES, f"{stage.tensor.name} lies in {state.scope}\n{s.loops()}"
                what = load_parameters(self.config) if state.scope == "param" else load(self.config, state.scope)
                te.auto_tensorize(s, stage.tensor, what)
        return s


def _reads(s: te.Schedule, tensor: te.Tensor, other: te.Tensor) -> bool:
    return any(stage.tensor is tensor for stage in s.program.consumers(other))


def _on_chip(s: te.Schedule, tensor: te.Tensor) -> bool:
    stage = next((stage for stage in s.program.stages if stage.tensor is tensor), None)
    return stage is not None and not s.program.is_output(stage)


def random_kernel(rng: random.Random, kind: str, config: AcceleratorConfig, taken: Counter[str]) -> te.Schedule:
    """A kernel under a schedule of some steps; what is refused is left out."""
    kernel = Kernel(config)
    KINDS[kind](rng, kernel)
    schedule = kernel.schedule()
    random_steps(rng, schedule, rng.randint(2, 24), taken, STEPS)
    return schedule


def random_values(schedule: te.Schedule, seed: int) -> dict[te.Tensor, NDArray[np.generic]]:
    """Inputs over the whole range of their types; weights named D are zero but on the diagonal of each tile."""
    values = accelerator_inputs(schedule, seed, bits=31)
    for tensor in values:
        if tensor.name == "D":
            values[tensor] = values[tensor] * np.eye(*tensor.shape[-2:], dtype=values[tensor].dtype)
    return values


# What kernels begin with --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Window:
    """Windows on an image, along rows and columns."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilation: tuple[int, int]
    image: tuple[int, int]
    pads: tuple[int, int, int, int]
    result: tuple[int, int]

    @classmethod
    def random(cls, rng: random.Random, largest: int = 8) -> _Window:
        kernel = rng.randint(1, 3), rng.randint(1, 3)
        strides, dilation = (rng.randint(1, 3), rng.randint(1, 2)), (rng.randint(1, 2), rng.randint(1, 2))
        pads = (0, 0, 0, 0) if rng.random() < 0.3 else tuple(rng.randint(0, 2) for _ in range(4))
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        image = tuple(rng.randint(max(1, r - pads[d] - pads[d + 2]), largest) for d, r in enumerate(reach))
        result = tuple((image[d] + pads[d] + pads[d + 2] - reach[d]) // strides[d] + 1 for d in range(2))
        made = cls(kernel, strides, dilation, image, pads, result)  # type: ignore[arg-type]
        return made if made._sees(0) and made._sees(1) else cls.random(rng, largest)

    def _sees(self, d: int) -> bool:
        """Whether any tap lies inside the image; a tensor of padding alone is a constant, which nothing loads."""
        taps = (
            y * self.strides[d] + p * self.dilation[d] for y in range(self.result[d]) for p in range(self.kernel[d])
        )
        return any(0 <= tap - self.pads[d] < self.image[d] for tap in taps)

    def axes(self) -> tuple[te.Axis, te.Axis]:
        return te.reduce_axis(self.kernel[0], "p"), te.reduce_axis(self.kernel[1], "q")

    def at(self, y: te.Axis, x: te.Axis, p: te.Axis, q: te.Axis) -> tuple[te.Expr, te.Expr]:
        (sy, sx), (dy, dx) = self.strides, self.dilation
        return y * sy + p * dy, x * sx + q * dx


def _image(kernel: Kernel, x: te.Tensor, w: _Window, value: int, wide: bool = False) -> te.Tensor:
    """The image with its padding, widened to accumulators if that is asked for; itself if nothing changes."""
    if not any(w.pads) and not wide:
        return x
    top, left, bottom, right = w.pads
    height, width = w.image

    def pixel(c: te.Axis, y: te.Axis, x_: te.Axis, b: te.Axis, i: te.Axis) -> te.Expr:
        found = x[c, y - top, x_ - left, b, i]
        found = found.cast("int32") if wide else found
        if not any(w.pads):
            return found
        inside = (y >= top) & (y < height + top) & (x_ >= left) & (x_ < width + left)
        return te.select(inside, found, value)

    shape = (x.shape[0], height + top + bottom, width + left + right, *x.shape[-2:])
    image = te.compute(shape, pixel, "image")
    return kernel.add(image, load_widened(kernel.config, x.dtype)) if wide else image


def _padding(rng: random.Random, config: AcceleratorConfig, low: int, high: int) -> int:
    return rng.choice([0, low, high, rng.randint(low, high)]) if config.pad_value else 0


def _accumulators(rng: random.Random, kernel: Kernel, shape: tuple[int, ...], name: str) -> te.Tensor:
    """An input that is loaded into accumulators: as it is, or widened."""
    shape = (*shape, *kernel.tile)
    if not kernel.config.widening_load or rng.random() < 0.5:
        return te.placeholder(shape, "int32", name)
    x = te.placeholder(shape, rng.choice(["int8", "uint8"]), name)
    wide = te.compute(shape, lambda *at: x[at].cast("int32"), f"{name}.wide")
    return kernel.add(wide, load_widened(kernel.config, x.dtype))


# What kernels end with ----------------------------------------------------------------------------------------


def _immediate(rng: random.Random, kernel: Kernel, x: te.Tensor, name: str) -> te.Tensor:
    op, value = rng.choice(
        [
            (AluOp.SHR, 5),
            (AluOp.SHR, -3),
            (AluOp.MAX, 0),
            (AluOp.ADD, -3),
            (AluOp.MUL, 3),
            (AluOp.MIN, 90),
            (AluOp.SUB, 7),
        ]
    )
    functions: dict[AluOp, Callable[[te.Expr], te.Expr]] = {
        AluOp.SHR: lambda a: a >> value,
        AluOp.MAX: lambda a: te.maximum(a, value),
        AluOp.MIN: lambda a: te.minimum(a, value),
        AluOp.ADD: lambda a: a + value,
        AluOp.SUB: lambda a: a - value,
        AluOp.MUL: lambda a: a * value,
    }
    made = te.compute(x.shape, lambda *at: functions[op](x[at]), name)
    return kernel.add(made, alu_immediate(kernel.config, op, value))


def _end(rng: random.Random, kernel: Kernel, last: te.Tensor, name: str = "out", channel: int | None = 0) -> None:
    """Some steps on the vector unit, then a store: whole, narrowed or requantised."""
    config = kernel.config
    for number in range(rng.choice([0, 0, 1, 2])):
        last = _immediate(rng, kernel, last, f"{name}.alu{number}")
    how = rng.choice(["whole", "narrow", "requantised"])
    if how == "requantised" and config.epilogue_lanes and channel is not None:
        low, high = sorted(rng.sample(range(-128, 128), 2))
        to = Requantisation(zero_point=rng.randint(-128, 127), low=low, high=high)
        p = te.placeholder((last.shape[channel], config.block_out, 2), "int32", "P")

        def value(*at: te.Axis) -> te.Expr:
            return requantised(to, last[at], p[at[channel], at[-1], BIAS], p[at[channel], at[-1], SCALE])

        out = te.compute(last.shape, value, name)
        kernel.add(out, store_requantised(config, to))
    elif how == "whole":
        out = kernel.add(te.compute(last.shape, lambda *at: last[at], name), store(config))
    else:
        out = kernel.add(te.compute(last.shape, lambda *at: last[at].cast("int8"), name), store_narrow(config))
    kernel.outputs.append(out)


# Kinds --------------------------------------------------------------------------------------------------------


def matmul(rng: random.Random, kernel: Kernel) -> None:
    config = kernel.config
    rows, columns, depth = rng.randint(1, 6), rng.randint(1, 5), rng.randint(1, 5)
    x = te.placeholder((rows, depth, config.batch, config.block_in), "int8", "X")
    w = te.placeholder((columns, depth, config.block_out, config.block_in), "int8", "W")
    k, i = te.reduce_axis(depth, "k"), te.reduce_axis(config.block_in, "i")

    def total(n: te.Axis, m: te.Axis, b: te.Axis, o: te.Axis) -> te.Expr:
        return te.sum(x[m, k, b, i].cast("int32") * w[n, k, o, i].cast("int32"), (k, i))

    acc = te.compute((columns, rows, *kernel.tile), total, "acc")
    _end(rng, kernel, kernel.add(acc, gemm(config)))


def conv2d(rng: random.Random, kernel: Kernel) -> None:
    config, w = kernel.config, _Window.random(rng)
    depth, channels = rng.randint(1, 3), rng.randint(1, 3)
    x = te.placeholder((depth, *w.image, config.batch, config.block_in), "int8", "X")
    weights = te.placeholder((channels, depth, *w.kernel, config.block_out, config.block_in), "int8", "W")
    image = _image(kernel, x, w, _padding(rng, config, -128, 127))
    c, (p, q), i = te.reduce_axis(depth, "c"), w.axes(), te.reduce_axis(config.block_in, "i")

    def total(m: te.Axis, y: te.Axis, x_: te.Axis, b: te.Axis, o: te.Axis) -> te.Expr:
        pixel = image[(c, *w.at(y, x_, p, q), b, i)].cast("int32")
        return te.sum(pixel * weights[m, c, p, q, o, i].cast("int32"), (c, p, q, i))

    acc = te.compute((channels, *w.result, *kernel.tile), total, "acc")
    _end(rng, kernel, kernel.add(acc, gemm(config)))


def depthwise(rng: random.Random, kernel: Kernel) -> None:
    """By diagonal tiles of weights, or by products and sums of the vector unit."""
    (_diagonal if rng.random() < 0.5 else _on_the_vector_unit)(rng, kernel)


def _diagonal(rng: random.Random, kernel: Kernel) -> None:
    config, w = kernel.config, _Window.random(rng)
    channels = rng.randint(1, 3)
    x = te.placeholder((channels, *w.image, config.batch, config.block_in), "int8", "X")
    weights = te.placeholder((channels, *w.kernel, config.block_out, config.block_in), "int8", "D")
    image = _image(kernel, x, w, _padding(rng, config, -128, 127))
    (p, q), i = w.axes(), te.reduce_axis(config.block_in, "i")

    def total(c: te.Axis, y: te.Axis, x_: te.Axis, b: te.Axis, o: te.Axis) -> te.Expr:
        pixel = image[(c, *w.at(y, x_, p, q), b, i)].cast("int32")
        return te.sum(pixel * weights[c, p, q, o, i].cast("int32"), (p, q, i))

    acc = te.compute((channels, *w.result, *kernel.tile), total, "acc")
    _end(rng, kernel, kernel.add(acc, gemm(config)))


def _on_the_vector_unit(rng: random.Random, kernel: Kernel) -> None:
    config, w = kernel.config, _Window.random(rng, largest=5)
    channels = rng.randint(1, 2)
    wide = config.widening_load and rng.random() < 0.5
    x = te.placeholder((channels, *w.image, *kernel.tile), "int8" if wide else "int32", "X")
    weights = te.placeholder((channels, *w.kernel, *kernel.tile), "int32", "W")
    image = _image(kernel, x, w, _padding(rng, config, -128, 127), wide)
    (p, q) = w.axes()

    def product(c: te.Axis, p: te.Axis, q: te.Axis, y: te.Axis, x_: te.Axis, b: te.Axis, o: te.Axis) -> te.Expr:
        return image[(c, *w.at(y, x_, p, q), b, o)] * weights[c, p, q, b, o]

    products = te.compute((channels, *w.kernel, *w.result, *kernel.tile), product, "product")
    kernel.add(products, alu(config, AluOp.MUL))

    def total(c: te.Axis, y: te.Axis, x_: te.Axis, b: te.Axis, o: te.Axis) -> te.Expr:
        return te.sum(products[c, p, q, y, x_, b, o], (p, q))

    acc = te.compute((channels, *w.result, *kernel.tile), total, "acc")
    _end(rng, kernel, kernel.add(acc, alu_reduce(config, AluOp.ADD)))


def pooling(rng: random.Random, kernel: Kernel) -> None:
    """Of accumulators that are loaded, or that GEMM brings there by the identity."""
    config, w = kernel.config, _Window.random(rng)
    channels, how = rng.randint(1, 3), rng.choice(["whole", "widened", "GEMM"])
    wide = how == "widened" and config.widening_load
    dtype = "int8" if wide or how == "GEMM" else "int32"
    x = te.placeholder((channels, *w.image, *kernel.tile), dtype, "X")
    image = _image(kernel, x, w, _padding(rng, config, -128, 127), wide)
    if how == "GEMM":
        eye, i = te.placeholder((config.block_out, config.block_in), "int8", "D"), te.reduce_axis(config.block_in, "i")
        pixels = image

        def brought(c: te.Axis, y: te.Axis, x_: te.Axis, b: te.Axis, o: te.Axis) -> te.Expr:
            return te.sum(pixels[c, y, x_, b, i].cast("int32") * eye[o, i].cast("int32"), i)

        image = kernel.add(te.compute(pixels.shape, brought, "brought"), gemm(config))
    (p, q), op = w.axes(), rng.choice(list(REDUCTIONS))

    def reduced(c: te.Axis, y: te.Axis, x_: te.Axis, b: te.Axis, o: te.Axis) -> te.Expr:
        return REDUCTIONS[op](image[(c, *w.at(y, x_, p, q), b, o)], (p, q))

    acc = te.compute((channels, *w.result, *kernel.tile), reduced, "acc")
    _end(rng, kernel, kernel.add(acc, alu_reduce(config, op)))


_BOTH: dict[AluOp, Callable[[te.Expr, te.Expr], te.Expr]] = {
    AluOp.ADD: lambda a, b: a + b,
    AluOp.SUB: lambda a, b: a - b,
    AluOp.MUL: lambda a, b: a * b,
    AluOp.SHR: lambda a, b: a >> b,
    AluOp.MIN: te.minimum,
    AluOp.MAX: te.maximum,
}


def chain(rng: random.Random, kernel: Kernel) -> None:
    """Elementwise steps, each on the one before and any earlier, some shifted; some are stored on the way."""
    config = kernel.config
    channels, width = rng.randint(1, 4), rng.randint(6, 10)
    tensors = [_accumulators(rng, kernel, (channels, width), name) for name in ("X", "Y")[: rng.randint(1, 2)]]
    for number in range(rng.randint(1, 5)):
        first, name = tensors[-1], f"T{number}"
        if rng.random() < 0.3:
            tensors.append(_immediate(rng, kernel, first, name))
            continue
        op, second, move = rng.choice(list(_BOTH)), rng.choice(tensors), rng.choice([0, 0, 0, 1])
        move = 1 if first is second else move
        first, second = rng.choice([(first, second), (second, first)])
        width = min(first.shape[1], second.shape[1] - move)

        def element(
            c: te.Axis, x: te.Axis, b: te.Axis, o: te.Axis, op=op, first=first, second=second, move=move
        ) -> te.Expr:
            return _BOTH[op](first[c, x, b, o], second[c, x + move, b, o])

        made = te.compute((channels, width, *kernel.tile), element, name)
        tensors.append(kernel.add(made, alu(config, op)))
    if rng.random() < 0.3:
        _end(rng, kernel, rng.choice(tensors[:-1]), "early", None)
    _end(rng, kernel, tensors[-1])


def scan(rng: random.Random, kernel: Kernel) -> None:
    """A recurrence over sums, or over accumulators that are loaded; all its states are wanted, or the last one."""
    config = kernel.config
    steps, width = rng.randint(1, 7), rng.randint(1, 5)
    x = _accumulators(rng, kernel, (steps, width), "X")
    if rng.random() < 0.5:
        x = _immediate(rng, kernel, x, "changed")
    op, start = rng.choice(list(_BOTH)), rng.choice(["X", "Z", "constant"])
    z, backwards = te.placeholder((width, *kernel.tile), "int32", "Z"), rng.random() < 0.3

    def first(j: te.Axis, b: te.Axis, o: te.Axis) -> te.Expr:
        return {"X": x[0, j, b, o], "Z": z[j, b, o], "constant": te.const(5, "int32")}[start]

    def later(state: te.Tensor, t: te.Axis, j: te.Axis, b: te.Axis, o: te.Axis) -> te.Expr:
        return _BOTH[op](state[t - 1, width - 1 - j if backwards else j, b, o], x[t, j, b, o])

    state = te.scan((steps, width, *kernel.tile), first, later, "int32", "S")
    initial = alu_immediate(config, AluOp.COPY, 5) if start == "constant" else alu(config, AluOp.COPY)
    kernel.add(state, alu(config, op), initial)
    if rng.random() < 0.3:
        last = te.compute((width, *kernel.tile), lambda j, b, o: state[steps - 1, j, b, o] + 1, "last")
        state = kernel.add(last, alu_immediate(config, AluOp.ADD, 1))
    _end(rng, kernel, state)


KINDS: dict[str, Callable[[random.Random, Kernel], None]] = {
    "matmul": matmul,
    "conv2d": conv2d,
    "depthwise": depthwise,
    "pooling": pooling,
    "chain": chain,
    "scan": scan,
}
