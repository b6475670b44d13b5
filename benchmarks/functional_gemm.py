"""How fast the functional simulator multiplies: long GEMM instructions at the vta preset, one thread."""

from __future__ import annotations

import argparse
import json
import statistics
import time

import numpy as np
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import encode, pack_uops
from weft_hardware.isa import Finish, Gemm, Load, Memory
from weft_runtime.device import Device, Launch
from weft_simulator.functional import FunctionalDevice
from weft_simulator.functional.kernel import packing_for
from weft_simulator.functional.kernels import kernels

UOPS = 1024
GEMMS = 128
REPEATS = 9
INSTRUCTIONS = 100_000


def _seconds(device: Device, launch: Launch, repeats: int) -> float:
    device.launch(launch)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        device.launch(launch)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _place(device: Device, data: np.ndarray) -> int:
    raw = np.frombuffer(data.tobytes(), np.uint8)
    address = device.allocate(raw.size)
    device.write(address, raw)
    return address


def _gmacs(config: AcceleratorConfig, *, portable: bool) -> float:
    rng = np.random.default_rng(0)
    with FunctionalDevice(config, dram_size=16 << 20, portable=portable) as device:
        dst, src, wgt = (rng.integers(0, high, UOPS) for high in (1024, 1024, 512))
        bases = {
            Memory.UOP: _place(device, pack_uops(config, dst, src, wgt)),
            Memory.INP: _place(device, rng.integers(0, 256, 2048 * 16, dtype=np.uint8)),
            Memory.WGT: _place(device, rng.integers(0, 256, 1024 * 256, dtype=np.uint8)),
        }
        gemm = Gemm(uop_end=UOPS, iter_out=8, iter_in=8, dst_out=128, dst_in=16, src_out=64, src_in=8, wgt_out=32)
        program = [
            Load(memory=Memory.INP, x_size=2048, y_size=1),
            Load(memory=Memory.WGT, x_size=1024, y_size=1, push_next=True),
            Load(memory=Memory.UOP, x_size=UOPS, y_size=1, pop_prev=True),
            *[gemm] * GEMMS,
            Finish(),
        ]
        launch = Launch(_place(device, encode(program, config)), len(program), bases)
        macs = GEMMS * UOPS * 64 * config.macs
        return macs / _seconds(device, launch, REPEATS) / 1e9


def _instruction_microseconds(config: AcceleratorConfig) -> float:
    """Time of an instruction that hardly does anything, tokens included."""
    pair = encode([Load(memory=Memory.INP, push_next=True), Gemm(pop_prev=True)], config)
    program = np.concatenate([np.tile(pair, (INSTRUCTIONS // 2, 1)), encode([Finish()], config)])
    with FunctionalDevice(config, dram_size=16 << 20) as device:
        launch = Launch(_place(device, program), len(program))
        return _seconds(device, launch, 3) / len(program) * 1e6


def measure() -> dict[str, float | int | str]:
    """Medians of several launches; the compile time is that of one configuration's kernels."""
    config = AcceleratorConfig()
    kernels.cache_clear()
    start = time.perf_counter()
    kernels(config, packing_for(config, portable=False))
    compile_seconds = time.perf_counter() - start
    return {
        "gmacs_per_second": round(_gmacs(config, portable=False), 1),
        "portable_gmacs_per_second": round(_gmacs(config, portable=True), 1),
        "compile_ms": round(compile_seconds * 1e3, 1),
        "us_per_instruction": round(_instruction_microseconds(config), 2),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure the functional simulator.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    arguments = parser.parse_args()
    figures = measure()
    print(json.dumps(figures) if arguments.json else "\n".join(f"{k:28} {v}" for k, v in figures.items()))
