"""Cycles that the timing model predicts against tsim's, and how fast it predicts them.

The corpus: random legal programs on every configuration of the tests, VTA's raw programs, layers assembled by hand, and
compiled networks, their layers one by one and overlapping; at the memory latencies 0, 20, 50 and 200. Every run is a
line of timing_model.csv. A run is *exact* if its cycles are tsim's, and *explained* if each module spends them on the
same. Speed is CPU time after the first launch, on a 3×3 convolution layer of ResNet-18 (56², 64 to 64 channels).
"""

from __future__ import annotations

import csv
import os
import statistics
import sys
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from weft.models import digits_onnx
from weft.zoo import network
from weft_hardware.config import AcceleratorConfig
from weft_hardware.presets import load_config
from weft_runtime.device import Device, RunReport
from weft_runtime.dram import Dram
from weft_runtime.session import Session
from weft_simulator.lockstep.generator import DRAM_BASE, DRAM_SIZE, generate
from weft_simulator.timing.device import TimingDevice
from weft_simulator.tsim.device import TsimDevice
from weft_simulator.tsim.model import MemoryTiming

import weft

from .rtl_rate import launch_program, vta_programs

HERE = Path(__file__).parent
TESTS = HERE.parent / "tests"
LATENCIES = (0, 20, 50, 200)
PROGRAMS = 50
ONLY = "WEFT_TIMING_CONFIGS"
"""Environment variable: comma-separated configurations to run, for a quick look."""


class Run(NamedTuple):
    """One program on both, a line of the table."""

    configuration: str
    read_latency: int
    program: str
    tsim: int
    model: int
    explained: bool


def _compare(configuration: str, latency: int, program: str, reports: list[RunReport]) -> Run:
    rtl, model = reports
    assert rtl.cycles is not None
    assert model.cycles is not None
    return Run(configuration, latency, program, rtl.cycles, model.cycles, rtl.activity == model.activity)


def _both(config: AcceleratorConfig, latency: int, drams: list[Dram]) -> tuple[Device, Device]:
    memory = MemoryTiming(read_latency=latency)
    return TsimDevice(config, dram=drams[0], memory=memory), TimingDevice(config, dram=drams[1], memory=memory)


def _random_programs() -> Iterator[Run]:
    from support.configs import CONFIGS, EXTENDED

    every = CONFIGS | EXTENDED
    chosen = os.environ.get(ONLY)
    for name in chosen.split(",") if chosen else every:
        config = every[name]
        for latency in LATENCIES:
            drams = [Dram.zeros(DRAM_SIZE, DRAM_BASE) for _ in range(2)]
            tsim, model = _both(config, latency, drams)
            with tsim, model:
                for seed in range(PROGRAMS):
                    program = generate(config, seed)
                    for dram in drams:
                        dram.data[:] = program.image
                    reports = [device.launch(program.launch()) for device in (tsim, model)]
                    yield _compare(name, latency, f"seed {seed}", reports)


def _assembled() -> Iterator[Run]:
    """VTA's programs and the layers assembled by hand, at the vta preset."""
    from support.layer_cases import CONFIG, cases

    config = load_config("vta")
    for latency in LATENCIES:
        tsim, model = _both(config, latency, [Dram.zeros(1 << 21) for _ in range(2)])
        with tsim, model:
            regions = [device.allocate(1 << 20) for device in (tsim, model)]
            for name, program in vta_programs(config).items():
                reports = [launch_program(*place, program) for place in zip((tsim, model), regions, strict=True)]
                yield _compare("vta", latency, f"VTA's {name}", reports)
        for case in cases():
            program = case.build(CONFIG).program
            tsim, model = _both(CONFIG, latency, [Dram(program.image.copy()) for _ in range(2)])
            with tsim, model:
                reports = [device.launch(program.launch()) for device in (tsim, model)]
            yield _compare("vta", latency, case.name, reports)


def _networks() -> Iterator[Run]:
    """Compiled networks, every launch: each layer by itself, and layers that overlap in one program."""
    chosen = {"digits": digits_onnx(), **{name: network(name) for name in ("resnet18", "mobilenet_v1")}}
    for (name, model), preset, overlap in product(chosen.items(), ("vta", "base"), (False, True)):
        config = load_config(preset)
        module = weft.compile(model, config, overlap=overlap)
        inputs = [np.zeros(tensor.shape, tensor.numpy_dtype) for tensor in module.content.inputs]
        for latency in LATENCIES:
            memory = MemoryTiming(read_latency=latency)
            launches = []
            for kind in (TsimDevice, TimingDevice):
                with kind(config, memory=memory) as device, Session(module, device) as session:
                    session.run(inputs)
                launches.append(session.last_launches)
            for (layers, rtl), (_, predicted) in zip(*launches, strict=True):
                yield _compare(preset, latency, f"{name}: {layers}", [rtl, predicted])


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
    sys.path.insert(0, str(TESTS))  # configurations and layers live beside the tests that use them
    runs = [run for source in (_random_programs, _assembled, _networks) for run in source()]
    with (HERE / "timing_model.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Run._fields)
        writer.writerows((*run[:-1], int(run.explained)) for run in runs)
    errors = sorted(100 * abs(run.model - run.tsim) / run.tsim for run in runs)
    cycles, speed = _speed()
    return {
        "configurations": len({run.configuration for run in runs}),
        "programs": len({(run.configuration, run.program) for run in runs}),
        "runs": len(runs),
        "cycles simulated": sum(run.tsim for run in runs),
        "exact, %": round(100 * sum(error == 0 for error in errors) / len(errors), 2),
        "explained, %": round(100 * sum(run.explained for run in runs) / len(runs), 2),
        "mean error, %": round(statistics.mean(errors), 4),
        "95th percentile, %": round(errors[int(0.95 * (len(errors) - 1))], 4),
        "largest error, %": round(errors[-1], 4),
        "layer, cycles": cycles,
        "layer, million cycles a second": f"{speed / 1e6:.0f}, goal 50",
    }
