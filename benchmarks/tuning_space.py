"""Schedules of single layers on the timing model, memory latency 50: the compiler's own, the best found, the least possible.

*Bound*: cycles that no schedule goes below, since products, reads or writes alone take them. *Default*: the compiler's
choice, untuned. *Best of the space*: of all divisor tilings × loop orders × placements with two copies where they fit
(`explore/weft_explore/tune/sketches.py`) those measured that the analytic model likes best; a space whose every
schedule was measured or excluded by its bound is *complete*. *Tuned*: evolution of 300 schedules, tile sizes that do
not divide included. *Odd* shapes are sizes that divide badly or keep the memory busy, on `vta` and five more.
"""  # noqa: E501

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from weft_compiler import CompileOptions
from weft_compiler.conv_task import ConvTask, Requantisation
from weft_compiler.errors import CompileError
from weft_compiler.tiling import Tiling, buffer_sizes
from weft_compiler.tiling_cost import estimate
from weft_explore.tune import pieces
from weft_explore.tune.conv_problem import ConvProblem, shape_of
from weft_explore.tune.network import layers_of
from weft_explore.tune.search import Evolution
from weft_explore.tune.timed_conv import TimedConv
from weft_hardware.isa import Memory, tile_bytes
from weft_hardware.presets import PRESETS, VTA
from weft_simulator.tsim.model import MemoryTiming

LATENCY = MemoryTiming(read_latency=50)
TRIALS, AT_ONCE = 200, 25
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


def bound(problem: ConvProblem, tiling: Tiling) -> float:
    """Cycles of the busiest unit, which a schedule cannot go below."""
    cost = estimate(problem.task, tiling, problem.config)
    return max(cost.compute, reads(problem, tiling), cost.store)


def _possible_bound(problem: ConvProblem, tiling: Tiling) -> float:
    """The same; no end of cycles where a buffer cannot be moved at all."""
    try:
        return bound(problem, tiling)
    except CompileError:
        return np.inf


def reads(problem: ConvProblem, tiling: Tiling) -> float:
    """Beats of inputs and weights that a schedule reads: padding is none."""
    beats = 0.0
    for memory, table in ((Memory.INP, pieces.inputs), (Memory.WGT, pieces.weights)):
        sizes = buffer_sizes(tiling, memory)
        moves = table(problem.task, tuple(sizes[loop] for loop in pieces.LOOPS))
        tiles = int((moves.rows[:, X_SIZE] * moves.rows[:, Y_SIZE]).sum())
        fills = tiling.executions(memory) / (len(moves.starts) - 1)
        beats += tiles * fills * tile_bytes(memory, problem.config) / problem.config.axi_bytes
    return beats


def divisors(problem: ConvProblem) -> Iterator[Tiling]:
    """The space that is measured as a whole: two copies of each buffer that is filled more than once."""
    whole = problem.sketches.extents
    sizes = {k: [s for s in problem.sketches.sizes[k] if whole[k] % s == 0] for k in whole}
    sizes |= {"ky": [whole["ky"]], "kx": [whole["kx"]]}
    for tiling in problem.sketches.enumerate(sizes):
        if all(tiling.slots[m] == 2 or not level for m, level in tiling.levels.items() if m in tiling.slots):
            yield tiling


@dataclass(frozen=True)
class Space:
    """What came of the measurement of a whole space."""

    size: int
    measured: int
    best: int
    tiling: Tiling


def best_of_space(problem: ConvProblem) -> Space:
    """The best schedule of the space: every other one was measured, until it was slower, or cannot be as fast.

    The most promising are measured first, so that slower ones are stopped early.
    """
    space = list(divisors(problem))
    bounds = np.array([_possible_bound(problem, tiling) for tiling in space])
    layer = TimedConv(problem.task, problem.config, LATENCY)
    best, found, count = 1 << 62, problem.default, 0
    for k in np.argsort(problem.estimate(space), kind="stable"):
        if bounds[k] >= best:
            continue
        count += 1
        try:
            cycles = layer.cycles(space[k], most=best)
        except CompileError:
            continue
        if cycles < best:
            best, found = cycles, space[k]
    return Space(len(space), count, best, found)


def tuned(problem: ConvProblem, trials: int = TRIALS) -> tuple[int, int]:
    """Cycles of the default, and of the best that a search without a learned model finds."""
    search, found = Evolution(problem, np.random.default_rng(0)), []
    while len(found) < trials and (asked := search.ask(AT_ONCE)):
        outcomes = problem.measure(asked)
        search.tell(asked, outcomes)
        found += outcomes
    cycles = [outcome for outcome in found if isinstance(outcome, int)]
    assert isinstance(found[0], int)
    return found[0], min(cycles)


def least(problem: ConvProblem) -> float:
    """Cycles that no schedule goes below: the products; pixels that a tap meets, weights and results, once each."""
    t, config = problem.task, problem.config
    pixels = 1
    for k, (size, kernel, whole) in enumerate(((t.oh, t.kh, t.ih), (t.ow, t.kw, t.iw))):
        at = np.arange(size)[:, None] * t.stride[k] + np.arange(kernel) * t.dilation[k] - t.pads[k]
        pixels *= len(np.unique(at[(at >= 0) & (at < whole)]))
    tiles = {Memory.INP: t.n * t.inputs * pixels, Memory.WGT: t.outputs * t.ic * t.kh * t.kw}
    read = sum(count * tile_bytes(memory, config) for memory, count in tiles.items()) / config.axi_bytes
    cost = estimate(t, problem.default, config)
    return max(cost.compute, read, cost.store)


def _line(problem: ConvProblem, space: bool) -> str:
    default, best = tuned(problem)
    low = least(problem)
    text = f"bound {low:,.0f}, default {default:,}, tuned {best:,}"
    if space:
        found, size, count, complete = best_of_space(problem)
        how = "complete" if complete else "not complete"
        reference = min(found, best)
        text += f", best of the space {found:,} ({size:,} schedules, {count:,} measured, {how})"
    else:
        reference = best
    return text + f"; default {100 * (default / reference - 1):.2f} %, tuned {100 * (best / reference - 1):.2f} % above"


def resnet() -> Iterator[tuple[str, str]]:
    """Every layer of ResNet-18."""
    from weft.zoo import network

    for layer in layers_of(network("resnet18", bytes_in=True), VTA, CompileOptions()):
        problem = ConvProblem(layer.task, VTA, LATENCY)
        yield f"ResNet-18 {layer.name}: {shape_of(layer.task)}", _line(problem, space=True)


def odd() -> Iterator[tuple[str, str]]:
    """Shapes that divide badly or keep the memory busy, some of them on other accelerators."""
    for task in ODD:
        yield f"odd: {shape_of(task)}", _line(ConvProblem(task, VTA, LATENCY), space=False)
    for name, config in CONFIGS.items():
        for task in ODD[12:15]:
            yield f"{name}: {shape_of(task)}", _line(ConvProblem(task, config, LATENCY), space=False)


def speed() -> Iterator[tuple[str, int]]:
    """Schedules a second of one process, their program built and run on the model."""
    problem, rng = ConvProblem(ODD[14], VTA, LATENCY), np.random.default_rng(0)
    problem.measure([problem.default])
    candidate = problem.default
    chosen = [candidate := problem.mutate(candidate, rng) for _ in range(TRIALS)]
    begin = time.process_time()
    problem.measure(chosen)
    yield "schedules a second of CPU time", round(len(set(chosen)) / (time.process_time() - begin))


def measure() -> dict[str, float | int | str]:
    """Every layer's cycles."""
    return {name: value for part in (resnet, odd, speed) for name, value in part()}
