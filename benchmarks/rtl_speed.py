"""How fast tsim simulates, one thread, waveform off, beside a yardstick that is run in turn with it.

Simulated kHz are clock cycles ÷ CPU time; memory latency 0. The yardstick is the bare GEMM core of `gemm_core`, built
with the same tools and flags, its C++ as Verilator writes it; *core, rewritten* is the same core after the rewrite that
the accelerator's simulator goes through. Streams: *gemm*, 64 instructions of 8,192 micro-ops; *dma*, loads of whole
scratchpads beside stores; *layer*, a 3×3 convolution of ResNet-18, 56², 64 to 64 channels, assembled by hand. `base` is
the preset without extensions.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import encode, pack_uops
from weft_hardware.isa import Finish, Gemm, Instruction, Load, Memory, Store
from weft_hardware.presets import load_config
from weft_runtime.device import Launch
from weft_runtime.dram import Dram
from weft_simulator.tsim.device import TsimDevice

from .gemm_core import VerilatedCore

UOPS = 128
GEMMS = 64
TRANSFERS = 24
REPEATS = 7
GOAL = 0.7
TESTS = Path(__file__).parent.parent / "tests"


@dataclass
class Subject:
    """Something that runs the same stream again and again; ``run`` returns clock cycles."""

    name: str
    run: Callable[[], int]
    macs: int


def gemm_stream() -> list[Instruction]:
    gemm = Gemm(uop_end=UOPS, iter_out=8, iter_in=8, dst_out=128, dst_in=0, src_out=64, src_in=8, wgt_out=32, wgt_in=4)
    return [
        Load(memory=Memory.UOP, x_size=UOPS, y_size=1, x_stride=UOPS),
        Load(memory=Memory.INP, dram=1 << 11, x_size=2048, y_size=1, x_stride=2048),
        Load(memory=Memory.WGT, dram=1 << 8, x_size=1024, y_size=1, x_stride=1024, push_next=True),
        Load(memory=Memory.UOP, pop_prev=True),
        *[gemm] * GEMMS,
        Finish(),
    ]


def dma_stream() -> list[Instruction]:
    inp = Load(memory=Memory.INP, x_size=2048, y_size=1, x_stride=2048)
    wgt = Load(memory=Memory.WGT, x_size=1024, y_size=1, x_stride=1024)
    out = Store(memory=Memory.OUT, dram=1 << 15, x_size=2048, y_size=1, x_stride=2048)
    return [*[inp, wgt, out, out, out] * TRANSFERS, Finish()]


def _stream(name: str, config: AcceleratorConfig, program: Sequence[Instruction], macs: int) -> Subject:
    """A program over random bytes, where every memory's base is the same: micro-ops first."""
    rng = np.random.default_rng(0)
    device = TsimDevice(config, dram=Dram.zeros(1 << 21))
    region, insn_at = device.allocate(3 << 19), 5 << 18
    device.write(region, rng.integers(0, 256, insn_at, np.uint8))
    uops = pack_uops(config, np.arange(UOPS), rng.integers(0, 1024, UOPS), rng.integers(0, 512, UOPS))
    for at, data in ((0, uops), (insn_at, encode(program, config))):
        device.write(region + at, np.frombuffer(data.tobytes(), np.uint8))
    launch = Launch(region + insn_at, len(program), dict.fromkeys(Memory, region))
    return Subject(name, lambda: device.launch(launch).cycles or 0, macs)


def _layer(name: str, config: AcceleratorConfig) -> Subject:
    sys.path.insert(0, str(TESTS))  # the program lives beside the test that proves it
    from support.layer_cases import CONV_3X3, conv_operands
    from support.layers import conv_program, to_tiles

    operands = conv_operands(CONV_3X3)
    layer = conv_program(CONV_3X3, to_tiles(operands.x), operands.weights, operands.quant, None, config)
    device = TsimDevice(config, dram=Dram(layer.program.image.copy()))
    return Subject(name, lambda: device.launch(layer.program.launch()).cycles or 0, CONV_3X3.macs)


def _core(name: str, macs: int, rewritten: bool) -> Subject:
    core = VerilatedCore(rewritten)
    rng = np.random.default_rng(0)
    core.write(rng.integers(-128, 128, (2048, 16), np.int8), rng.integers(-128, 128, (1024, 16, 16), np.int8))
    growth = {"dst": (128, 0, 1), "src": (64, 8, 13), "wgt": (32, 4, 41)}
    return Subject(name, lambda: core.run((GEMMS * 8, 8, UOPS), growth), macs)


def subjects() -> list[Subject]:
    """The yardstick first."""
    vta, base = load_config("vta"), load_config("base")
    macs = GEMMS * 64 * UOPS * vta.macs
    return [
        _core("yardstick", macs, rewritten=False),
        _core("core, rewritten", macs, rewritten=True),
        _stream("vta, gemm", vta, gemm_stream(), macs),
        _stream("base, gemm", base, gemm_stream(), macs),
        _stream("vta, dma", vta, dma_stream(), 0),
        _stream("base, dma", base, dma_stream(), 0),
        _layer("vta, layer", vta),
    ]


def measure() -> dict[str, float | int | str]:
    """Medians of runs that take turns, so that whatever else the machine does meets all alike."""
    all_subjects = subjects()
    cycles = {subject.name: subject.run() for subject in all_subjects}
    seconds: dict[str, list[float]] = {subject.name: [] for subject in all_subjects}
    for _ in range(REPEATS):
        for subject in all_subjects:
            start = time.process_time()
            subject.run()
            seconds[subject.name].append(time.process_time() - start)
    figures: dict[str, float | int | str] = {}
    for subject in all_subjects:
        name = subject.name
        figures[f"{name}, cycles"] = cycles[name]
        figures[f"{name}, kHz"] = round(cycles[name] / statistics.median(seconds[name]) / 1e3)
        if subject.macs:
            figures[f"{name}, MMAC/s"] = round(subject.macs / statistics.median(seconds[name]) / 1e6)
        if name != "yardstick":
            ratios = [
                cycles[name] / mine * bare / cycles["yardstick"]
                for mine, bare in zip(seconds[name], seconds["yardstick"], strict=True)
            ]
            goal = f", goal {GOAL}" if name == "vta, gemm" else ""
            figures[f"{name}, kHz to the yardstick's"] = f"{statistics.median(ratios):.2f}{goal}"
    return figures
