"""Offsets for buffers of known lifetimes in one region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Memory, instruction_bytes, tile_bytes


def alignment_of(config: AcceleratorConfig) -> int:
    """Bytes at whose multiples every buffer starts: any tile, any instruction, any cache line."""
    return max(64, instruction_bytes(config), *(tile_bytes(memory, config) for memory in Memory))


@dataclass(frozen=True)
class Lifetime:
    """Bytes that are needed from step ``first`` to step ``last``, both included."""

    nbytes: int
    first: int
    last: int


def round_up(value: int, alignment: int) -> int:
    return -(-value // alignment) * alignment


def place_lifetimes(lifetimes: Sequence[Lifetime], alignment: int, start: int = 0) -> tuple[list[int], int]:
    """Offsets in which no two lifetimes that meet overlap, and the region's end.

    Greedy by size: the largest first, each at the lowest offset that is free for its whole life.
    """
    offsets = [0] * len(lifetimes)
    placed: list[int] = []
    end = round_up(start, alignment)
    for k in sorted(range(len(lifetimes)), key=lambda k: -lifetimes[k].nbytes):
        life = lifetimes[k]
        offset = round_up(start, alignment)
        for other in sorted(placed, key=lambda other: offsets[other]):
            met = lifetimes[other].first <= life.last and life.first <= lifetimes[other].last
            if met and offsets[other] < offset + life.nbytes:
                offset = max(offset, round_up(offsets[other] + lifetimes[other].nbytes, alignment))
        offsets[k] = offset
        placed.append(k)
        end = max(end, offset + life.nbytes)
    return offsets, round_up(end, alignment)
