"""A box of a DRAM tensor as 2-D LOAD or STORE instructions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import CompileError
from .streams import Column, Transfer

MAX_PAD = 15
"""Zero rows or columns one LOAD can add on a side: its pad fields have 4 bits."""
MAX_SIZE = (1 << 16) - 1
"""Largest x_size, y_size and x_stride."""


@dataclass
class _Axis:
    """One dimension of a box, possibly several of the tensor's merged: ``size`` elements, ``stride`` tiles apart."""

    extent: int
    stride: int
    begin: Column
    size: Column
    lead: Column
    """Zeros before the part that lies in the tensor."""
    trail: Column

    @property
    def padded(self) -> Column:
        return self.lead + self.size + self.trail

    @property
    def has_padding(self) -> bool:
        return bool(self.lead.any() or self.trail.any())

    @property
    def whole(self) -> bool:
        """Whether every box spans the axis completely, so that an outer axis goes on where it ends."""
        return not self.has_padding and bool((self.size == self.extent).all())


def _axes(transfer: Transfer) -> list[_Axis]:
    """The dimensions of a transfer, innermost last, each clipped to the tensor."""
    axes, stride = [], 1
    for extent, offset, size in zip(transfer.shape[::-1], transfer.offsets[::-1], transfer.sizes[::-1], strict=True):
        lead = np.clip(-offset, 0, size)
        trail = np.clip(offset + size - extent, 0, size - lead)
        axes.append(_Axis(extent, stride, offset + lead, size - lead - trail, lead, trail))
        stride *= extent
    return axes[::-1]


def _merged(axes: list[_Axis]) -> tuple[list[_Axis], Column]:
    """Join an axis to the one inside it where the boxes are contiguous, and take out those of a single step.

    The second value is where the boxes begin in DRAM along the axes taken out.
    """
    result = [axes[-1]]
    begin = np.zeros_like(axes[-1].begin)
    for axis in axes[-2::-1]:
        inner = result[0]
        if not axis.has_padding and bool((axis.size == 1).all()):
            begin = begin + axis.begin * axis.stride
        elif inner.whole and axis.stride == inner.extent and not axis.has_padding:
            size = axis.size * inner.extent
            extent, start = axis.extent * inner.extent, axis.begin * inner.extent
            result[0] = _Axis(extent, 1, start, size, axis.lead, axis.trail)
        else:
            result.insert(0, axis)
    return result, begin


def _two_innermost(axes: list[_Axis]) -> tuple[list[_Axis], _Axis | None, _Axis]:
    """The axes that need an instruction each step, the one that becomes rows, and the one that becomes columns."""
    if len(axes) == 1:
        return [], None, axes[0]
    rows = axes[-2]
    if rows.stride > MAX_SIZE and not rows.has_padding:
        return axes[:-1], None, axes[-1]
    return axes[:-2], rows, axes[-1]


def _check(transfer: Transfer, rows: _Axis | None, columns: _Axis, outer: list[_Axis]) -> None:
    name = transfer.memory.name.lower()
    if any(axis.has_padding for axis in outer):
        raise CompileError(f"{name} tensor {transfer.shape} is padded in more than two dimensions; pad it on the host")
    if rows is not None and rows.stride > MAX_SIZE:
        raise CompileError(
            f"{name} rows are {rows.stride} tiles apart, beyond the 16 bits of x_stride; split the image on the host"
        )
    for axis in (rows, columns):
        if axis is not None:
            pad = int(max(axis.lead.max(), axis.trail.max()))
            if pad > MAX_PAD:
                raise CompileError(
                    f"{name} tile needs {pad} zeros on one side, the DMA adds at most {MAX_PAD}; pad on the host"
                )


def transfer_columns(transfer: Transfer, slot: Column) -> tuple[Column, dict[str, Column]]:
    """The instructions of a transfer.

    Parameters
    ----------
    slot : Column
        First scratchpad tile of each execution.

    Returns
    -------
    execution : Column
        For each instruction, which execution of the transfer it belongs to.
    columns : dict
        LOAD or STORE fields; ``dram`` counts from the tensor's first tile.

    Raises
    ------
    CompileError
        If padding or strides exceed what the DMA's fields hold.
    """
    axes, begin = _merged(_axes(transfer))
    outer, rows, columns = _two_innermost(axes)
    _check(transfer, rows, columns, outer)
    count = len(columns.size)
    ones, zeros = np.ones(count, np.int64), np.zeros(count, np.int64)
    height = rows.padded if rows else ones
    empty = (columns.size == 0) | ((rows.size if rows else ones) == 0)

    # One instruction for every point of the outer axes, inside each execution's own bounds.
    grid = np.indices([*(int(axis.size.max()) for axis in outer), 1]).reshape(len(outer) + 1, -1)[:-1]
    inside = np.ones((count, grid.shape[1]), bool)
    start = begin + columns.begin * columns.stride + (rows.begin * rows.stride if rows else 0)
    dram = np.broadcast_to(start[:, None], inside.shape)
    sram_index = np.zeros(inside.shape, np.int64)
    for axis, index in zip(outer, grid, strict=True):
        inside &= index < axis.size[:, None]
        dram = dram + (axis.begin[:, None] + index) * axis.stride
        sram_index = sram_index * axis.size[:, None] + index
    sram = slot[:, None] + sram_index * (height * columns.padded)[:, None]

    execution = np.nonzero(inside)[0]
    fields = {
        # A block that lies in the padding altogether is one row of zeros: x_size = 0 would write nothing.
        "y_size": np.where(empty, 0, rows.size if rows else ones),
        "x_size": np.where(empty, height * columns.padded, columns.size),
        "y_pad0": np.where(empty, 1, rows.lead if rows else zeros),
        "y_pad1": np.where(empty, 0, rows.trail if rows else zeros),
        "x_pad0": np.where(empty, 0, columns.lead),
        "x_pad1": np.where(empty, 0, columns.trail),
    }
    result = {name: values[execution] for name, values in fields.items()}
    result["x_stride"] = np.full(len(execution), rows.stride if rows else 0, np.int64)
    result["dram"] = np.where(empty[:, None], 0, dram)[inside]
    result["sram"] = sram[inside]
    return execution, result
