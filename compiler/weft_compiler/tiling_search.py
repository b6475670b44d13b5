"""The schedule that the compiler chooses for a convolution: the cheapest by estimate of many tiles and orders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Memory, scratchpad_depth

from .conv_task import ConvTask
from .errors import CompileError
from .tiling import (
    LOADED,
    OPERAND_LOOPS,
    OPERANDS,
    REDUCTION,
    Tiling,
    even_splits,
    extents,
    footprint,
    image_size,
    image_span,
    parameter_level,
    used_share,
)
from .tiling_cost import Buffers, cost_of

PIXELS_FIRST = ("n", "g", "y", "x", "oc", *REDUCTION)
CHANNELS_FIRST = ("g", "oc", "n", "y", "x", *REDUCTION)

Levels = Mapping[Memory, int]
Columns = NDArray[np.int64]


class _Search:
    """All choices of tiles with one cut of the kernel, in columns, one entry a choice."""

    def __init__(self, task: ConvTask, config: AcceleratorConfig, kernel: tuple[int, int], slot_count: int) -> None:
        self.task, self.config, self.slot_count = task, config, slot_count
        self.extents = extents(task)
        axes = {loop: even_splits(self.extents[loop]) for loop in ("g", "oc", "y", "x", "ic")}
        # Sizes that alone overflow a scratchpad would only make the table larger.
        most = min(config.acc_depth, config.wgt_depth)
        if task.requantisation is not None:
            most = min(most, config.param_depth)
        axes["g"] = [s for s in axes["g"] if s <= min(most, config.inp_depth)] or [1]
        axes["oc"] = [s for s in axes["oc"] if s <= most] or [1]
        axes["ic"] = [s for s in axes["ic"] if s <= min(config.inp_depth, config.wgt_depth)] or [1]
        grid = np.meshgrid(*(np.array(sizes, np.int64) for sizes in axes.values()), indexing="ij")
        tiles = {loop: values.reshape(-1) for loop, values in zip(axes, grid, strict=True)}
        count = len(tiles["oc"])
        fixed = {"n": 1, "ky": kernel[0], "kx": kernel[1]}
        tiles |= {loop: np.full(count, size, np.int64) for loop, size in fixed.items()}
        need = footprint(task, tiles)
        fits = np.logical_and.reduce([need[m] <= scratchpad_depth(m, config) for m in need])
        self.tiles = {loop: values[fits] for loop, values in tiles.items()}
        self.trips = {loop: -(-self.extents[loop] // values) for loop, values in self.tiles.items()}
        self.count = int(fits.sum())

    def fills(self, memory: Memory, order: tuple[str, ...]) -> Columns:
        """How often an operand's buffer inside these loops is moved: see `Tiling.executions`."""
        moved = iterations = np.ones(self.count, np.int64)
        for loop in order:
            iterations = iterations * self.trips[loop]
            if loop in OPERAND_LOOPS[memory]:
                moved = np.where(self.trips[loop] > 1, iterations, moved)
        return moved

    def sizes(self, around: tuple[str, ...]) -> dict[str, Columns | int]:
        """What the loops inside these cover together."""
        return {loop: self.tiles[loop] if loop in around else size for loop, size in self.extents.items()}

    def cost(self, order: tuple[str, ...], levels: Levels) -> NDArray[np.float64]:
        """Estimated cycles, infinite where buffers do not fit, or where no operand moves in the innermost loop."""
        around = {memory: order[: levels[memory]] for memory in OPERANDS}
        fills = {memory: self.fills(memory, around[memory]) for memory in OPERANDS}
        tiles = {m: footprint(self.task, self.sizes(around[m]))[m] for m in (Memory.WGT, Memory.ACC)}
        columns, tiles[Memory.INP] = self._image(around[Memory.INP])
        stored = self.sizes(around[Memory.ACC])
        fits = np.ones(self.count, bool)
        for memory in OPERANDS:
            copies = np.minimum(fills[memory], self.slot_count)
            fits &= copies * tiles[memory] <= scratchpad_depth(memory, self.config)
        if self.task.requantisation is not None and not self.task.pixel_parameters:
            fits &= stored["g"] * stored["oc"] * self.task.parameters <= self.config.param_depth
        innermost = max(levels.values())
        for loop in order[innermost:]:
            fits &= self.trips[loop] == 1
        buffers = Buffers(
            tiles=tiles,
            fills=fills,
            shares={m: used_share(m, around[m], self.extents, self.tiles) for m in LOADED},
            stored=stored,
            columns=columns,
            cuts_rows=self.trips["x"] > 1 if "x" in around[Memory.INP] else False,
            single={m: fills[m] > 1 if self.slot_count == 1 else False for m in OPERANDS},
        )
        return np.where(fits, cost_of(self.task, buffers, self.config).cycles, np.inf)

    def _image(self, around: tuple[str, ...]) -> tuple[Any, Any]:
        """Columns of the image in one buffer, and its tiles: see `tiling.buffer_sizes`."""
        sizes = self.sizes(around)
        sizes |= {k: self.trips[k] * self.tiles[k] for k in ("y", "x", "ky", "kx") if k not in around}
        rows, columns = (
            np.minimum(span, whole)
            for span, whole in zip(image_span(self.task, sizes), image_size(self.task), strict=True)
        )
        return columns, sizes["n"] * sizes["g"] * sizes["ic"] * rows * columns

    @cached_property
    def costs(self) -> list[tuple[tuple[str, ...], Levels, NDArray[np.float64]]]:
        """Of all orders and levels."""
        return [(order, levels, self.cost(order, levels)) for order, levels in _orders()] if self.count else []

    def best(self, count: int) -> list[Tiling]:
        """The cheapest choices, best first; fewer if fewer fit."""
        found: dict[Tiling, Tiling] = {}
        for order, levels, cost in self.costs:
            for k in [cost.argmin()] if count == 1 else np.argsort(cost, kind="stable")[:count]:
                if cost[k] < np.inf:
                    made = replace(self._tiling(order, levels, int(k)), cycles=float(cost[k]))
                    found.setdefault(made, made)
        # Of equals the first: as orders and columns have them.
        return sorted(found, key=lambda tiling: tiling.cycles)[:count]

    def _tiling(self, order: tuple[str, ...], levels: Levels, k: int) -> Tiling:
        """One entry as a schedule: without loops that do not iterate."""
        tiles = {loop: int(values[k]) for loop, values in self.tiles.items()}
        loops = tuple(loop for loop in order if tiles[loop] < self.extents[loop])
        inside = {memory: order[: levels[memory]] for memory in OPERANDS}
        level = {m: _level(loops, [loop for loop in inside[m] if loop in OPERAND_LOOPS[m]]) for m in OPERANDS}
        slots = {m: self.slot_count if level[m] else 1 for m in OPERANDS}
        level[Memory.PARAM] = parameter_level(self.task, loops[: level[Memory.ACC]], tiles, self.config)
        return Tiling(order=loops, extents=self.extents, tiles=tiles, levels=level, slots=slots)


def _level(order: tuple[str, ...], loops: list[str]) -> int:
    """How many loops are around the innermost of these, itself included."""
    return max((k + 1 for k, loop in enumerate(order) if loop in loops), default=0)


def _orders() -> Iterator[tuple[tuple[str, ...], Levels]]:
    """Orders of the loops, and inside which of them each operand's buffer is."""
    for order in (CHANNELS_FIRST, PIXELS_FIRST):
        innermost = {memory: _level(order, list(OPERAND_LOOPS[memory])) for memory in OPERANDS}
        yield order, innermost
        # Results of several loads of the image leave together.
        channels = 0 if order is PIXELS_FIRST else _level(order, ["oc"])
        yield order, {Memory.INP: _level(order, ["x"]), Memory.WGT: channels, Memory.ACC: _level(order, ["y"])}
    # All channels of some pixels stay for all results.
    yield PIXELS_FIRST, innermost | {Memory.INP: _level(PIXELS_FIRST, ["x"])}


_search = lru_cache(maxsize=32)(_Search)
"""Whoever asks for more schedules than the first mostly does so after all layers of a network have theirs."""


@lru_cache(maxsize=4096)
def choose_tiling(task: ConvTask, config: AcceleratorConfig) -> Tiling:
    """The cheapest schedule by estimated cycles; double-buffered wherever that fits.

    The kernel is cut only if no schedule with the whole kernel fits.

    Raises
    ------
    CompileError
        If not even a single pixel fits the scratchpads.
    """
    return likely_tilings(task, config, 1)[0]


def likely_tilings(task: ConvTask, config: AcceleratorConfig, count: int) -> list[Tiling]:
    """The schedules among which `choose_tiling` takes the first, by estimated cycles; at least one, at most ``count``.

    Raises
    ------
    CompileError
        As `choose_tiling`.
    """
    for kernel in dict.fromkeys([(task.kh, task.kw), (1, task.kw), (1, 1)]):
        for slot_count in (2, 1):
            tilings = _search(task, config, kernel, slot_count).best(count)
            if tilings:
                return tilings
    raise CompileError(
        f"convolution {task.kh}×{task.kw} of {task.ih}×{task.iw} has no tile that fits scratchpads of "
        f"{config.inp_depth} inputs, {config.wgt_depth} weights and {config.acc_depth} accumulators; enlarge them"
    )
