"""What a tile program does, as numpy columns: the form between the ``accel`` dialect and encoded instructions.

A *step* is one iteration of the whole loop nest. Columns are int64 arrays with one entry for each step at which the
operation runs, or plain integers where nothing varies.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray
from weft_hardware.isa import Memory

Column = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """One DMA operation: a box of a DRAM tensor to or from the front of a scratchpad slot, where it lies dense.

    Parameters
    ----------
    memory : Memory
        INP or WGT (load), ACC (store).
    level : int
        Loops that enclose the operation, counted from the outermost.
    shape : tuple of int
        The tensor in DRAM, in tiles, row-major.
    offsets, sizes : tuple of Column
        The box, dimension by dimension, over the executions of the operation. Parts outside the tensor are zero.
    slots, slot_tiles : int
        Slots used in turn, and the distance between them in tiles.
    """

    memory: Memory
    level: int
    shape: tuple[int, ...]
    offsets: tuple[Column, ...]
    sizes: tuple[Column, ...]
    slots: int
    slot_tiles: int


@dataclass(frozen=True, kw_only=True)
class Contraction:
    """The tile product of every step, ``acc[dst·i] += inp[src·i] · wgt[wgt·i]ᵀ`` over a box of iterations.

    Parameters
    ----------
    bounds : tuple of Column
        Iterations of each dimension, step by step.
    dst, src, wgt : tuple of Column
        Scratchpad tiles by which one iteration of each dimension moves each operand.
    """

    bounds: tuple[Column, ...]
    dst: tuple[Column, ...]
    src: tuple[Column, ...]
    wgt: tuple[Column, ...]


@dataclass(frozen=True, kw_only=True)
class Streams:
    """A whole tile program: loads, the contraction of every step, the store of every finished tile."""

    trips: tuple[int, ...]
    loads: tuple[Transfer, ...]
    contraction: Contraction
    store: Transfer

    @property
    def steps(self) -> int:
        return prod(self.trips)

    def executions(self, transfer: Transfer) -> int:
        """How often a transfer runs."""
        return prod(self.trips[: transfer.level])

    def steps_between(self, transfer: Transfer) -> int:
        """Steps from one execution of a transfer to the next."""
        return prod(self.trips[transfer.level :])

    def slot_base(self, transfer: Transfer) -> Column:
        """First scratchpad tile of the slot that each step uses."""
        execution = np.arange(self.steps) // self.steps_between(transfer)
        return execution % transfer.slots * transfer.slot_tiles
