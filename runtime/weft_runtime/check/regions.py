"""Exact sets of scratchpad tiles and of DRAM bytes, as keys that index numpy arrays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Key = slice | NDArray[np.intp]
"""The elements of a set: ``array[key]`` reads and ``array[key] = value`` writes them all."""


Stretch = tuple[int, int]
"""Bytes ``[begin, end)`` of DRAM."""


@dataclass(frozen=True)
class Block:
    """Rows of bytes in DRAM: ``rows`` of ``length`` bytes, ``pitch`` bytes apart."""

    start: int
    length: int
    pitch: int
    rows: int

    @property
    def end(self) -> int:
        """One past the last byte."""
        return self.start + (self.rows - 1) * self.pitch + self.length

    @property
    def is_dense(self) -> bool:
        """Whether no gap lies between rows."""
        return self.rows == 1 or self.pitch <= self.length

    def meets(self, begin: int, end: int) -> bool:
        """Whether a byte of it lies in ``[begin, end)``."""
        if self.end <= begin or end <= self.start or begin >= end:
            return False
        if self.is_dense:
            return True
        # The first row that ends behind begin; rows behind it begin later still.
        row = max(0, -((self.start + self.length - 1 - begin) // self.pitch))
        return row < self.rows and self.start + row * self.pitch < end

    def meets_moved(self, distance: int) -> bool:
        """Whether it overlaps itself moved by so many bytes."""
        if self.is_dense:
            return abs(distance) < self.end - self.start
        nearest = -distance // self.pitch
        steps = range(max(nearest - 1, 1 - self.rows), min(nearest + 2, self.rows - 1) + 1)
        return any(abs(distance + step * self.pitch) < self.length for step in steps)

    def key(self, origin: int, granule: int) -> Key:
        """Its elements, where one stands for ``granule`` bytes from ``origin`` on; its edges lie between elements."""
        start, length, pitch = (self.start - origin) // granule, self.length // granule, self.pitch // granule
        if self.is_dense:
            return slice(start, start + (self.rows - 1) * pitch + length)
        return (start + np.arange(self.rows)[:, None] * pitch + np.arange(length)).reshape(-1)


def repeated(mask: int, step: int, count: int) -> int:
    """The union of a set, as a bit mask, and its copies moved by ``step``, ``2 · step``, … ``(count − 1) · step``."""
    done = 1
    while done < count and step:
        more = min(done, count - done)
        mask |= mask << more * step
        done += more
    return mask


@lru_cache(maxsize=1024)
def key_of(mask: int) -> Key:
    """The set bits of a mask that is not empty."""
    raw = np.frombuffer(mask.to_bytes(-(-mask.bit_length() // 8), "little"), np.uint8)
    found = np.flatnonzero(np.unpackbits(raw, bitorder="little"))
    first, last = int(found[0]), int(found[-1])
    return slice(first, last + 1) if last - first + 1 == found.size else found


def elements(key: Key) -> NDArray[np.intp]:
    """The indices that a key selects."""
    return np.arange(key.start, key.stop) if isinstance(key, slice) else key


def gaps(stretches: Iterable[Stretch], begin: int, end: int) -> list[Stretch]:
    """What stretches leave of ``[begin, end)``."""
    found = []
    for first, following in [*sorted(stretches), (end, end)]:
        if first > begin:
            found.append((begin, min(first, end)))
        begin = max(begin, following)
    return found
