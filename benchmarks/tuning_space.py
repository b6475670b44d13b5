"""Schedules of single layers on the timing model, memory latency 50: the compiler's own, the best found, the least possible.

*No schedule below*: cycles that products, reads or writes alone take. *Default*: the compiler's choice, untuned. *Best of
so many schedules*: of all divisor tilings × loop orders × placements that fit, the kernel whole, two copies of each
buffer that is filled more than once; where those are less than 5,000 also single copies, then others of
`explore/weft_explore/tune/sketches.py` at random up to 5,000. Each was measured unless its bound excludes it, and until
it was slower than the best. *Tuned*: `weft tune`'s search, 200 schedules. *Odd* shapes are sizes that divide badly or keep the memory busy, on
`vta` and five more. Percentages are above the best of the space. All spaces: `tuning_space.csv`.
"""  # noqa: E501

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from weft_compiler import CompileOptions
from weft_compiler.conv_task import ConvTask, Requantisation
from weft_compiler.errors import CompileError
from weft_compiler.tiling import Tiling, buffer_sizes
from weft_compiler.tiling_cost import least_cycles
from weft_explore.tune import pieces
from weft_explore.tune.conv_problem import ConvProblem, shape_of
from weft_explore.tune.network import layers_of
from weft_explore.tune.timed_conv import TimedConv
from weft_explore.tune.tuner import Tuning
from weft_hardware.isa import Memory, tile_bytes
from weft_hardware.presets import PRESETS, VTA
from weft_simulator.tsim.model import MemoryTiming

LATENCY = MemoryTiming(read_latency=50)
TRIALS = 200
"""Of a search."""
LEAST = 5000
"""Schedules of a space that is measured, where a layer has as many."""
X_SIZE, Y_SIZE = (pieces.FIELDS.index(name) for name in ("x_size", "y_size"))
Q = Requantisation()
ODD = (
    ConvTask(ic=1, oc=7, ih=1, iw=197, kh=1, kw=1, requantisation=Q),
    ConvTask(ic=63, oc=1, ih=1, iw=1, kh=1, kw=1, requantisation=Q),
    ConvTask(ic=13, oc=29, ih=1, iw=1, kh=1, kw=1, requantisation=Q),
    ConvTask(ic=32, oc=63, ih=1, iw=1, kh=1, kw=1),
    ConvTask(ic=48, oc=12, ih=1, iw=49, kh=1, kw=1, requantisation=Q),
    ConvTask(ic=3, oc=5, ih=1, iw=1000, kh=1, kw=1, requantisation=Q),
    ConvTask(ic=2, oc=2, ih=113, iw=113, kh=1, kw=1, requantisation=Q),
    ConvTask(ic=1, oc=6, ih=75, iw=75, kh=1, kw=1, requantisation=Q),
    ConvTask(ic=6, oc=1, ih=75, iw=75, kh=1, kw=1, requantisation=Q),
    ConvTask(ic=20, oc=20, ih=7, iw=7, kh=1, kw=1, requantisation=Q),
    ConvTask(ic=64, oc=16, ih=5, iw=5, kh=1, kw=1, requantisation=Q),
    ConvTask(ic=5, oc=9, ih=23, iw=37, kh=1, kw=1, stride=(2, 2), requantisation=Q),
    ConvTask(ic=1, oc=1, ih=97, iw=89, kh=3, kw=3, pads=(1, 1, 1, 1), requantisation=Q),
    ConvTask(ic=3, oc=7, ih=19, iw=31, kh=3, kw=3, pads=(1, 1, 1, 1), requantisation=Q),
    ConvTask(ic=11, oc=5, ih=13, iw=13, kh=3, kw=3, pads=(1, 1, 1, 1), requantisation=Q),
    ConvTask(ic=40, oc=3, ih=4, iw=4, kh=3, kw=3, pads=(1, 1, 1, 1), requantisation=Q),
    ConvTask(ic=2, oc=3, ih=27, iw=27, kh=5, kw=5, pads=(2, 2, 2, 2), requantisation=Q),
    ConvTask(ic=3, oc=2, ih=33, iw=33, kh=7, kw=1, pads=(3, 0, 3, 0), requantisation=Q),
    ConvTask(ic=2, oc=5, ih=35, iw=17, kh=3, kw=3, stride=(2, 2), pads=(1, 1, 1, 1), requantisation=Q),
    ConvTask(ic=4, oc=4, ih=29, iw=29, kh=3, kw=3, dilation=(2, 2), pads=(2, 2, 2, 2), requantisation=Q),
    ConvTask(groups=12, ic=1, oc=1, ih=15, iw=15, kh=3, kw=3, pads=(1, 1, 1, 1), requantisation=Q),
)
CONFIGS = {
    "ultra96": PRESETS["ultra96"],
    "half the scratchpads": replace(VTA, inp_depth=1024, wgt_depth=512, acc_depth=1024),
    "AXI 32 bytes": replace(VTA, axi_data_bits=256),
    "two lanes": replace(VTA, epilogue_lanes=2),
    "one read in flight": replace(VTA, reads_in_flight=1),
}


def bounds(problem: ConvProblem, space: Sequence[Tiling]) -> NDArray[np.float64]:
    """Cycles of the busiest unit, which a schedule cannot go below: all store the same results, once each."""
    return np.maximum(least_cycles(problem.task, problem.config), [reads(problem, tiling) for tiling in space])


def reads(problem: ConvProblem, tiling: Tiling) -> float:
    """Beats of inputs and weights that a schedule reads: padding is none.

    There is no end of them where a buffer cannot be moved at all.
    """
    beats = 0.0
    for memory, table in ((Memory.INP, pieces.inputs), (Memory.WGT, pieces.weights)):
        sizes = buffer_sizes(tiling, memory)
        try:
            moves = table(problem.task, tuple(sizes[loop] for loop in pieces.LOOPS))
        except CompileError:
            return np.inf
        tiles = int((moves.rows[:, X_SIZE] * moves.rows[:, Y_SIZE]).sum())
        fills = tiling.executions(memory) / (len(moves.starts) - 1)
        beats += tiles * fills * tile_bytes(memory, problem.config) / problem.config.axi_bytes
    return beats


def spaces(problem: ConvProblem) -> Iterator[list[Tiling]]:
    """Larger and larger: divisors with two copies of what is filled more than once, one or two, others at random."""
    whole = problem.sketches.extents
    sizes = {k: [s for s in problem.sketches.sizes[k] if whole[k] % s == 0] for k in whole}
    sizes |= {"ky": [whole["ky"]], "kx": [whole["kx"]]}
    found = list(problem.sketches.enumerate(sizes))
    yield [t for t in found if all(t.slots[m] == 2 or not t.levels[m] for m in t.slots)]
    yield found
    rng, more = np.random.default_rng(0), dict.fromkeys(found)
    for _ in range(20 * LEAST):
        if len(more) == LEAST:
            break
        more[problem.sample(rng)] = None
    yield list(more)


@dataclass(frozen=True)
class Space:
    """What came of the measurement of a whole space: schedules, how many were measured, and the best one."""

    size: int
    measured: int
    best: int
    tiling: str


def best_of_space(problem: ConvProblem) -> Space:
    """The best schedule of the first space that is large enough, or of the largest.

    Every other schedule was measured, until it was slower, or cannot be as fast. The most promising are measured first,
    so that slower ones are stopped early.
    """
    space: list[Tiling] = []
    for space in spaces(problem):
        if len(space) >= LEAST:
            break
    least = bounds(problem, space)
    layer = TimedConv(problem.task, problem.config, LATENCY)
    best, found, count = 1 << 62, problem.default, 0
    for k in np.argsort(problem.estimate(space), kind="stable"):
        if least[k] >= best:
            continue
        count += 1
        try:
            cycles = layer.cycles(space[k], most=best)
        except CompileError:
            continue
        if cycles < best:
            best, found = cycles, space[k]
    return Space(len(space), count, best, json.dumps(found.to_json()))


class Known:
    """Spaces that were measured, in ``tuning_space.csv``: an interrupted run goes on; delete lines to measure anew."""

    def __init__(self) -> None:
        self._path = Path(__file__).with_suffix(".csv")
        self._rows: dict[str, Space] = {}
        if self._path.exists():
            with self._path.open(newline="", encoding="utf-8") as file:
                for key, _, *numbers, tiling in list(csv.reader(file))[1:]:
                    self._rows[key] = Space(*map(int, numbers), tiling)

    def get(self, problem: ConvProblem) -> Space | None:
        """The space of a layer, if it was measured."""
        return self._rows.get(problem.key)

    def of(self, problem: ConvProblem) -> Space:
        """The space of a layer, measured now if it was not."""
        if problem.key not in self._rows:
            self._rows[problem.key] = space = best_of_space(problem)
            new = not self._path.exists()
            with self._path.open("a", newline="", encoding="utf-8") as file:
                lines = csv.writer(file, lineterminator="\n")
                if new:
                    lines.writerow(("layer@configuration", "shape", "schedules", "measured", "cycles", "schedule"))
                row = space.size, space.measured, space.best, space.tiling
                lines.writerow((problem.key, shape_of(problem.task), *row))
        return self._rows[problem.key]


def tuned(problem: ConvProblem, trials: int = TRIALS) -> tuple[int, int]:
    """Cycles of the default, and of the best that the search of `weft tune` finds."""
    tuning = Tuning([problem], lambda of, candidates: of.measure(candidates), patient=True)
    tuning.run(trials)
    (task,) = tuning.tasks
    return int(task.default), int(task.best)


def _line(problem: ConvProblem, known: Known, space: bool = True) -> str:
    default, best = tuned(problem)
    text = f"no schedule below {least_cycles(problem.task, problem.config):,.0f}, default {default:,}, tuned {best:,}"
    found = known.of(problem) if space else known.get(problem)
    reference = best
    if found is not None:
        text += f", best of {found.size:,} schedules {found.best:,} ({found.measured:,} measured)"
        reference = found.best
    return text + f"; default {100 * (default / reference - 1):+.2f} %, tuned {100 * (best / reference - 1):+.2f} %"


def resnet() -> Iterator[tuple[str, str]]:
    """Every layer of ResNet-18."""
    from weft.zoo import network

    known = Known()
    for layer in layers_of(network("resnet18", bytes_in=True), VTA, CompileOptions()):
        problem = ConvProblem(layer.task, VTA, LATENCY)
        yield f"ResNet-18 {layer.name}: {shape_of(layer.task)}", _line(problem, known)


def odd() -> Iterator[tuple[str, str]]:
    """Shapes that divide badly or keep the memory busy, some of them on other accelerators."""
    known = Known()
    for task in ODD:
        yield f"odd: {shape_of(task)}", _line(ConvProblem(task, VTA, LATENCY), known)
    for name, config in CONFIGS.items():
        for task in ODD[12:15]:
            yield f"{name}: {shape_of(task)}", _line(ConvProblem(task, config, LATENCY), known)


def speed() -> Iterator[tuple[str, str]]:
    """Schedules a second, by layer: neighbours of the default, program built and run on the model."""
    from weft.zoo import network

    for layer in layers_of(network("resnet18", bytes_in=True), VTA, CompileOptions()):
        rng, rates = np.random.default_rng(0), []
        first = ConvProblem(layer.task, VTA, LATENCY)
        chosen = [first.default]
        for _ in range(TRIALS):
            chosen.append(first.mutate(chosen[-1] if rng.random() < 0.5 else first.default, rng))
        for clock, threads in ((time.process_time, 1), (time.perf_counter, 2)):
            problem = ConvProblem(layer.task, VTA, LATENCY, threads=threads)
            problem.measure([problem.default])
            begin = clock()
            problem.measure(chosen)
            rates.append(len(set(chosen)) / (clock() - begin))
        yield (
            f"schedules/s, {layer.name}: {shape_of(layer.task)}",
            f"{rates[0]:,.0f} a core (CPU time), {rates[1]:,.0f} in two threads (wall time)",
        )


def measure() -> dict[str, str]:
    """Every layer's cycles."""
    return {name: value for part in (resnet, odd, speed) for name, value in part()}
