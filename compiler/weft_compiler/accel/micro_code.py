"""Which micro-ops lie where in DRAM and in the micro-op buffer, and the LOADs that bring them."""

from __future__ import annotations

from bisect import bisect
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import pack_uops

from .columns import Column
from .dma import MAX_SIZE


@dataclass
class MicroKernels:
    """The micro-op lists of a program; equal ones are kept once.

    Parameters
    ----------
    capacity : int
        Longest list: what the buffer holds and one LOAD brings.
    """

    config: AcceleratorConfig
    lists: list[NDArray[np.int64]] = field(default_factory=list)
    _known: dict[bytes, int] = field(default_factory=dict)

    @property
    def capacity(self) -> int:
        return min(self.config.uop_depth, MAX_SIZE)

    def add(self, uops: NDArray[np.int64]) -> int:
        """The number of a list, rows of dst, src and wgt."""
        key = uops.tobytes()
        if key not in self._known:
            self._known[key] = len(self.lists)
            self.lists.append(uops)
        return self._known[key]

    @property
    def sizes(self) -> Column:
        return np.array([len(part) for part in self.lists], np.int64)

    def encoded(self) -> NDArray:
        """All lists one after another, as they lie in DRAM."""
        if not self.lists:
            return pack_uops(self.config, *np.zeros((3, 0), np.int64))
        return pack_uops(self.config, *np.concatenate(self.lists).T)


@dataclass(frozen=True)
class Residency:
    """What the micro-op buffer holds while a program runs.

    Parameters
    ----------
    begin : Column
        Where each use finds its list in the buffer.
    before : Column
        The uses before which a list has to be loaded.
    dram, sram, size : Column
        What those LOADs bring, in micro-ops.
    """

    begin: Column
    before: Column
    dram: Column
    sram: Column
    size: Column


def residency(sizes: Column, uses: Column, capacity: int) -> Residency:
    """Place the lists in the buffer: all at once if they fit, otherwise the least recently used makes room.

    Parameters
    ----------
    sizes : Column
        Micro-ops of the lists, which lie one after another in DRAM.
    uses : Column
        The lists that the compute queue runs, in order.
    capacity : int
        What the buffer holds and one LOAD brings.
    """
    place = np.cumsum(sizes) - sizes
    total = int(sizes.sum())
    if total <= capacity:
        one = np.zeros(min(total, 1), np.int64)
        return Residency(place[uses], one, one, one, one + total)
    return _least_recently_used(uses, sizes, place, capacity)


def _least_recently_used(uses: Column, sizes: Column, place: Column, capacity: int) -> Residency:
    buffer, begin = _Buffer(capacity), np.zeros_like(uses)
    loads: list[tuple[int, int, int, int]] = []
    turns = np.flatnonzero(np.diff(uses, prepend=-1))
    for turn in turns.tolist():
        which = int(uses[turn])
        start = buffer.used(which)
        if start is None:
            size = int(sizes[which])
            start = buffer.put(which, size)
            loads.append((turn, int(place[which]), start, size))
        begin[turn] = start
    begin = begin[turns][np.cumsum(np.diff(uses, prepend=-1) != 0) - 1]
    before, dram, sram, size = np.array(loads, np.int64).reshape(-1, 4).T
    return Residency(begin, before, dram, sram, size)


class _Buffer:
    """Which lists the buffer holds, least recently used first, and the gaps between them, by place."""

    def __init__(self, capacity: int) -> None:
        self._held: OrderedDict[int, tuple[int, int]] = OrderedDict()
        self._gaps = [(0, capacity)]

    def used(self, which: int) -> int | None:
        """Where a list is, if it is there."""
        if which not in self._held:
            return None
        self._held.move_to_end(which)
        return self._held[which][0]

    def put(self, which: int, size: int) -> int:
        """The first gap that is large enough, after dropping as many of the oldest lists as it takes."""
        while (k := next((k for k, (_, length) in enumerate(self._gaps) if length >= size), None)) is None:
            self._free(*self._held.popitem(last=False)[1])
        start, length = self._gaps[k]
        self._gaps[k : k + 1] = [(start + size, length - size)] if length > size else []
        self._held[which] = start, size
        return start

    def _free(self, start: int, size: int) -> None:
        """A list becomes a gap, one with those beside it."""
        k = bisect(self._gaps, (start,))
        if k < len(self._gaps) and self._gaps[k][0] == start + size:
            size += self._gaps.pop(k)[1]
        if k and sum(self._gaps[k - 1]) == start:
            k -= 1
            start, before = self._gaps.pop(k)
            size += before
        self._gaps.insert(k, (start, size))
