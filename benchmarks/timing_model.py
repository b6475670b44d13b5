"""Cycles that the timing model predicts against tsim's, and how fast it predicts them.

Random legal programs, each at the memory latencies 0, 20, 50 and 200; every run is a line of timing_model.csv. Speed is
CPU time after the first launch, on a 3×3 convolution layer of ResNet-18 (56², 64 to 64 channels).
"""

from __future__ import annotations

import csv
import os
import statistics
import sys
import time
from pathlib import Path

from weft_hardware.config import AcceleratorConfig
from weft_hardware.presets import load_config
from weft_runtime.dram import Dram
from weft_simulator.lockstep.generator import DRAM_BASE, DRAM_SIZE, generate
from weft_simulator.timing.device import TimingDevice
from weft_simulator.tsim.device import TsimDevice
from weft_simulator.tsim.model import MemoryTiming

HERE = Path(__file__).parent
TESTS = HERE.parent / "tests"
LATENCIES = (0, 20, 50, 200)
PROGRAMS = 50
ONLY = "WEFT_TIMING_CONFIGS"
"""Environment variable: comma-separated configurations to run, for a quick look."""


def _configurations() -> dict[str, AcceleratorConfig]:
    sys.path.insert(0, str(TESTS))
    from support.configs import CONFIGS, EXTENDED

    chosen = os.environ.get(ONLY)
    every = CONFIGS | EXTENDED
    return {name: every[name] for name in chosen.split(",")} if chosen else every


def _runs(name: str, config: AcceleratorConfig) -> list[tuple[str, int, int, int, int]]:
    """Configuration, latency, seed, cycles of tsim and of the model."""
    rows = []
    for latency in LATENCIES:
        memory = MemoryTiming(read_latency=latency)
        drams = [Dram.zeros(DRAM_SIZE, DRAM_BASE) for _ in range(2)]
        with (
            TsimDevice(config, dram=drams[0], memory=memory) as tsim,
            TimingDevice(config, dram=drams[1], memory=memory) as model,
        ):
            for seed in range(PROGRAMS):
                program = generate(config, seed)
                for dram in drams:
                    dram.data[:] = program.image
                cycles = [device.launch(program.launch()).cycles or 0 for device in (tsim, model)]
                rows.append((name, latency, seed, cycles[0], cycles[1]))
    return rows


def _speed() -> tuple[int, float]:
    """Cycles of a layer, and the median of cycles a second."""
    from support.layer_cases import CONV_3X3, conv_operands
    from support.layers import conv_program, to_tiles

    config, operands = load_config("vta"), conv_operands(CONV_3X3)
    program = conv_program(CONV_3X3, to_tiles(operands.x), operands.weights, operands.quant, None, config).program
    device = TimingDevice(config, dram=Dram(program.image.copy()))
    cycles = device.launch(program.launch()).cycles or 0
    seconds = []
    for _ in range(21):
        start = time.process_time()
        device.launch(program.launch())
        seconds.append(time.process_time() - start)
    return cycles, cycles / statistics.median(seconds)


def measure() -> dict[str, float | int | str]:
    configurations = _configurations()
    rows = [row for name, config in configurations.items() for row in _runs(name, config)]
    with (HERE / "timing_model.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("configuration", "read_latency", "seed", "tsim", "model"))
        writer.writerows(rows)
    errors = sorted(100 * abs(model - tsim) / tsim for *_, tsim, model in rows)
    cycles, speed = _speed()
    return {
        "configurations": len(configurations),
        "runs": len(rows),
        "exact, %": round(100 * sum(error == 0 for error in errors) / len(errors), 2),
        "mean error, %": round(statistics.mean(errors), 4),
        "95th percentile, %": round(errors[int(0.95 * (len(errors) - 1))], 4),
        "largest error, %": round(errors[-1], 4),
        "layer, cycles": cycles,
        "layer, million cycles a second": f"{speed / 1e6:.0f}, goal 50",
    }
