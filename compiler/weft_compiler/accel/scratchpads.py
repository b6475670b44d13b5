"""Where the buffers of a loop nest lie in the scratchpads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Memory, scratchpad_depth

from ..errors import CompileError
from ..te.nest import Buffer
from .columns import Column

SCOPES: Mapping[str, Memory] = {
    "inp": Memory.INP,
    "wgt": Memory.WGT,
    "acc": Memory.ACC,
    "param": Memory.PARAM,
    "table": Memory.TABLE,
}
"""The scratchpad that each scope of a buffer names."""


@dataclass(frozen=True)
class Wanted:
    """A buffer with the copies that it needs.

    Parameters
    ----------
    tiles : int
        Of one copy.
    copies : int
        Slots used in turn, times the virtual threads that have slots of their own.
    scope : tuple of int
        Where in the nest it lives: buffers of which neither's scope begins with the other's never live together.
    """

    buffer: Buffer
    tiles: int
    copies: int
    scope: tuple[int, ...]

    @property
    def memory(self) -> Memory:
        return SCOPES[self.buffer.scope]


@dataclass(frozen=True)
class Copies:
    """Where a buffer lies: ``tiles`` from each of ``starts`` on, the copies in the order of their use."""

    memory: Memory
    tiles: int
    starts: tuple[int, ...]


def place(wanted: Iterable[Wanted], config: AcceleratorConfig) -> dict[Buffer, Column]:
    """The first tile of every copy of every buffer.

    Copies of accumulators are spread over both banks, so that a store can read one while the other is worked on.

    Raises
    ------
    CompileError
        If a scratchpad is too small.
    """
    found: dict[Buffer, Column] = {}
    for memory in SCOPES.values():
        of_memory = [w for w in wanted if w.memory is memory]
        if of_memory:
            found |= _place(of_memory, scratchpad_depth(memory, config), banks=2 if memory is Memory.ACC else 1)
    return found


def _place(wanted: list[Wanted], size: int, banks: int) -> dict[Buffer, Column]:
    for shares in (False, True):
        for bank_count in dict.fromkeys((banks, 1)):
            found = _first_fit(wanted, size, bank_count, shares)
            if found is not None:
                return found
    needs = " + ".join(f"{w.buffer.name} {w.tiles}" + (f" × {w.copies}" if w.copies > 1 else "") for w in wanted)
    raise CompileError(
        f"scratchpad {wanted[0].buffer.scope} holds {size} tiles, {sum(w.tiles * w.copies for w in wanted)} are needed "
        f"({needs}); use smaller tiles or fewer slots"
    )


def _live_together(a: Wanted, b: Wanted) -> bool:
    short = min(len(a.scope), len(b.scope))
    return a.scope[:short] == b.scope[:short]


def _first_fit(wanted: list[Wanted], size: int, banks: int, shares: bool) -> dict[Buffer, Column] | None:
    """Every copy at the lowest free place of its bank, None if one finds none."""
    placed: list[tuple[Wanted, int]] = []
    starts: dict[Buffer, list[int]] = {}
    # Where a bank begins: copies are dealt out to banks in turn.
    edges = [size * bank // banks for bank in range(banks + 1)]
    for w in wanted:
        for copy in range(w.copies):
            bank = copy % banks if w.copies > 1 else 0
            low, high = edges[bank], edges[bank + 1] if w.copies > 1 else size
            taken = sorted(
                (first, first + other.tiles) for other, first in placed if not shares or _live_together(w, other)
            )
            start = low
            for first, end in taken:
                if first < start + w.tiles and start < end:
                    start = end
            if start + w.tiles > high:
                return None
            placed.append((w, start))
            starts.setdefault(w.buffer, []).append(start)
    return {buffer: np.array(values, np.int64) for buffer, values in starts.items()}
