"""Convolutions as problems of a search: schedules changed and crossed, their features, and what measures them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from weft_compiler.accel.plain import smaller
from weft_compiler.conv_task import ConvTask
from weft_compiler.errors import CompileError
from weft_compiler.tasks import layer_key, without_numbers
from weft_compiler.tiling import OPERANDS, PLACED, Tiling, buffer_tiles, tiling_from_json
from weft_compiler.tiling_cost import estimate
from weft_compiler.tiling_search import choose_tiling
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Memory, scratchpad_depth
from weft_runtime.device import Device
from weft_runtime.errors import DeadlockError, FaultError, TokenError
from weft_simulator.tsim.model import MemoryTiming

from .layer_run import LayerRun
from .pieces import LOOPS
from .problem import Json, Measured
from .sketches import Sketches
from .timed_conv import TimedConv

TRIES = 50
"""Changes at random that are tried before a schedule is left as it is."""


class ConvProblem:
    """A convolution, a dense layer or a product of matrices, on one accelerator: a `problem.Problem` of tilings.

    Parameters
    ----------
    task : ConvTask
        Numbers of its requantisation do not matter.
    memory : MemoryTiming, optional
        Of the timing model, which measures if no device is given.
    device : Device, optional
        What measures instead: any that counts cycles. Each schedule is compiled for it.
    name : str, optional
        For people; the shape if left out.
    weight : int
        How often the network has it.
    threads : int
        In which the timing model measures: most of it is compiled code. Results do not depend on them.
    """

    def __init__(
        self,
        task: ConvTask,
        config: AcceleratorConfig,
        memory: MemoryTiming | None = None,
        *,
        device: Device | None = None,
        name: str | None = None,
        weight: int = 1,
        threads: int = 1,
    ) -> None:
        self.task, self.config, self.weight = without_numbers(task), config, weight
        self.layer = layer_key(task)
        self.key = f"{self.layer}@{config.digest}"
        self.name = name or shape_of(task)
        plain = self.task.requantisation is None and not config.raw_store
        # What the compiler lowers such a layer for.
        self.sketches = Sketches(self.task, smaller(config) if plain else config)
        self._timed = TimedConv(self.task, config, memory)
        self._run = None if device is None else LayerRun(self._timed, device)
        self._threads = threads if self.is_quick else 1
        self._known: dict[Tiling, Measured] = {}

    @property
    def default(self) -> Tiling:
        return self._default

    @cached_property
    def _default(self) -> Tiling:
        return choose_tiling(self.task, self.sketches.config)

    @property
    def is_quick(self) -> bool:
        """Whether schedules are measured without compiling them."""
        return self._run is None and self._timed.is_direct

    @property
    def size(self) -> int | None:
        return None

    def enumerate(self) -> Iterator[Tiling]:
        return self.sketches.enumerate()

    def from_json(self, data: Json) -> Tiling:
        try:
            found = tiling_from_json(self.task, data)
        except CompileError as error:
            raise ValueError(str(error)) from None
        if not self.sketches.fits(found):
            raise ValueError(f"its buffers do not fit the scratchpads of layer {self.name}")
        return found

    # Candidates ------------------------------------------------------------------------------------------------

    def sample(self, rng: np.random.Generator) -> Tiling:
        return self.sketches.sample(rng)

    def mutate(self, candidate: Tiling, rng: np.random.Generator) -> Tiling:
        for _ in range(TRIES):
            made = self._changed(candidate, rng)
            if made != candidate and self.sketches.fits(made):
                return made
        return candidate

    def _changed(self, t: Tiling, rng: np.random.Generator) -> Tiling:
        """One thing otherwise: a tile size, an order, a level or a count of copies."""
        tiles, order, levels, slots = dict(t.tiles), list(t.order), t, dict(t.slots)
        kind = int(rng.integers(8))
        if kind < 4 or len(order) < 2 <= kind <= 5:
            loops = [k for k, sizes in self.sketches.sizes.items() if len(sizes) > 1] or ["oc"]
            loop = loops[int(rng.integers(len(loops)))]
            sizes = self.sketches.sizes[loop]
            place = sizes.index(tiles[loop])
            step = int(rng.choice([-1, 1])) if rng.random() < 0.6 else int(rng.integers(len(sizes))) - place
            tiles[loop] = sizes[min(max(place + step, 0), len(sizes) - 1)]
        elif kind < 6:
            a, b = rng.choice(len(order), 2, replace=False)
            order.insert(int(b), order.pop(int(a)))
        elif kind == 6:
            choices = self.sketches.placements(t.order)
            chosen = choices[int(rng.integers(len(choices)))]
            return self.sketches.tiling(t.order, tiles, chosen, slots)
        else:
            memory = OPERANDS[int(rng.integers(3))]
            slots[memory] = 3 - slots[memory]
        return self._fitted(tiles, order, levels, slots, rng)

    def cross(self, a: Tiling, b: Tiling, rng: np.random.Generator) -> Tiling:
        for _ in range(TRIES):
            first, second = (a, b) if rng.random() < 0.5 else (b, a)
            tiles = {k: (a if rng.random() < 0.5 else b).tiles[k] for k in a.tiles}
            slots = {m: (a if rng.random() < 0.5 else b).slots[m] for m in OPERANDS}
            order = [*first.order, *(k for k in second.order if k not in first.order)]
            made = self._fitted(tiles, order, second, slots, rng)
            if self.sketches.fits(made):
                return made
        return a

    def _fitted(
        self,
        tiles: Mapping[str, int],
        order: Sequence[str],
        placed: Tiling,
        slots: Mapping[Memory, int],
        rng: np.random.Generator,
    ) -> Tiling:
        """A schedule with the loops that iterate, its operands at the loops where another one has them."""
        loops = [k for k in order if tiles[k] < self.sketches.extents[k]]
        for loop in self.sketches.extents:
            if tiles[loop] < self.sketches.extents[loop] and loop not in loops:
                loops.insert(int(rng.integers(len(loops) + 1)), loop)
        made = tuple(loops)
        choices = self.sketches.placements(made)
        innermost = ("", *made)
        wanted = [("", *placed.order)[placed.levels[memory]] for memory in PLACED]
        alike = (choices == [innermost.index(loop) if loop in innermost else -1 for loop in wanted]).sum(axis=1)
        best = np.flatnonzero(alike == alike.max())
        return self.sketches.tiling(made, tiles, choices[best[int(rng.integers(len(best)))]], slots)

    # Numbers ---------------------------------------------------------------------------------------------------

    def features(self, candidates: Sequence[Tiling]) -> NDArray[np.float64]:
        """Of each schedule: tiles, trips and places of the loops; of each operand its level, fills, tiles, share of the
        scratchpad, and copies; and the cycles of units as the analytic model counts them. Counts are logarithms."""
        of_loops = [[self._of_loop(t, loop) for loop in LOOPS] for t in candidates]
        of_memories = [[self._of_memory(t, memory) for memory in PLACED] for t in candidates]
        copies = [[t.slots[memory] for memory in OPERANDS] for t in candidates]
        loops, memories = np.array(of_loops, np.float64), np.array(of_memories, np.float64)
        loops[..., :2], memories[..., 1:3] = np.log2(loops[..., :2]), np.log2(memories[..., 1:3])
        cost = estimate(self.task, candidates, self.sketches.config)
        units = np.log2(1 + np.stack(np.broadcast_arrays(cost.compute, cost.load, cost.store, cost.cycles), axis=1))
        count = len(candidates)
        return np.hstack([loops.reshape(count, -1), memories.reshape(count, -1), copies, units])

    @staticmethod
    def _of_loop(t: Tiling, loop: str) -> tuple[int, int, int]:
        return t.tiles[loop], t.trips(loop), t.order.index(loop) - len(t.order) if loop in t.order else 0

    def _of_memory(self, t: Tiling, memory: Memory) -> tuple[float, ...]:
        need, depth = buffer_tiles(self.task, t, memory), max(1, scratchpad_depth(memory, self.sketches.config))
        return t.levels[memory], t.executions(memory), need, need * t.slots.get(memory, 1) / depth

    def estimate(self, candidates: Sequence[Tiling]) -> NDArray[np.float64]:
        return estimate(self.task, candidates, self.sketches.config).cycles

    def measure(self, candidates: Sequence[Tiling]) -> list[Measured]:
        new = [candidate for candidate in dict.fromkeys(candidates) if candidate not in self._known]
        if self._threads == 1:
            self._known.update((candidate, self._measured(candidate)) for candidate in new)
        else:
            with ThreadPoolExecutor(self._threads) as pool:
                self._known.update(zip(new, pool.map(self._measured, new), strict=True))
        return [self._known[candidate] for candidate in candidates]

    def _measured(self, candidate: Tiling) -> Measured:
        try:
            return self._timed.cycles(candidate) if self._run is None else self._run.cycles(candidate)
        except (CompileError, FaultError, DeadlockError, TokenError) as error:
            # Of the schedule; a device that is gone says nothing of schedules.
            return str(error)


def shape_of(task: ConvTask) -> str:
    """A convolution in few words, channels in blocks.

    >>> shape_of(ConvTask(ic=4, oc=8, ih=56, iw=56, kh=3, kw=3, stride=(2, 2), pads=(1, 1, 1, 1)))
    '3×3 /2, 56×56, 4→8'
    """
    groups = f", {task.groups} groups" if task.groups > 1 else ""
    images = f"{task.n} × " if task.n > 1 else ""
    stride = f" /{task.stride[0]}" if task.stride[0] > 1 else ""
    return f"{task.kh}×{task.kw}{stride}, {images}{task.ih}×{task.iw}, {task.ic}→{task.oc}{groups}"
