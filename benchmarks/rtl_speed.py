"""How fast tsim simulates: clock cycles and MACs a second on a GEMM-heavy stream, whole accelerator, one thread."""

from __future__ import annotations

import statistics
import time

import numpy as np
from weft_hardware.encoding import encode, pack_uops
from weft_hardware.isa import Finish, Gemm, Load, Memory
from weft_hardware.presets import load_config
from weft_runtime.device import Launch
from weft_simulator.tsim.device import TsimDevice

UOPS = 128
GEMMS = 64
REPEATS = 5


def measure() -> dict[str, float | int | str]:
    """Median of several launches of 64 GEMM instructions of 8,192 micro-ops each, scratchpads full of random data."""
    config = load_config("vta")
    rng = np.random.default_rng(0)
    with TsimDevice(config) as device:
        dst = np.arange(UOPS)
        uops = pack_uops(config, dst, rng.integers(0, 1024, UOPS), rng.integers(0, 512, UOPS))
        inp = rng.integers(0, 256, config.inp_depth * config.inp_tile_bits // 8, dtype=np.uint8)
        wgt = rng.integers(0, 256, config.wgt_depth * config.wgt_tile_bits // 8, dtype=np.uint8)
        region = device.allocate(1 << 20)
        inp_at, wgt_at, insn_at = 1 << 15, 1 << 16, 1 << 19
        gemm = Gemm(
            uop_end=UOPS, iter_out=8, iter_in=8, dst_out=128, dst_in=0, src_out=64, src_in=8, wgt_out=32, wgt_in=4
        )
        program = [
            Load(memory=Memory.UOP, x_size=UOPS, y_size=1, x_stride=UOPS),
            Load(memory=Memory.INP, dram=inp_at // 16, x_size=2048, y_size=1, x_stride=2048),
            Load(memory=Memory.WGT, dram=wgt_at // 256, x_size=1024, y_size=1, x_stride=1024, push_next=True),
            Load(memory=Memory.UOP, pop_prev=True),
            *[gemm] * GEMMS,
            Finish(),
        ]
        words = encode(program, config)
        for at, data in ((0, uops), (inp_at, inp), (wgt_at, wgt), (insn_at, words)):
            device.write(region + at, np.frombuffer(data.tobytes(), np.uint8))
        launch = Launch(region + insn_at, len(program), dict.fromkeys(Memory, region))
        cycles = device.launch(launch).cycles or 0
        seconds = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            device.launch(launch)
            seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds)
    macs = GEMMS * UOPS * 64 * config.macs
    return {
        "cycles": cycles,
        "khz": round(cycles / median / 1e3, 1),
        "mmacs_per_second": round(macs / median / 1e6, 1),
        "macs_per_cycle": round(macs / cycles, 2),
        "peak_macs_per_cycle": config.macs,
        "median_seconds": round(median, 4),
    }
