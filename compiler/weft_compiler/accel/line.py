"""Instructions of several programs in one line, before their tokens are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .columns import Column, inverse
from .stream import Rows
from .tokens import Accesses

STEP = 1 << 20
"""Distance of the keys of two instructions of one program: what is put in between finds room."""

BESIDE = 1 << 18
"""Distance of what is put right before or right behind an instruction."""

CELLS = 64
"""A memory that is none: what fences order touches one of its tiles."""


@dataclass
class Piece:
    """Rows of one part, or put between the parts.

    Parameters
    ----------
    keys : Column
        They order all instructions.
    """

    part: int
    rows: Rows
    keys: Column


@dataclass
class Line:
    """All pieces; an instruction's *number* is its index in them, one after another.

    Parameters
    ----------
    cells : list of (Column, bool array)
        Of each cell the numbers of the instructions that touch it, and which of them write it.
    """

    pieces: list[Piece] = field(default_factory=list)
    cells: list[tuple[Column, NDArray[np.bool_]]] = field(default_factory=list)

    def column(self, of: Callable[[Piece], int | Column]) -> Column:
        """A value for each instruction."""
        parts = [np.broadcast_to(np.asarray(of(p), np.int64), (len(p.rows),)) for p in self.pieces]
        return np.concatenate(parts)

    @property
    def keys(self) -> Column:
        return self.column(lambda piece: piece.keys)

    def set_keys(self, keys: Column) -> None:
        """Other keys for the first instructions."""
        done = 0
        for piece in self.pieces:
            if done < len(keys):
                piece.keys = keys[done : done + len(piece.rows)]
            done += len(piece.rows)

    def place(self) -> Column:
        """The position of each instruction in the line."""
        return inverse(np.argsort(self.keys, kind="stable"))

    def queues(self) -> Column:
        return self.column(lambda piece: int(piece.rows.queue))

    def parts(self) -> Column:
        return self.column(lambda piece: piece.part)

    def accesses(self, place: Column) -> Accesses:
        """What all instructions touch, by their positions."""
        instruction, memory, first, end, writes = [], [], [], [], []
        done = 0
        for piece in self.pieces:
            count = len(piece.rows)
            for touch in piece.rows.touches:
                instruction.append(place[done : done + count])
                memory.append(np.full(count, int(touch.memory)))
                first.append(touch.first)
                end.append(touch.end)
                writes.append(np.full(count, touch.writes))
            done += count
        for number, (who, writing) in enumerate(self.cells):
            instruction.append(place[who])
            memory.append(np.full(len(who), CELLS))
            first.append(np.full(len(who), number))
            end.append(np.full(len(who), number + 1))
            writes.append(writing)
        return Accesses(*(np.concatenate(parts) for parts in (instruction, memory, first, end, writes)))
