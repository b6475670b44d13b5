"""Boxes of tiles between DRAM and a scratchpad as 2-D LOAD and STORE instructions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from weft_hardware.isa import Load, field_limits

from ..errors import CompileError
from .boxes import Linear, cut
from .columns import Column

MAX_PAD = field_limits(Load, "y_pad0")[1]
"""Rows or tiles of padding that one LOAD can add on a side."""

MAX_SIZE = field_limits(Load, "x_size")[1]
"""Largest x_size, y_size and x_stride."""


@dataclass(frozen=True)
class TileMove:
    """A tile-by-tile copy inside its own loops, over all steps.

    Parameters
    ----------
    name : str
        Of the tensor, for messages.
    extents : tuple of int
        Iterations of the own loops; at least one loop.
    dram, sram : Linear
        Tile in the tensor and in the scratchpad. Each own loop moves both.
    guards : tuple of Linear
        Where one of them is negative nothing needs to be copied, and what the scratchpad holds there is never read.
    inside : tuple of Linear
        Where one of them is negative the scratchpad gets padding.
    can_pad : bool
        Whether the instruction can write padding: LOAD can, STORE cannot.
    parameter : Linear, optional
        The tile of parameters that goes with each tile copied.
    """

    name: str
    extents: tuple[int, ...]
    dram: Linear
    sram: Linear
    guards: tuple[Linear, ...] = ()
    inside: tuple[Linear, ...] = ()
    can_pad: bool = True
    parameter: Linear | None = None

    @property
    def parameters(self) -> Linear:
        return self.parameter or Linear(np.zeros_like(self.dram.base), (0,) * len(self.extents))


@dataclass(frozen=True)
class _Axis:
    """One loop, or several merged: ``size`` iterations copied from ``begin`` on, padding around them."""

    extent: int
    dram: int
    sram: int
    parameter: int
    begin: Column
    """First iteration copied."""
    size: Column
    lead: Column
    """Padding before what is copied."""
    trail: Column
    free: Column
    """Iterations left out."""

    @property
    def is_padded(self) -> bool:
        return bool(self.lead.any() or self.trail.any())

    @property
    def is_whole(self) -> bool:
        return bool((self.size == self.extent).all())

    @property
    def height(self) -> Column:
        return self.lead + self.size + self.trail


def _axes(move: TileMove) -> list[_Axis]:
    """The loops, the one whose tiles lie side by side in the scratchpad last."""
    steps = len(move.dram.base)
    for conditions in (move.guards, move.inside):
        for condition in conditions:
            if sum(f != 0 for f in condition.factors) > 1:
                raise CompileError(
                    f"{move.name}: the part that is copied is no box; tile its loops so that each bound is one loop's"
                )
    assert move.can_pad or not move.inside, f"{move.name}: STORE writes no padding"
    needed = cut(steps, move.extents, move.guards)
    copied = cut(steps, move.extents, (*move.guards, *move.inside))
    axes = []
    order = sorted(range(len(move.extents)), key=lambda k: -move.sram.factors[k])
    # Where no tiles lie side by side, each is a column of its own, and padding its.
    apart = all(extent == 1 or factor != 1 for extent, factor in zip(move.extents, move.sram.factors, strict=True))
    innermost = None if apart else order[-1]
    for k in order:
        extent = move.extents[k]
        low, high = np.clip(copied.low[k], 0, extent), np.clip(copied.high[k], 0, extent)
        if move.can_pad:
            # Where all is padding, that is the innermost loop's: the others run over what is needed.
            low = np.where(copied.empty, 0 if k == innermost else needed.low[k], low)
            high = np.where(copied.empty, 0 if k == innermost else needed.high[k], high)
        size = np.maximum(high - low, 0)
        end = np.where(needed.high[k] > needed.low[k], needed.high[k], 0)
        if move.can_pad:
            # Before the first that is needed padding is as good as anything; behind the last nothing is written.
            lead = np.where(size > 0, low, end)
            trail = np.where(size > 0, end - high, 0)
        else:
            lead = trail = np.zeros_like(size)
        axes.append(
            _Axis(
                extent=extent,
                # A single iteration has no pitch; as a column it needs the pitch of columns.
                dram=move.dram.factors[k] if extent > 1 else 1,
                sram=move.sram.factors[k] if extent > 1 else 1,
                parameter=move.parameters.factors[k],
                begin=low,
                size=size,
                lead=lead,
                trail=trail,
                free=extent - lead - size - trail,
            )
        )
    if apart:
        empty = copied.empty.astype(np.int64) if move.can_pad else np.zeros(steps, np.int64)
        axes.append(replace(_unit(steps), size=1 - empty, lead=empty))
    return axes


def _merged(axes: Sequence[_Axis]) -> list[_Axis]:
    """Join an axis to the one inside it where what they copy goes on without a gap; drop those of one iteration."""
    result: list[_Axis] = [axes[-1]]
    for axis in axes[-2::-1]:
        inner = result[0]
        if axis.extent == 1 and axis.is_whole:
            continue
        if inner.extent == 1 and inner.is_whole:
            result[0] = axis
            continue
        seamless = all(
            outer_step == inner.extent * step for outer_step, step in zip(_steps(axis), _steps(inner), strict=True)
        )
        if inner.is_whole and seamless and not axis.is_padded and not inner.is_padded:
            n = inner.extent
            result[0] = replace(
                inner, extent=axis.extent * n, begin=axis.begin * n, size=axis.size * n,
                lead=axis.lead * n, trail=axis.trail * n, free=axis.free * n,
            )  # fmt: skip
        else:
            result.insert(0, axis)
    return result


def _steps(axis: _Axis) -> tuple[int, int, int]:
    """By how many tiles one iteration moves."""
    return axis.dram, axis.sram, axis.parameter


def _unit(steps: int) -> _Axis:
    zeros = np.zeros(steps, np.int64)
    return _Axis(1, 1, 1, 0, zeros, zeros + 1, zeros, zeros, zeros)


def _shaped(move: TileMove, axes: list[_Axis]) -> tuple[list[_Axis], _Axis, _Axis]:
    """The axes taken one iteration an instruction, the one that becomes rows, and the one that becomes columns."""
    steps = len(move.dram.base)
    unit = _unit(steps)
    axes = list(axes)
    last = axes[-1]
    is_single = last.extent == 1 and last.is_whole
    # Tiles of a row lie side by side in both memories.
    if not is_single and (last.dram != 1 or last.sram != 1 or last.parameter not in (0, 1)):
        axes.append(unit)
    columns = axes.pop()
    if not axes:
        return [], unit, columns
    rows = axes[-1]
    # Behind a row that is cut short the next one would begin too early, unless padding makes up for it.
    fills = move.can_pad and bool((columns.trail + columns.free <= MAX_PAD).all())
    dense = rows.sram == columns.extent * columns.sram
    if dense and rows.is_padded and rows.dram > MAX_SIZE:
        raise CompileError(
            f"{move.name} has rows {rows.dram} tiles apart, beyond the {MAX_SIZE} of x_stride; pad it on the host"
        )
    if not dense or rows.dram > MAX_SIZE or rows.parameter not in (0, 1) or (columns.free.any() and not fills):
        return axes, unit, columns
    if columns.free.any():
        columns = replace(columns, trail=columns.trail + columns.free, free=np.zeros(steps, np.int64))
    return axes[:-1], rows, columns


def move_columns(move: TileMove) -> tuple[Column, dict[str, Column]]:
    """The instructions of a copy.

    Returns
    -------
    step : Column
        For each instruction the step it belongs to.
    columns : dict
        LOAD or STORE fields; ``dram`` counts from the tensor's first tile; ``tiles`` is how many the scratchpad gets
        or gives, ``parameter`` the first tile of parameters, ``parameter_x`` and ``parameter_y`` whether the next tile
        and the next row have the next one.

    Raises
    ------
    CompileError
        If the copied part is no box, or if padding and strides exceed the instruction's fields.
    """
    steps = len(move.dram.base)
    outer, rows, columns = _shaped(move, _merged(_axes(move)))
    _check(move, outer, rows, columns)
    empty = (columns.size == 0) | (rows.size == 0)
    width = columns.height
    grid = np.indices([*(axis.extent for axis in outer), 1]).reshape(len(outer) + 1, -1)[:-1]
    wanted = np.ones((steps, grid.shape[1]), bool)
    start = move.dram.base + columns.begin * columns.dram + rows.begin * rows.dram
    dram = np.broadcast_to(start[:, None], wanted.shape)
    first = move.sram.base
    if not move.can_pad:
        first = first + columns.begin * columns.sram + rows.begin * rows.sram
    sram = np.broadcast_to(first[:, None], wanted.shape)
    parameter = move.parameters.base + columns.begin * columns.parameter + rows.begin * rows.parameter
    parameter = np.broadcast_to(parameter[:, None], wanted.shape)
    for axis, index in zip(outer, grid, strict=True):
        wanted &= (index >= axis.begin[:, None]) & (index < (axis.begin + axis.size)[:, None])
        dram = dram + index * axis.dram
        sram = sram + index * axis.sram
        parameter = parameter + index * axis.parameter
    # What nobody needs and nobody has to pad is no instruction.
    wanted &= ((rows.height > 0) & (width > 0))[:, None]
    step = np.nonzero(wanted)[0]
    fields = {
        # A block that lies in the padding altogether is one row of padding: x_size = 0 would write nothing.
        "y_size": np.where(empty, 0, rows.size),
        "x_size": np.where(empty, rows.height * width, columns.size),
        "y_pad0": np.where(empty, 1, rows.lead),
        "y_pad1": np.where(empty, 0, rows.trail),
        "x_pad0": np.where(empty, 0, columns.lead),
        "x_pad1": np.where(empty, 0, columns.trail),
        "tiles": rows.height * width,
    }
    result = {name: values[step] for name, values in fields.items()}
    result["x_stride"] = np.full(len(step), rows.dram if rows.extent > 1 else 0, np.int64)
    result["dram"] = np.where(empty[:, None], 0, dram)[wanted]
    result["sram"] = sram[wanted]
    result["parameter"] = parameter[wanted]
    result["parameter_x"] = np.full(len(step), columns.parameter if columns.extent > 1 else 0, np.int64)
    result["parameter_y"] = np.full(len(step), rows.parameter if rows.extent > 1 else 0, np.int64)
    return step, result


def _check(move: TileMove, outer: Sequence[_Axis], rows: _Axis, columns: _Axis) -> None:
    if any(axis.is_padded for axis in outer):
        raise CompileError(f"{move.name} is padded in more than two dimensions; pad it on the host")
    for axis in (rows, columns):
        pad = int(max(axis.lead.max(initial=0), axis.trail.max(initial=0)))
        if pad > MAX_PAD and not bool(((axis.size == 0) | (axis.lead + axis.trail <= MAX_PAD)).all()):
            raise CompileError(
                f"{move.name} needs {pad} tiles of padding on one side, LOAD adds at most {MAX_PAD}; pad on the host"
            )
    for axis, what in ((rows, "rows"), (columns, "tiles")):
        size = int(axis.size.max(initial=0))
        if size > MAX_SIZE:
            raise CompileError(
                f"{move.name}: {size} {what} exceed the {MAX_SIZE} of one LOAD or STORE; tile it smaller"
            )
