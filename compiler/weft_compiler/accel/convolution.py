"""A convolution as a tensor expression, and a tiling of it as a schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Memory

from .. import te
from ..conv_task import ConvTask
from ..errors import CompileError
from ..te.expr import Axis
from ..tiling import PARALLEL, REDUCTION, Tiling, row_step
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
    """What a task asks for.

    With groups, tensors have a dimension ``g`` before their channels; with phases, the result has ``ry`` and ``rx``
    behind its rows and columns, and so have the weights before theirs.
    """
    t, batch, block_in, block_out = task, config.batch, config.block_in, config.block_out
    groups, g_name = ((t.groups,), ("g",)) if t.groups > 1 else ((), ())
    inp = te.placeholder((t.n, *groups, t.ic, t.ih, t.iw, batch, block_in), dtype(config, "inp"), INP)
    phases = t.phases.count if t.phases else ()
    wgt = te.placeholder((*groups, t.oc, t.ic, *phases, t.kh, t.kw, block_out, block_in), dtype(config, "wgt"), WGT)
    top, left, _, _ = t.pads
    step = row_step(t)
    height, width = (t.oh - 1) * (t.stride[0] // step) + (t.kh - 1) * t.dilation[0] + 1, t.iw + t.pads[1] + t.pads[3]
    if t.phases:
        height, width = height + t.phases.reach[0], (t.ow - 1) + t.kw + t.phases.reach[1]

    def pixel(*at: Axis) -> te.Expr:
        *channel, y, x, b, i = at
        row, column = y * step - top, x - left
        value = inp[(*channel, row, column, b, i)]
        if not any(t.pads) and not t.phases:
            return value
        return te.select((row >= 0) & (row < t.ih) & (column >= 0) & (column < t.iw), value, t.pad_value)

    axes = ("n", *g_name, "ic", "y", "x", "b", "i")
    image = te.compute((t.n, *groups, t.ic, height, width, batch, block_in), pixel, "image", axes)
    wide = dtype(config, "acc")
    ic, ky, kx = te.reduce_axis(t.ic, "ic"), te.reduce_axis(t.kh, "ky"), te.reduce_axis(t.kw, "kx")
    i = te.reduce_axis(block_in, "i")

    def product(*at: Axis) -> te.Reduce:
        n, *g, oc = at[: 2 + len(groups)]
        b, o = at[-2:]
        row, column, phase, is_tap = _window(t, ky, kx, step, {axis.name: axis for axis in at})
        pixel = image[(n, *g, ic, row, column, b, i)].cast(wide)
        value = pixel * wgt[(*g, oc, ic, *phase, ky, kx, o, i)].cast(wide)
        return te.sum(value if is_tap is None else te.select(is_tap, value, te.const(0, wide)), (ic, ky, kx, i))

    how = t.requantisation
    shape = (t.n, *groups, t.oc, t.oh, t.ow, batch, block_out)
    axes = inner = ("n", *g_name, "oc", "y", "x", "b", "o")
    if t.phases:
        shape = (t.n, *groups, t.oc, t.oh, t.phases.count[0], t.ow, t.phases.count[1], batch, block_out)
        axes = inner = ("n", *g_name, "oc", "y", "ry", "x", "rx", "b", "o")
        if t.phases.own_parameters:
            # A STORE takes accumulators that lie side by side, and has one bias for its pixels.
            inner = ("n", *g_name, "oc", "ry", "rx", "y", "x", "b", "o")
    sizes = dict(zip(axes, shape, strict=True))
    total = te.compute([sizes[axis] for axis in inner], product, OUT if how is None else "total", inner)
    each, each_name = (t.phases.count, ("ry", "rx")) if t.phases and t.phases.own_parameters else ((), ())
    if t.pixel_parameters:
        each, each_name = (t.oh, t.ow), ("y", "x")
    param = te.placeholder((*groups, t.oc, *each, block_out, 2), "int32", PARAM)
    if how is None:
        return ConvExpression(wgt, param, image, total, total)

    residual = te.placeholder(shape, how.addition.dtype, RESIDUAL) if how.addition else None
    table = te.placeholder((TABLE_ENTRIES,), how.dtype, TABLE) if how.table else None

    def narrow(*at: Axis) -> te.Expr:
        named = {axis.name: axis for axis in at}
        added = residual[at] if residual is not None else None
        channel = [named[axis] for axis in (*g_name, "oc", *each_name)]
        sums = total[tuple(named[axis] for axis in inner)]
        bias, scale = (param[(*channel, named["o"], what)] for what in (BIAS, SCALE))
        return requantised(how, sums, bias, scale, added, table)

    return ConvExpression(wgt, param, image, total, te.compute(shape, narrow, OUT, axes), table)


def _window(
    task: ConvTask, ky: Axis, kx: Axis, step: int, at: Mapping[str, Axis]
) -> tuple[te.Expr, te.Expr, tuple[Axis, ...], te.Expr | None]:
    """Where a tap reads the image, of which phase it is, and whether the phase has it, given a result's position."""
    down, right = ky * task.dilation[0], kx * task.dilation[1]
    y, x = at["y"], at["x"]
    if task.phases is None:
        return y * (task.stride[0] // step) + down, x * task.stride[1] + right, (), None
    ry, rx = at["ry"], at["rx"]
    places, taps = [], []
    for phase, tap, count, offset, kernel in zip(
        (ry, rx), (ky, kx), task.phases.count, task.phases.offset, task.phases.kernel, strict=True
    ):
        places.append((phase + offset) // count)
        taps.append(tap * count + (count - 1) - (phase + offset) % count < kernel)
    return y + places[0] + down, x + places[1] + right, (ry, rx), te.every(taps)


def schedule_convolution(task: ConvTask, tiling: Tiling, config: AcceleratorConfig) -> te.Schedule:
    """The loops of a tiling, each operand moved at its level."""
    expression = conv_expression(task, config)
    s = te.Schedule(expression.out)
    with s.at_once():
        _schedule(s, expression, task, tiling, config)
    return s


def _schedule(
    s: te.Schedule, expression: ConvExpression, task: ConvTask, tiling: Tiling, config: AcceleratorConfig
) -> None:
    out = expression.out
    if task.requantisation is None:
        acc = s.cache_write(out, "acc")
    else:
        acc = expression.total
        s[acc].set_scope("acc")
    weights = s.cache_read(expression.wgt, "wgt")
    image = expression.image
    s[image].set_scope("inp")
    inner = tiling.order[tiling.levels[Memory.ACC] :]
    still = [loop for loop in (*PARALLEL, *REDUCTION) if loop not in tiling.order]
    # Loops over tiles of the result, then those of one sum; the ones that do not iterate may stand anywhere.
    parallel = [*tiling.around(Memory.ACC), *(loop for loop in still if loop in PARALLEL)]
    parallel += [loop for loop in inner if loop in PARALLEL]
    parallel = [loop for loop in parallel if loop != "g" or task.groups > 1]
    sums = [*inner, *(loop for loop in still if loop in REDUCTION)]
    loops: dict[str, tuple[te.Tensor, Axis]] = {}
    within = {}
    whole = tiling.sizes(Memory.ACC)
    for loop in parallel:
        outer, within[loop] = s[out].split(loop, whole[loop])
        loops[loop] = out, outer
    phase = {"y": ("ry",), "x": ("rx",)} if task.phases else {}
    inside = [axis for loop in PARALLEL if loop in within for axis in (within[loop], *phase.get(loop, ()))]
    if task.parameters > 1:
        inside = [*(within[loop] for loop in PARALLEL[:3] if loop in within), "ry", "rx", within["y"], within["x"]]
    rows: Axis | None = None
    if task.pixel_parameters:
        # As many rows as have their parameters in the scratchpad together.
        rows, row = s[out].split(within["y"], parameter_rows(whole, config))
        inside = [part for axis in inside for part in ((rows, row) if axis is within["y"] else (axis,))]
    s[out].reorder(*(loops[loop][1] for loop in parallel), *inside)
    _attach(s, acc, tiling, Memory.ACC, loops)
    rest: dict[str, str | Axis] = {loop: loop for loop in PARALLEL if loop in within and loop != "n"}
    for loop in sums:
        outer, rest[loop] = s[acc].split(loop, tiling.tiles[loop])
        loops[loop] = acc, outer
    # Each phase has taps of its own, so instructions of its own.
    each = [axis for axes in phase.values() for axis in axes]
    tile = [rest[loop] for loop in (*PARALLEL, *REDUCTION) if loop in rest]
    s[acc].reorder(*(loops[loop][1] for loop in sums), *each, *tile, "b", "o", "i")
    for axis in each:
        s[acc].unroll(axis)
    for stage, memory in ((image, Memory.INP), (weights, Memory.WGT)):
        _attach(s, stage, tiling, memory, loops)
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
        if rows is not None:
            s[params].compute_at(out, rows)
        else:
            _attach(s, params, tiling, Memory.PARAM, loops)
        s[params].tensorize(s[params].leaves[-2], load_parameters(config))
        if expression.table is not None:
            table = s.cache_read(expression.table, "table")
            s[table].tensorize(s[table].leaves[0], load_table(config, expression.table.dtype))
        s[out].tensorize("b", store_requantised(config, task.requantisation))


def parameter_rows(sizes: Mapping[str, int], config: AcceleratorConfig) -> int:
    """Rows of a tile whose pixels' parameters fit the scratchpad; a divisor: others compute rows beyond the tile.

    Raises
    ------
    CompileError
        If one row has too many.
    """
    height, width = sizes["y"], sizes["x"]
    most = config.param_depth // width
    if not most:
        raise CompileError(
            f"rows of {width} pixels have more parameters than the {config.param_depth} of param_depth; enlarge it"
        )
    return max(rows for rows in range(1, min(most, height) + 1) if height % rows == 0)


def _attach(
    s: te.Schedule, stage: te.Tensor, tiling: Tiling, memory: Memory, loops: dict[str, tuple[te.Tensor, Axis]]
) -> None:
    """Put a stage into the loops around its operand's buffer."""
    around = tiling.around(memory)
    if around:
        s[stage].compute_at(*loops[around[-1]])
