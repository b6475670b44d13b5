"""Programs of several layers: which instruction is whose, and how many of the cycles.

A layer of such a program is over when the last of its instructions has retired, so what the next one loads meanwhile
costs that one nothing. A device that can tell says so (`RunReport.parts`); for others the cycles are shared out by what
each layer's instructions ask of the busiest resource. Either way they add up to the launch's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import Words, as_words
from weft_hardware.work import Work, count_work

from .device import RunReport
from .diagnosis import command_queues
from .module_model import AcceleratorStep


def part_of_each(words: Words, step: AcceleratorStep, config: AcceleratorConfig) -> NDArray[np.int64]:
    """For each instruction of a launch the number of its part; zeros where there is but one."""
    found = np.zeros(len(words), np.int64)
    if step.parts:
        queues = command_queues(words, config)
        ends = np.cumsum([part.counts for part in step.parts], axis=0)
        for queue in range(ends.shape[1]):
            mine = np.flatnonzero(queues == queue)
            found[mine] = np.searchsorted(ends[:, queue], np.arange(len(mine)), side="right")
    return found


def works(instructions: bytes, step: AcceleratorStep, config: AcceleratorConfig) -> list[Work]:
    """What each part of a launch asks for, in order."""
    words = as_words(instructions, config)
    part = part_of_each(words, step, config)
    return [count_work(words[part == k], config) for k in range(len(step.layers))]


def least_cycles(instructions: bytes, step: AcceleratorStep, config: AcceleratorConfig) -> NDArray[np.int64]:
    """The cycles that the busiest resource needs for each part, at least 1."""
    asked = works(instructions, step, config)
    return np.array([max(1, *work.least_cycles(config).values()) for work in asked], np.int64)


def shares(report: RunReport, least: NDArray[np.int64]) -> tuple[RunReport, ...]:
    """A launch's report cut by parts that take at least so long; only a device can tell what modules did in each."""
    if report.parts:
        return report.parts
    if report.cycles is None:
        return tuple(RunReport(None, 0) for _ in least)
    ends = np.cumsum(least) * report.cycles // least.sum()
    return tuple(RunReport(int(cycles), 0) for cycles in np.diff(ends, prepend=0))
