"""Design-space exploration: designs a second, by network and number of processes.

By the analytic model once each shape of blocks was seen, exactly with the compiler's own schedules, and exactly with
searched ones (`TRIALS` a layer). By the clock, for as many designs of blocks of 8 as of 16 and of 32; and in seconds of
CPU time for each of these, which say the same on a busy machine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import mean
from typing import Any

from weft.models import digits_onnx
from weft_explore.design import Design
from weft_explore.evaluate import Evaluator
from weft_explore.space import parse_space
from weft_explore.workers import LocalProcesses, ThisProcess
from weft_explore.workload import Workload

import weft

SPACE = """
base = "pynq"
[space]
block_in = [8, 16, 32]
block_out = { same = "block_in" }
inp_depth = { low = 512, high = 4096, log = true }
wgt_depth = { low = 64, high = 512, log = true }
acc_depth = { low = 512, high = 4096, log = true }
epilogue_lanes = [2, 8]
axi_data_bits = [64, 128]
"""
TRIALS = 8
LOOKED_AT = {"analytic": 60, "exact": 12, "tuned": 6}
"""Designs, after one of each shape of blocks."""


def measure() -> dict[str, Any]:
    """All networks; seven minutes on two busy CPUs."""
    from weft.zoo import network

    networks = {
        "digits": digits_onnx(),
        **{f"resnet18 at {size}": network("resnet18", size=size) for size in (64, 112, 224)},
    }
    figures: dict[str, Any] = {}
    for name, data in networks.items():
        workload = Workload(name, data)
        for kind, count in LOOKED_AT.items():
            evaluator = Evaluator((workload,), weft.PRESETS["pynq"], trials=TRIALS if kind == "tuned" else 0)
            figures |= _rates(f"{name}, {kind}", evaluator, _designs(count), kind == "analytic")
    return figures


def _designs(count: int) -> list[Design]:
    """So many designs from everywhere in the space, the smallest blocks, which take longest, first."""
    every = list(parse_space(SPACE).designs())
    return sorted(every[:: len(every) // count][:count], key=lambda design: design.config.block_in)


def _rates(name: str, evaluator: Evaluator, designs: Sequence[Design], rough: bool) -> dict[str, Any]:
    shapes = {design.config.block_in: design for design in designs}
    with ThisProcess(evaluator) as here:
        for _, outcome in here.outcomes(list(shapes.values()), rough):
            assert outcome.reason is None, outcome.reason
        begin, taken = time.perf_counter(), {block: list[float]() for block in shapes}
        cpu = time.process_time()
        for number, _ in here.outcomes(list(map(_sibling, designs)), rough):
            now = time.process_time()
            taken[designs[number].config.block_in].append(now - cpu)
            cpu = now
        rates = {1: len(designs) / (time.perf_counter() - begin)}
    if (count := os.cpu_count() or 1) > 1:
        with LocalProcesses(evaluator, count) as processes:
            list(processes.outcomes([*shapes.values()] * count, rough))
            begin = time.perf_counter()
            list(processes.outcomes(list(map(_sibling, designs)), rough))
            rates[count] = len(designs) / (time.perf_counter() - begin)
    each = ", ".join(f"{mean(seconds):.3g}" for seconds in taken.values())
    return {
        **{f"{name}: designs a second, {n} processes": round(rate, 2) for n, rate in rates.items()},
        f"{name}: CPU seconds a design, blocks of {', '.join(map(str, taken))}": each,
    }


def _sibling(design: Design) -> Design:
    """A design that nothing is remembered of."""
    config = design.config
    return Design(replace(config, inp_depth=config.inp_depth - 8, acc_depth=config.acc_depth - 8))
