"""Instructions of several programs in one line, before their tokens are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .columns import Column, inverse
from .conflicts import Pairs
from .stream import Rows

STEP = 1 << 20
"""Distance of the keys of two instructions of one program: what is put in between finds room."""

BESIDE = 1 << 18
"""Distance of what is put right before or right behind an instruction."""


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
    conflicts : list of Pairs
        The numbers of instructions that have to stay in order.
    """

    pieces: list[Piece] = field(default_factory=list)
    conflicts: list[Pairs] = field(default_factory=list)

    def column(self, of: Callable[[Piece], Column]) -> Column:
        """A value for each instruction."""
        return np.concatenate([of(piece) for piece in self.pieces])

    def _same(self, of: Callable[[Piece], int]) -> Column:
        """One for all instructions of a piece."""
        return np.repeat([of(piece) for piece in self.pieces], [len(piece.rows) for piece in self.pieces])

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
        return self._same(lambda piece: int(piece.rows.queue))

    def parts(self) -> Column:
        return self._same(lambda piece: piece.part)

    def conflicts_at(self, place: Column) -> Pairs:
        """All conflicts, by the positions of instructions."""
        return Pairs(*(place[np.concatenate(column)] for column in zip(*self.conflicts, strict=True)))
