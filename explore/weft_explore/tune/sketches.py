"""The schedules that a layer can have: sketches from its loops and operands by rules, and their sizes.

From the loops, and from which of them each operand's tile depends on, alone:

1. every loop is cut into tiles as equal as possible, or not at all (`tiling.even_splits`);
2. the loops over tiles stand in any order;
3. an operand's buffer is inside a loop that moves it, or outside all loops, and everything that it needs there stays in
   its scratchpad; the accumulators stay outside the loops of the sum, so products may go over several tiles of results;
4. the innermost loop moves some operand: what moves none is part of the product;
5. a buffer that is filled more than once has one copy, or two, so that it is filled while the other one is used;
6. the epilogue has the parameters of all channels, or those of the results that it stores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray
from weft_compiler.conv_task import ConvTask
from weft_compiler.tiling import (
    OPERAND_LOOPS,
    OPERANDS,
    PLACED,
    REDUCTION,
    Tiling,
    buffer_tiles,
    even_splits,
    extents,
    footprint,
)
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Memory, scratchpad_depth

TRIES = 10_000
"""Draws of a random schedule before a layer is said to have none that fits."""


def levels(order: tuple[str, ...], memory: Memory) -> list[int]:
    """Rules 3 and 6: how many loops an operand's buffer can be inside of."""
    sums = next((k for k, loop in enumerate(order) if loop in REDUCTION), len(order))
    most = sums if memory in (Memory.ACC, Memory.PARAM) else len(order)
    return [0, *(k + 1 for k in range(most) if order[k] in OPERAND_LOOPS[memory])]


@lru_cache(maxsize=1 << 14)
def _placements(order: tuple[str, ...], has_parameters: bool) -> NDArray[np.int8]:
    found = [
        (*operands, param)
        for operands in product(*(levels(order, memory) for memory in OPERANDS))
        if max(operands) == len(order)
        for param in (levels(order[: operands[-1]], Memory.PARAM) if has_parameters else [0])
    ]
    return np.array(found, np.int8)


@dataclass(frozen=True)
class Sketches:
    """The space of one layer on one accelerator."""

    task: ConvTask
    config: AcceleratorConfig

    @cached_property
    def extents(self) -> dict[str, int]:
        return extents(self.task)

    @cached_property
    def sizes(self) -> dict[str, list[int]]:
        """Rule 1: the tile sizes of each loop, largest first; images one at a time."""
        return {loop: even_splits(size) if loop != "n" else [1] for loop, size in self.extents.items()}

    @property
    def has_parameters(self) -> bool:
        """Whether where parameters are is a choice: those of pixels are with their rows."""
        return self.task.requantisation is not None and not self.task.pixel_parameters

    def placements(self, order: tuple[str, ...]) -> NDArray[np.int8]:
        """Rules 3, 4 and 6: all levels for one order, a column for each of `PLACED`."""
        return _placements(order, self.has_parameters)

    def tiling(
        self,
        order: tuple[str, ...],
        tiles: Mapping[str, int],
        placement: NDArray[np.int8],
        slots: Mapping[Memory, int],
    ) -> Tiling:
        """One schedule, without what does not matter: copies of what is filled once."""
        levels = dict(zip(PLACED, placement.tolist(), strict=True))
        used = {memory: slots[memory] if levels[memory] else 1 for memory in OPERANDS}
        return Tiling(
            order=order,
            extents=self.extents,
            tiles={loop: tiles[loop] for loop in self.extents},
            levels=levels,
            slots=used,
        )

    def fits(self, tiling: Tiling) -> bool:
        """Whether all buffers have room."""
        for memory in OPERANDS:
            if buffer_tiles(self.task, tiling, memory) * tiling.slots[memory] > scratchpad_depth(memory, self.config):
                return False
        return not self.has_parameters or buffer_tiles(self.task, tiling, Memory.PARAM) <= self.config.param_depth

    def contains(self, tiling: Tiling) -> bool:
        """Whether it is one of the space, as `enumerate` and `sample` give it."""
        loops = tuple(loop for loop in self.extents if tiling.tiles[loop] < self.extents[loop])
        known = sorted(tiling.order) == sorted(loops) and all(tiling.tiles[k] in self.sizes[k] for k in loops)
        if not known or [tiling.levels[memory] for memory in PLACED] not in self.placements(tiling.order).tolist():
            return False
        return self.fits(tiling) and all(tiling.slots[m] == 1 or tiling.levels[m] for m in OPERANDS)

    def sample(self, rng: np.random.Generator) -> Tiling:
        """A schedule at random.

        Raises
        ------
        ValueError
            If none that fits is found.
        """
        for _ in range(TRIES):
            tiles = {loop: sizes[int(rng.integers(len(sizes)))] for loop, sizes in self.sizes.items()}
            found = self.completed(tiles, rng)
            if found is not None:
                return found
        raise ValueError(f"no schedule of {TRIES} at random fits the scratchpads; enlarge them")

    def completed(self, tiles: Mapping[str, int], rng: np.random.Generator) -> Tiling | None:
        """A schedule of these tiles with all else at random; None if it does not fit."""
        loops = [loop for loop in self.extents if tiles[loop] < self.extents[loop]]
        order = tuple(loops[k] for k in rng.permutation(len(loops)))
        choices = self.placements(order)
        chosen = choices[int(rng.integers(len(choices)))]
        slots = {memory: int(rng.integers(1, 3)) for memory in OPERANDS}
        made = self.tiling(order, tiles, chosen, slots)
        return made if self.fits(made) else None

    def enumerate(self, tile_sizes: Mapping[str, list[int]] | None = None) -> Iterator[Tiling]:
        """All schedules that fit, with these tile sizes only if some are given."""
        sizes = tile_sizes or self.sizes
        for chosen in product(*(sizes[loop] for loop in self.extents)):
            tiles = dict(zip(self.extents, chosen, strict=True))
            loops = [loop for loop in self.extents if tiles[loop] < self.extents[loop]]
            least = footprint(self.task, tiles)
            if any(least[memory] > scratchpad_depth(memory, self.config) for memory in OPERANDS):
                continue
            for order in permutations(loops):
                yield from self._placed(order, tiles)

    def _placed(self, order: tuple[str, ...], tiles: dict[str, int]) -> Iterator[Tiling]:
        for placement in self.placements(order):
            moving = [memory for memory, level in zip(OPERANDS, placement, strict=False) if level]
            for counts in product((2, 1), repeat=len(moving)):
                slots = dict.fromkeys(OPERANDS, 1) | dict(zip(moving, counts, strict=True))
                made = self.tiling(order, tiles, placement, slots)
                if self.fits(made):
                    yield made
