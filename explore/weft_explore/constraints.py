"""What designs must keep to: a bound of a figure, or a board that they fit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from weft_boards.board import Board
from weft_boards.catalogue import find_board
from weft_hardware.parts import Usage

from .errors import ExploreError
from .objectives import OBJECTIVES

_BOUND = re.compile(r"\s*([a-z]+)\s*(<=|>=)\s*([0-9][0-9_]*(?:\.[0-9]+)?)\s*")
_FITS = re.compile(r"\s*fits\s+(\S+)\s*")


@dataclass(frozen=True)
class Bound:
    """``figure <= limit`` or ``figure >= limit``."""

    text: str
    figure: str
    upper: bool
    limit: float

    @property
    def needs(self) -> str:
        return OBJECTIVES[self.figure].needs

    def broken(self, values: Mapping[str, float]) -> str | None:
        """Why it does not hold; None if it does, or the figure is not known."""
        value = values.get(self.figure)
        if value is None or (value <= self.limit if self.upper else value >= self.limit):
            return None
        return f"{self.figure} = {value:g} breaks {self.text}"


@dataclass(frozen=True)
class Fits:
    """The design fits a board's FPGA."""

    text: str
    board: Board
    needs: str = "area"

    def shortages(self, usage: Usage) -> str | None:
        """Why it does not; None if it does."""
        short = self.board.part.shortages(usage)
        return f"takes {', '.join(short)} of {self.board.title}" if short else None


Constraint = Bound | Fits


def parse_constraints(texts: Sequence[str]) -> tuple[Constraint, ...]:
    """Constraints such as ``fits pynq-z2``, ``luts <= 40000``.

    Raises
    ------
    ExploreError
        If one is neither, or names a figure that does not exist.
    BoardError
        If there is no such board.
    """
    return tuple(map(_parse, texts))


def _parse(text: str) -> Constraint:
    if found := _FITS.fullmatch(text):
        return Fits(text.strip(), find_board(found[1]))
    found = _BOUND.fullmatch(text)
    if not found or found[1] not in OBJECTIVES:
        raise ExploreError(
            f"constraint {text!r} is not understood; write `fits BOARD`, or a figure and its bound, such as "
            f"`luts <= 40000`, of {', '.join(OBJECTIVES)}"
        )
    return Bound(text.strip(), found[1], found[2] == "<=", float(found[3].replace("_", "")))


def family_of(constraints: Sequence[Constraint], chosen: str | None) -> str:
    """The FPGA family whose area is estimated: the chosen one, or that of the board, or ``xc7``.

    Raises
    ------
    ExploreError
        If boards of several families are asked for, or of another one.
    """
    boards = [c.board for c in constraints if isinstance(c, Fits)]
    named = [chosen] if chosen is not None else []
    families = list(dict.fromkeys(named + [board.part.family for board in boards]))
    if len(families) > 1:
        names = ", ".join(f"{board.name} ({board.part.family})" for board in boards)
        raise ExploreError(
            f"one exploration is of one FPGA family, not of {' and '.join(families)}; "
            f"choose --family by the boards that must fit: {names}"
        )
    return families[0] if families else "xc7"
