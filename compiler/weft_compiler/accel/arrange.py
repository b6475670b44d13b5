"""Where the buffers of a program that follows another one lie: first on tiles that the one before has done with.

Each program was given its places alone, from the bottom of the scratchpads. Here whole copies of buffers are moved, so
that what the first steps load or compute lies where nothing of the program before, or what it uses earliest, lies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import pack_uops
from weft_hardware.isa import Alu, Gemm, Memory, scratchpad_depth

from .columns import Column
from .conflicts import Cells
from .scratchpads import Copies
from .stream import Rows, Stream

MOVABLE = (Memory.INP, Memory.WGT, Memory.ACC)
OPERANDS = (Memory.ACC, Memory.INP, Memory.WGT)
"""The scratchpads that a GEMM's micro-ops name: dst, src, wgt."""


@dataclass(frozen=True)
class Shift:
    """Tiles from ``edges[k]`` on, up to the next edge, move by ``moves[k]``."""

    edges: Column
    moves: Column

    def of(self, tiles: Column) -> Column:
        """How far each of these tiles moves."""
        return self.moves[np.maximum(np.searchsorted(self.edges, tiles, side="right") - 1, 0)]


class Occupancy:
    """For each tile of the scratchpads the last instruction so far that touches it, −1 if there is none."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.last = {m: np.full(scratchpad_depth(m, config), -1, np.int64) for m in MOVABLE}

    def until(self, copy: Copies) -> tuple[int, ...]:
        """When each copy's tiles are free."""
        last = self.last[copy.memory]
        return tuple(int(last[start : start + copy.tiles].max()) for start in copy.starts)

    def add(self, rows: Rows, place: Column, copies: tuple[Copies, ...]) -> None:
        """Count what instructions at these positions touch, copy by copy."""
        for touch in rows.touches:
            for c in copies:
                if c.memory is not touch.memory or c.memory not in self.last:
                    continue
                for start in c.starts:
                    inside = (touch.first < start + c.tiles) & (touch.end > start)
                    if inside.any():
                        tiles = self.last[c.memory][start : start + c.tiles]
                        np.maximum(tiles, place[inside].max(), out=tiles)


def arrange(stream: Stream, occupancy: Occupancy, config: AcceleratorConfig) -> tuple[Copies, ...]:
    """The places of a program's buffers after those before it: see the module."""
    alone = [c for c in stream.copies if c.memory in MOVABLE]
    # An ALU's source lies in ACC, a GEMM's in INP: lists of micro-ops that both may run stay as they are.
    if any(r.cls is Alu for r in stream.all_rows):
        return stream.copies
    moved = {}
    for c in alone:
        if [other.memory for other in alone].count(c.memory) == 1:
            moved[c] = min(_choices(c, config), key=occupancy.until)
    return tuple(moved.get(c, c) for c in stream.copies)


def _choices(c: Copies, config: AcceleratorConfig) -> Iterator[Copies]:
    """Where the copies of the only buffer in a scratchpad may lie; that it stays comes first."""
    yield c
    top = scratchpad_depth(c.memory, config) - c.tiles
    if len(c.starts) == 1:
        yield replace(c, starts=(top,))
    elif len(c.starts) == 2:
        yield replace(c, starts=c.starts[::-1])
        if c.memory is not Memory.ACC:  # whose copies lie in different banks
            yield replace(c, starts=(top, top - c.tiles))
            yield replace(c, starts=(top - c.tiles, top))


def shifts(before: tuple[Copies, ...], after: tuple[Copies, ...]) -> dict[Memory, Shift]:
    """What moves between two arrangements of the same buffers."""
    found = {}
    for old, new in zip(before, after, strict=True):
        if old.starts != new.starts:
            edges = np.array(old.starts, np.int64)
            sequence = np.argsort(edges)
            found[old.memory] = Shift(edges[sequence], (np.array(new.starts, np.int64) - edges)[sequence])
    return found


def moved_rows(rows: Rows, shift: Mapping[Memory, Shift]) -> Rows:
    """The same instructions on moved buffers; their micro-ops see `moved_uops`."""
    touches = []
    columns = dict(rows.columns)
    for touch in rows.touches:
        if touch.memory in shift:
            by = shift[touch.memory].of(touch.first)
            touches.append(replace(touch, first=touch.first + by, end=touch.end + by))
            if "sram" in columns:
                columns["sram"] = columns["sram"] + by
        else:
            touches.append(touch)
    assert issubclass(rows.cls, Gemm) or "uop_bgn" not in columns or not shift
    return replace(rows, columns=columns, touches=tuple(touches))


def moved_cells(cells: Cells, shift: Mapping[Memory, Shift]) -> Cells:
    """The same cells of moved buffers."""
    by = np.zeros_like(cells.begin)
    for memory, of_memory in shift.items():
        there = cells.memory == memory
        by[there] = of_memory.of(cells.begin[there])
    return replace(cells, begin=cells.begin + by, end=cells.end + by)


def moved_uops(stream: Stream, shift: Mapping[Memory, Shift]) -> NDArray:
    """A program's micro-ops, encoded, for moved buffers."""
    if not shift or not stream.kernels.lists:
        return stream.kernels.encoded()
    columns = np.concatenate(stream.kernels.lists).T
    moved = [c + shift[m].of(c) if m in shift else c for c, m in zip(columns, OPERANDS, strict=True)]
    return pack_uops(stream.config, *moved)
