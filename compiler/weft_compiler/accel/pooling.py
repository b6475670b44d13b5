"""Pooling as tensor expressions, and their schedules.

GEMM by the identity matrix brings inputs into accumulators, a tile a cycle, while the load module runs ahead; LOADs
into accumulators would hold the compute module up. A sum is complete with that. Maxima are taken along columns of
pixels first, then along rows, so that windows share them. Pixels whose coordinates leave the same rest by the stride
share a buffer, a *phase*: what a maximum writes over then lies as its result does, and nothing is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import AluOp, Memory, tile_bytes

from .. import te
from ..errors import CompileError
from ..pool_task import MAX, SUM, PoolTask
from ..te.expr import Axis
from ..tiling import even_splits
from .intrinsics.alu import alu
from .intrinsics.gemm import gemm
from .intrinsics.load import load
from .intrinsics.requantise import BIAS, SCALE, load_parameters, requantised, store_requantised
from .intrinsics.store import store_narrow
from .intrinsics.tiles import dtype

MEMORY_LATENCY = 16
"""Cycles charged to each load for instructions and DRAM latency that double buffering does not hide."""

INP, EYE, PARAM, OUT = "inp", "eye", "param", "out"
"""The names of the tensors in DRAM; ``eye`` is the identity matrix."""


def identity(config: AcceleratorConfig) -> NDArray[np.int8]:
    """The weights that leave every channel as it is."""
    return np.eye(config.block_out, config.block_in, dtype=np.int8)


@dataclass(frozen=True)
class PoolTiling:
    """Blocks of channels and rows of the result that are worked on at a time, and how many such inputs INP holds."""

    channels: int
    rows: int
    slots: int = 1


def choose_pool_tiling(task: PoolTask, config: AcceleratorConfig) -> PoolTiling:
    """The cheapest tiling by estimated cycles.

    Raises
    ------
    CompileError
        If not even one row of windows fits the scratchpads.
    """
    tilings = [
        PoolTiling(channels, rows, slots)
        for rows in even_splits(task.oh)
        for channels in even_splits(task.channels)
        for slots in (1, 2)
        if slots <= -(-task.oh // rows) * -(-task.channels // channels) * task.n
    ]
    fitting = [tiling for tiling in tilings if _fits(task, tiling, config)]
    if not fitting:
        raise CompileError(
            f"a row of {task.kh}×{task.kw} windows takes {task.kh} × {task.reach[1]} tiles, more than the scratchpads "
            f"of {config.inp_depth} inputs and {config.acc_depth} accumulators hold; enlarge them"
        )
    return min(fitting, key=lambda tiling: pool_cycles(task, tiling, config))


def _image_tiles(task: PoolTask, tiling: PoolTiling) -> int:
    return tiling.channels * ((tiling.rows - 1) * task.stride[0] + task.kh) * task.reach[1]


def _fits(task: PoolTask, tiling: PoolTiling, config: AcceleratorConfig) -> bool:
    image = _image_tiles(task, tiling)
    work = tiling.slots * tiling.rows * task.ow if task.kind == SUM else _maxima_tiles(task, tiling.rows)
    work *= tiling.channels
    fits = image * tiling.slots <= config.inp_depth and work <= config.acc_depth
    return fits and (task.kind == MAX or tiling.channels <= config.param_depth)


def _maxima_tiles(task: PoolTask, rows: int) -> int:
    """Accumulators of all phases; where no phase has a single tap, a maximum needs a place of its own beside them."""
    tall, wide = (_taps(k, s) for k, s in zip((task.kh, task.kw), task.stride, strict=True))
    tiles = rows * task.ow if min(map(len, wide.values())) > 1 else 0
    for offsets in wide.values():
        width = task.ow + offsets[-1]
        tiles += sum((rows + reach[-1]) * width for reach in tall.values())
        tiles += rows * width if min(map(len, tall.values())) > 1 else 0
    return tiles


def pool_cycles(task: PoolTask, tiling: PoolTiling, config: AcceleratorConfig) -> int:
    """Estimated: inputs come while maxima are taken, with two slots while products are made, too."""
    count = task.n * -(-task.oh // tiling.rows) * -(-task.channels // tiling.channels)
    image = _image_tiles(task, tiling)
    load = image * -(-tile_bytes(Memory.INP, config) // config.axi_bytes) + MEMORY_LATENCY
    products, maxima = image, 0
    if task.kind == MAX:
        down, right = task.reach[1] * (task.kh - 1), task.ow * (task.kw - 1)
        # An operation of two accumulators takes two cycles.
        maxima = 2 * tiling.channels * tiling.rows * (down + right)
    else:
        products = tiling.channels * tiling.rows * task.ow * task.kh * task.kw
    each = max(load, products + maxima) if tiling.slots == 2 else products + max(load, maxima)
    return load + count * each


class _Pool:
    """Expression and schedule of one task."""

    def __init__(self, task: PoolTask, config: AcceleratorConfig) -> None:
        if config.block_in != config.block_out:
            raise CompileError(
                f"block_in = {config.block_in} and block_out = {config.block_out}: tiles of inputs and of "
                "results differ; choose equal blocks"
            )
        self.task, self.config = task, config
        self.tile = (config.batch, config.block_in)
        self.wide: list[te.Tensor] = []
        self.maxima: list[te.Tensor] = []
        self.eye = te.placeholder((config.block_out, config.block_in), dtype(config, "wgt"), EYE)
        self.image = self._image()

    def _image(self) -> te.Tensor:
        t = self.task
        inp = te.placeholder((t.n, t.channels, t.ih, t.iw, *self.tile), dtype(self.config, "inp"), INP)

        def pixel(n: Axis, c: Axis, y: Axis, x: Axis, b: Axis, i: Axis) -> te.Expr:
            row, column = y - t.pads[0], x - t.pads[1]
            value = inp[n, c, row, column, b, i]
            if not any(t.pads):
                return value
            return te.select((row >= 0) & (row < t.ih) & (column >= 0) & (column < t.iw), value, t.pad_value)

        return te.compute((t.n, t.channels, *t.reach, *self.tile), pixel, "image")

    def product(self, pixel: te.Expr, o: Axis, i: Axis) -> te.Expr:
        acc = dtype(self.config, "acc")
        return pixel.cast(acc) * self.eye[o, i].cast(acc)

    def total(self) -> te.Tensor:
        """The sum of every window."""
        t = self.task
        ky, kx = te.reduce_axis(t.kh, "ky"), te.reduce_axis(t.kw, "kx")
        i = te.reduce_axis(self.config.block_in, "i")

        def value(n: Axis, c: Axis, y: Axis, x: Axis, b: Axis, o: Axis) -> te.Reduce:
            pixel = self.image[n, c, y * t.stride[0] + ky, x * t.stride[1] + kx, b, i]
            return te.sum(self.product(pixel, o, i), (ky, kx, i))

        return te.compute((t.n, t.channels, t.oh, t.ow, *self.tile), value, "total")

    def largest(self) -> te.Tensor:
        """The maximum of every window: along columns for each phase of columns, then along rows."""
        (high, wide), (down, right) = (self.task.oh, self.task.ow), self.task.stride
        rows, columns = (_taps(k, s) for k, s in ((self.task.kh, down), (self.task.kw, right)))
        tall: dict[int, te.Tensor] = {}
        for column, offsets in _head_last(columns):
            width = wide + offsets[-1]
            phases = {row: self._phase((row, column), (high + reach[-1], width)) for row, reach in _head_last(rows)}
            tall[column] = self._merge(phases, rows, (high, width), axis=2, name=f"tall{column}")
        return self._merge(tall, columns, (high, wide), axis=3, name="largest")

    def _phase(self, phase: tuple[int, int], size: tuple[int, int]) -> te.Tensor:
        """The pixels of one phase, in accumulators."""
        i = te.reduce_axis(self.config.block_in, "i")
        (row, column), (down, right) = phase, self.task.stride

        def value(n: Axis, c: Axis, y: Axis, x: Axis, b: Axis, o: Axis) -> te.Reduce:
            return te.sum(self.product(self.image[n, c, y * down + row, x * right + column, b, i], o, i), i)

        shape = (self.task.n, self.task.channels, *size, *self.tile)
        self.wide.append(te.compute(shape, value, f"phase{row}{column}"))
        return self.wide[-1]

    def _merge(
        self, phases: dict[int, te.Tensor], taps: dict[int, list[int]], size: tuple[int, int], axis: int, name: str
    ) -> te.Tensor:
        """The maximum of all taps along one axis, the one that can be written over first."""
        order = [(phases[k], offset) for k, offsets in reversed(_head_last(taps)) for offset in offsets]
        result, _ = order[0]
        shape = (self.task.n, self.task.channels, *size, *self.tile)

        def at(tensor: te.Tensor, indices: Sequence[Axis], offset: int) -> te.Expr:
            moved = [index + offset if k == axis else index for k, index in enumerate(indices)]
            return tensor[tuple(moved)]

        def merged(first: te.Tensor, other: te.Tensor, offset: int) -> Callable[..., te.Expr]:
            # In this order what is written over comes into its accumulators last: the one before may yet be stored.
            return lambda *indices: te.maximum(at(other, indices, offset), at(first, indices, 0))

        for number, (other, offset) in enumerate(order[1:]):
            result = te.compute(shape, merged(result, other, offset), f"{name}_{number}")
            self.maxima.append(result)
        return result


def _taps(kernel: int, stride: int) -> dict[int, list[int]]:
    """For each phase the places at which a window has taps, counted in strides; what no tap touches is left out."""
    return {phase: list(range((kernel - phase + stride - 1) // stride)) for phase in range(min(kernel, stride))}


def _head_last(taps: dict[int, list[int]]) -> list[tuple[int, list[int]]]:
    """The phases, those of few taps last: the last is written over, which needs no copy if it has one tap."""
    return sorted(taps.items(), key=lambda item: -len(item[1]))


def schedule_pool(task: PoolTask, tiling: PoolTiling, config: AcceleratorConfig) -> te.Schedule:
    """Tiles one after another: the next one's inputs come while maxima of this one are taken.

    Raises
    ------
    CompileError
        If the configuration lacks what is needed.
    """
    pool = _Pool(task, config)
    shape = (task.n, task.channels, task.oh, task.ow, *pool.tile)
    how, param = task.requantisation, None
    if how is None:
        acc = pool.largest()
        out = te.compute(shape, lambda *at: acc[at].cast(dtype(config, "out")), OUT)
    else:
        acc = pool.total()
        param = te.placeholder((task.channels, config.block_out, 2), "int32", PARAM)

        def narrow(n: Axis, c: Axis, y: Axis, x: Axis, b: Axis, o: Axis) -> te.Expr:
            return requantised(how, acc[n, c, y, x, b, o], param[c, o, BIAS], param[c, o, SCALE])

        out = te.compute(shape, narrow, OUT)
    s = te.Schedule(out)
    with s.at_once():
        _schedule(s, pool, acc, param, tiling)
    return s


def _schedule(s: te.Schedule, pool: _Pool, acc: te.Tensor, param: te.Tensor | None, tiling: PoolTiling) -> None:
    """Attach everything to the loop over tiles, and let intrinsics do it."""
    task, config, how = pool.task, pool.config, pool.task.requantisation
    (out,) = s.program.outputs
    # What GEMM brings into accumulators: sums, phases, or the pixels themselves where windows have a single one.
    products = pool.wide or [acc]
    weights = s.cache_read(pool.eye, "wgt")
    n, c, y, x, *tile = s[out].axes
    c_outer, c_inner = s[out].split(c, tiling.channels)
    y_outer, y_inner = s[out].split(y, tiling.rows)
    s[out].reorder(n, c_outer, y_outer, c_inner, y_inner, x, *tile)
    stages = [*reversed(pool.maxima), *reversed(products)]
    for stage in stages:
        s[stage].set_scope("acc")
        s[stage].compute_at(out, y_outer)
    s[pool.image].set_scope("inp")
    s[pool.image].compute_at(out, y_outer)
    if tiling.slots == 2:
        for stage in (pool.image, *([] if pool.maxima else [acc])):
            s[stage].double_buffer()
    for stage in pool.maxima:
        s[stage].tensorize(s[stage].leaves[-2], alu(config, AluOp.MAX))
    for stage in products:
        b, o, *summed = s[stage].leaves[4:]
        s[stage].reorder(*summed[:-1], b, o, summed[-1])
        s[stage].tensorize(b, gemm(config))
    s[pool.image].tensorize(s[pool.image].leaves[-2], load(config, "inp"))
    s[weights].tensorize(s[weights].leaves[-2], load(config, "wgt"))
    if how is None:
        s[out].tensorize(tile[0], store_narrow(config))
    else:
        assert param is not None
        params = s.cache_read(param, "param")
        if task.channels > config.param_depth:
            s[params].compute_at(out, c_outer)
        s[params].tensorize(s[params].leaves[-2], load_parameters(config))
        s[out].tensorize(tile[0], store_requantised(config, how))
