"""Layers of ResNet-18 in tsim, assembled by hand with every extension; vta preset's shape, AXI 64 bits, no stalls.

*peak* is multiply-accumulates ÷ (256 · cycles) for convolutions, padding included; elsewhere the cycles that the
busiest unit needs at least ÷ cycles. Every run's result is compared with numpy's, byte for byte.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from weft_runtime.dram import Dram
from weft_runtime.errors import DeviceError
from weft_simulator.tsim.device import TsimDevice
from weft_simulator.tsim.model import MemoryTiming

TESTS = Path(__file__).parent.parent / "tests"
LATENCIES = (0, 50)


def measure(only: str = "") -> dict[str, float | int | str]:
    """Cycles and share of the peak of each layer whose name holds ``only``."""
    sys.path.insert(0, str(TESTS))  # the programs live beside the tests that prove them
    from support.layer_cases import CONFIG, cases
    from support.layers import from_tiles

    figures: dict[str, float | int | str] = {}
    for case in cases():
        if only not in case.name:
            continue
        layer, expected = case.build(CONFIG), case.expected()
        for latency in LATENCIES:
            dram = Dram(layer.program.image.copy())
            timing = MemoryTiming(read_latency=latency, write_latency=latency)
            key = f"{case.name}, latency {latency}"
            try:
                with TsimDevice(CONFIG, dram=dram, memory=timing) as device:
                    cycles = device.launch(layer.program.launch()).cycles or 0
            except DeviceError as error:
                figures[key] = f"refused: {error}"
                continue
            if not np.array_equal(from_tiles(layer.result(dram.data)), expected):
                raise AssertionError(f"{key}: the result differs from numpy's")
            kind = "of peak" if case.macs else "of the busiest unit"
            figures[key] = f"{cycles} cycles, {100 * layer.ideal_cycles / cycles:.1f} % {kind}"
    return figures
