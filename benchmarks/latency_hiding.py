"""Latency hiding: layers scheduled with one and with two virtual threads, in the timing model (exact against tsim).

The vta preset, AXI 64 bits, one buffer a thread: what two threads gain, one waits. *peak* is multiply-accumulates
÷ (256 · cycles), those with padding included, so that leaving them out counts as speed. Results are compared with
numpy's, byte for byte, on the functional simulator. Apache TVM VTA went from 70 % to 88 % of its peak (Moreau et al.,
"A Hardware-Software Blueprint for Flexible Deep Learning Specialization", IEEE Micro 2019).
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from weft_compiler.accel.build import build_kernel
from weft_compiler.conv_task import Requantisation
from weft_hardware.presets import VTA
from weft_runtime.session import Session
from weft_simulator.functional import FunctionalDevice
from weft_simulator.timing.device import TimingDevice
from weft_simulator.tsim.model import MemoryTiming

TESTS = Path(__file__).parent.parent / "tests"
LATENCIES = (0, 50, 200)


def measure() -> dict[str, str]:
    """Cycles and share of the peak of each layer, by threads and latency."""
    sys.path.insert(0, str(TESTS))  # the schedules live beside the tests that prove them
    from support.accel_kernels import Conv, by_name, convolution, expected, random_inputs

    # Padded 3×3 convolutions of ResNet-18, and a matrix product of 128 rows as a 1×1 convolution of one row.
    square = {"ic_tile": 4, "kernel": 3, "pad": 1}
    layers = {
        "3×3 56² 64→64": Conv(4, 4, 56, 56, rows=2, oc_tile=4, weights_stay=True, **square),
        "3×3 14² 256→256": Conv(16, 16, 14, 14, rows=7, oc_tile=2, **square),
        "3×3 7² 512→512": Conv(32, 32, 7, 7, rows=7, oc_tile=4, over="blocks", **square),
        "matmul 128×768→768": Conv(48, 48, 1, 128, kernel=1, pad=0, rows=1, oc_tile=4, ic_tile=6, over="blocks"),
    }
    figures: dict[str, str] = {}
    for name, layer in layers.items():
        for threads in (1, 2):
            schedule = convolution(replace(layer, threads=threads), VTA, Requantisation())
            inputs = random_inputs(schedule, seed=1)
            module = build_kernel(schedule, VTA)
            with FunctionalDevice(VTA) as device:
                found = module.run(device, by_name(inputs))
            if not np.array_equal(found, expected(schedule, inputs)):
                raise AssertionError(f"{name}: the result differs from numpy's")
            for latency in LATENCIES:
                memory = MemoryTiming(read_latency=latency)
                with TimingDevice(VTA, memory=memory) as device, Session(module, device) as session:
                    session.run(by_name(inputs))
                    cycles = session.last_launches[0][1].cycles or 0
                share = module.content.layers[0].macs / (VTA.macs * cycles)
                figures[f"{name}, {threads} threads, latency {latency}"] = (
                    f"{cycles:,} cycles, {100 * share:.1f} % of peak"
                )
    return figures
