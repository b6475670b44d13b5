"""Searches of schedules at an equal number of measurements: the median and the spread of five seeds, by layer.

*random* draws candidates, *evolution* breeds from the best that were measured, *guided* has the learned cost model rank
each generation first; the latter two begin with what the analytic model likes best. Figures are cycles ÷ the fewest of
all runs of the layer. The timing model measures; that it takes the RTL's place is shown on a small layer, where tsim
answers the same search with the same cycles. Layers of ResNet-18 and odd shapes, vta preset, AXI 64 bits, latency 50.
All points of the curves: `tuning_curves.csv`.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, get_args

from weft_compiler.conv_task import ConvTask, Requantisation
from weft_explore.tune.conv_problem import ConvProblem
from weft_explore.tune.problem import Measured, Problem
from weft_explore.tune.tuner import Method, Tuning
from weft_hardware.presets import VTA
from weft_simulator.tsim.device import TsimDevice
from weft_simulator.tsim.model import MemoryTiming

TRIALS = 64
SEEDS = range(5)
POINTS = (1, 8, 16, 24, 32, 48, 64)
MEMORY = MemoryTiming(read_latency=50)
TSIM_TRIALS = 24


def _conv(ic: int, oc: int, rows: int, columns: int, kernel: int, stride: int = 1) -> ConvTask:
    """A convolution of one image, channels in blocks of 16."""
    pad = kernel // 2
    return ConvTask(
        ic=ic,
        oc=oc,
        ih=rows,
        iw=columns,
        kh=kernel,
        kw=kernel,
        stride=(stride, stride),
        pads=(pad,) * 4,
        requantisation=Requantisation(),
    )


LAYERS = {
    "dense 512→1000": _conv(32, 63, 1, 1, 1),
    "1×1 /2 14² 256→512": _conv(16, 32, 14, 14, 1, 2),
    "1×1 /2 28² 128→256": _conv(8, 16, 28, 28, 1, 2),
    "3×3 14² 256→256": _conv(16, 16, 14, 14, 3),
    "3×3 7² 512→512": _conv(32, 32, 7, 7, 3),
    "3×3 /2 28² 128→256": _conv(8, 16, 28, 28, 3, 2),
    "odd: 5×5 19×11 48→16": _conv(3, 1, 19, 11, 5),
    "odd: 3×3 13×9 80→112": _conv(5, 7, 13, 9, 3),
}
SMALL = _conv(2, 3, 9, 7, 3)


def measure() -> dict[str, str]:
    """Cycles ÷ the fewest known, after some of the trials; writes all points as CSV."""
    figures: dict[str, str] = {}
    rows: list[tuple[Any, ...]] = []
    for name, task in LAYERS.items():
        problem = ConvProblem(task, VTA, MEMORY)
        curves = {method: [_curve(problem, method, seed) for seed in SEEDS] for method in get_args(Method)}
        fewest = min(curve[-1] for found in curves.values() for curve in found)
        figures[f"{name}: the compiler's own"] = f"{problem.measure([problem.default])[0] / fewest:.4f}"  # type: ignore[operator]
        for method, found in curves.items():
            ratios = {k: sorted(curve[k - 1] / fewest for curve in found) for k in POINTS}
            rows += [(name, method, k, median(of), of[0], of[-1]) for k, of in ratios.items()]
            figures[f"{name}: {method}"] = "; ".join(
                f"{k} trials {median(ratios[k]):.4f} ({ratios[k][0]:.4f}..{ratios[k][-1]:.4f})" for k in (16, 32, 64)
            )
    with Path(__file__).with_name("tuning_curves.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("layer", "search", "trials", "median", "least", "most"))
        table.writerows((*row[:3], *(f"{ratio:.5f}" for ratio in row[3:])) for row in rows)
    return figures | {f"tsim, {TSIM_TRIALS} trials of guided search": _in_rtl()}


def _curve(problem: Problem[Any], method: Method, seed: int, trials: int = TRIALS) -> list[int]:
    """The fewest cycles after each trial; schedules that fail change nothing."""
    fewest: list[int] = []

    def told(problem: Problem[Any], candidates: Sequence[Any]) -> list[Measured]:
        outcomes = problem.measure(candidates)
        for outcome in outcomes:
            before = fewest[-1] if fewest else 1 << 62
            fewest.append(before if isinstance(outcome, str) else min(before, outcome))
        return outcomes

    Tuning([problem], told, seed=seed, method=method, patient=True).run(trials)
    return fewest + fewest[-1:] * (trials - len(fewest))


def _in_rtl() -> str:
    """The same search, answered by the timing model and by the RTL."""
    predicted = _curve(ConvProblem(SMALL, VTA, MEMORY), "guided", 0, TSIM_TRIALS)
    with TsimDevice(VTA, memory=MEMORY) as device:
        real = _curve(ConvProblem(SMALL, VTA, device=device), "guided", 0, TSIM_TRIALS)
    if predicted != real:
        raise AssertionError(f"the timing model's curve {predicted} differs from tsim's {real}")
    return f"the timing model's curve, to the cycle: {real[0]:,} → {real[-1]:,}"
