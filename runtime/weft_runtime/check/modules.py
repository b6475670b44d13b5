"""The check of every launch of a compiled network."""

from __future__ import annotations

import numpy as np

from ..dram import Dram
from ..module_model import ModuleContent
from ..session import launch_of
from .checker import check_program
from .report import Report


def check_module(content: ModuleContent) -> list[tuple[str, Report]]:
    """The layer's name and the report of each launch, in order.

    Only what constants hold is known before a launch, and no launch may write over them: they are written once, for any
    number of runs. Inputs and results lie elsewhere.
    """
    size = max(1, content.region_bytes["device"])
    memory = Dram(np.zeros(size, np.uint8))
    constants = []
    for constant in content.constants:
        buffer = constant.buffer
        if buffer.region == "device":
            memory.view(buffer.offset, buffer.nbytes)[:] = np.frombuffer(constant.data, np.uint8)
            constants.append((buffer.offset, buffer.offset + buffer.nbytes))
    reports = []
    for layer, step, _ in content.launches():
        report = check_program(launch_of(step, content, 0), memory, content.config, constants=constants)
        reports.append((layer, report))
    return reports
