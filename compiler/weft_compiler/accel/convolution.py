"""A convolution as a tensor expression, and a tiling of it as a schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Memory

from .. import te
from ..conv_task import ConvTask
from ..te.expr import Axis
from ..tiling import OPERAND_LOOPS, PARALLEL, REDUCTION, Tiling, row_step
from .intrinsics.gemm import gemm
from .intrinsics.load import load
from .intrinsics.requantise import (
    BIAS,
    SCALE,
    TABLE_ENTRIES,
    load_parameters,
    load_table,
    requantised,
    store_requantised,
)
from .intrinsics.store import store
from .intrinsics.tiles import dtype

INP, WGT, PARAM, RESIDUAL, TABLE, OUT = "inp", "wgt", "param", "residual", "table", "out"
"""The names of the tensors in DRAM; ``param`` has bias and scale of each channel, where the sums are requantised."""


@dataclass(frozen=True)
class ConvExpression:
    """``out = Σ image(inp) · wgt``, requantised if the task says so, with the layouts of `ConvTask`.

    Parameters
    ----------
    image : Tensor
        What lies in the scratchpad: the input with its padding, without rows that no kernel touches.
    total : Tensor
        The sums; ``out`` itself where nothing is done to them.
    table : Tensor, optional
        In which results are looked up.
    """

    wgt: te.Tensor
    param: te.Tensor
    image: te.Tensor
    total: te.Tensor
    out: te.Tensor
    table: te.Tensor | None = None


def conv_expression(task: ConvTask, config: AcceleratorConfig) -> ConvExpression:
    """What a task asks for; with groups, tensors have a dimension ``g`` before their channels."""
    t, batch, block_in, block_out = task, config.batch, config.block_in, config.block_out
    groups, g_name = ((t.groups,), ("g",)) if t.groups > 1 else ((), ())
    inp = te.placeholder((t.n, *groups, t.ic, t.ih, t.iw, batch, block_in), dtype(config, "inp"), INP)
    wgt = te.placeholder((*groups, t.oc, t.ic, t.kh, t.kw, block_out, block_in), dtype(config, "wgt"), WGT)
    top, left, _, _ = t.pads
    step = row_step(t)
    height, width = (t.oh - 1) * (t.stride[0] // step) + (t.kh - 1) * t.dilation[0] + 1, t.iw + t.pads[1] + t.pads[3]

    def pixel(*at: Axis) -> te.Expr:
        *channel, y, x, b, i = at
        row, column = y * step - top, x - left
        value = inp[(*channel, row, column, b, i)]
        if not any(t.pads):
            return value
        return te.select((row >= 0) & (row < t.ih) & (column >= 0) & (column < t.iw), value, t.pad_value)

    axes = ("n", *g_name, "ic", "y", "x", "b", "i")
    image = te.compute((t.n, *groups, t.ic, height, width, batch, block_in), pixel, "image", axes)
    wide = dtype(config, "acc")
    ic, ky, kx = te.reduce_axis(t.ic, "ic"), te.reduce_axis(t.kh, "ky"), te.reduce_axis(t.kw, "kx")
    i = te.reduce_axis(block_in, "i")

    def product(*at: Axis) -> te.Reduce:
        n, *g, oc, y, x, b, o = at
        row, column = y * (t.stride[0] // step) + ky * t.dilation[0], x * t.stride[1] + kx * t.dilation[1]
        value = image[(n, *g, ic, row, column, b, i)].cast(wide) * wgt[(*g, oc, ic, ky, kx, o, i)].cast(wide)
        return te.sum(value, (ic, ky, kx, i))

    how = t.requantisation
    shape = (t.n, *groups, t.oc, t.oh, t.ow, batch, block_out)
    axes = ("n", *g_name, "oc", "y", "x", "b", "o")
    total = te.compute(shape, product, OUT if how is None else "total", axes)
    param = te.placeholder((*groups, t.oc, block_out, 2), "int32", PARAM)
    if how is None:
        return ConvExpression(wgt, param, image, total, total)

    residual = te.placeholder(shape, how.addition.dtype, RESIDUAL) if how.addition else None
    table = te.placeholder((TABLE_ENTRIES,), how.dtype, TABLE) if how.table else None

    def narrow(*at: Axis) -> te.Expr:
        _, *channel, _, _, _, o = at
        added = residual[at] if residual is not None else None
        return requantised(how, total[at], param[(*channel, o, BIAS)], param[(*channel, o, SCALE)], added, table)

    return ConvExpression(wgt, param, image, total, te.compute(shape, narrow, OUT, axes), table)


def schedule_convolution(task: ConvTask, tiling: Tiling, config: AcceleratorConfig) -> te.Schedule:
    """Tiles in the order of a tiling; each operand moves in the innermost loop on which its tile depends."""
    expression = conv_expression(task, config)
    out = expression.out
    s = te.Schedule(out)
    if task.requantisation is None:
        acc = s.cache_write(out, "acc")
    else:
        acc = expression.total
        s[acc].set_scope("acc")
    weights = s.cache_read(expression.wgt, "wgt")
    image = expression.image
    s[image].set_scope("inp")
    parallel = [loop for loop in tiling.order if loop in PARALLEL and (loop != "g" or task.groups > 1)]
    sums = [loop for loop in tiling.order if loop in REDUCTION]
    loops: dict[str, tuple[te.Tensor, Axis]] = {}
    within = {}
    for loop in parallel:
        outer, within[loop] = s[out].split(loop, tiling.tiles[loop])
        loops[loop] = out, outer
    s[out].reorder(*(loops[loop][1] for loop in parallel), *(within[loop] for loop in PARALLEL if loop in within))
    _attach(s, acc, tiling, Memory.ACC, parallel, loops)
    inner = []
    for loop in sums:
        outer, rest = s[acc].split(loop, tiling.tiles[loop])
        loops[loop] = acc, outer
        inner.append(rest)
    tile = [loop for loop in PARALLEL if loop in within and loop != "n"]
    s[acc].reorder(*(loops[loop][1] for loop in sums), *tile, *inner, "b", "o", "i")
    for stage, memory in ((image, Memory.INP), (weights, Memory.WGT)):
        _attach(s, stage, tiling, memory, tiling.order, loops)
    for stage, memory in ((acc, Memory.ACC), (image, Memory.INP), (weights, Memory.WGT)):
        if tiling.slots[memory] == 2:
            s[stage].double_buffer()
    s[acc].tensorize("b", gemm(config))
    s[image].tensorize(s[image].leaves[-2], load(config, "inp"))
    s[weights].tensorize(s[weights].leaves[-2], load(config, "wgt"))
    if task.requantisation is None:
        s[out].tensorize("b", store(config))
    else:
        params = s.cache_read(expression.param, "param")
        if task.outputs > config.param_depth:
            moving = [loop for loop in parallel if loop in ("g", "oc") and tiling.trips(loop) > 1]
            s[params].compute_at(*loops[moving[-1]])
        s[params].tensorize(s[params].leaves[-2], load_parameters(config))
        if expression.table is not None:
            table = s.cache_read(expression.table, "table")
            s[table].tensorize(s[table].leaves[0], load_table(config, expression.table.dtype))
        s[out].tensorize("b", store_requantised(config, task.requantisation))
    return s


def _attach(
    s: te.Schedule,
    stage: te.Tensor,
    tiling: Tiling,
    memory: Memory,
    order: Sequence[str],
    loops: dict[str, tuple[te.Tensor, Axis]],
) -> None:
    """Put a stage into the innermost loop that iterates and on which its tile depends."""
    moving = [loop for loop in order if loop in OPERAND_LOOPS[memory] and tiling.trips(loop) > 1]
    if moving:
        s[stage].compute_at(*loops[moving[-1]])
