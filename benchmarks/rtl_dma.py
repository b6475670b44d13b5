"""How much of the memory port loads and stores use: beats a cycle, whole accelerator in tsim, AXI 64 bits, no stalls.

*bus* is beats ÷ cycles from the first address handshake to the last beat of the transfer; *program* is beats ÷ cycles
of the whole program, its fetch and its end included. Read and write latency are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import encode
from weft_hardware.isa import Finish, Instruction, Load, Memory, Store
from weft_hardware.presets import load_config
from weft_hardware.rtl.accelerator import READ_CLIENTS
from weft_runtime.device import Launch
from weft_simulator.tsim.device import TsimDevice
from weft_simulator.tsim.model import MemoryTiming, Traffic

TILES = 2048
"""Of two beats each: the whole of INP, or of ACC as OUT."""
ROW_TILES = 4
ROW_PITCH = 56
PADS = ("x_pad0", "x_pad1", "y_pad0", "y_pad1")
UOP_LOADS = 16
STREAMS = 4
"""Transfers of a stream."""


@dataclass(frozen=True)
class Run:
    """One program's traffic on the memory port."""

    cycles: int
    reads: dict[str, Traffic]
    writes: Traffic


def run(config: AcceleratorConfig, program: Sequence[Instruction], latency: int) -> Run:
    """Execute a program in a memory of random bytes: tile 0 of every memory at the region's start, code behind."""
    device = TsimDevice(config, memory=MemoryTiming(read_latency=latency, write_latency=latency))
    with device:
        region = device.allocate(1 << 22)
        insn_at = (1 << 22) - (1 << 16)
        rng = np.random.default_rng(0)
        device.write(region, rng.integers(0, 256, insn_at, np.uint8))
        device.write(region + insn_at, np.frombuffer(encode(program, config).tobytes(), np.uint8))
        report = device.launch(Launch(region + insn_at, len(program), dict.fromkeys(Memory, region)))
        reads = {name: device.read_traffic(axi_id) for axi_id, name in enumerate(READ_CLIENTS)}
        return Run(report.cycles or 0, reads, device.write_traffic())


def share(traffic: Traffic) -> float:
    """Beats a cycle, in per cent, from the first address handshake to the last beat."""
    return round(100 * traffic.beats / traffic.cycles, 1)


def load(rows: bool) -> Load:
    """4,096 beats of INP: one row of DRAM, or rows of 8 beats."""
    if rows:
        return Load(memory=Memory.INP, x_size=ROW_TILES, y_size=TILES // ROW_TILES, x_stride=ROW_PITCH)
    return Load(memory=Memory.INP, x_size=TILES, y_size=1, x_stride=TILES)


def store(rows: bool) -> Store:
    """4,096 beats of OUT, behind what `load` reads."""
    behind = TILES // ROW_TILES * ROW_PITCH
    if rows:
        return Store(memory=Memory.OUT, dram=behind, x_size=ROW_TILES, y_size=TILES // ROW_TILES, x_stride=ROW_PITCH)
    return Store(memory=Memory.OUT, dram=behind, x_size=TILES, y_size=1, x_stride=TILES)


GOALS = {("4096 beats", 50): 98, ("4096 beats", 200): 90, ("8-beat rows", 50): 80}


def padded(size: int) -> Load:
    """A square of input tiles with a border of one tile of padding."""
    return Load(memory=Memory.INP, x_size=size, y_size=size, x_stride=ROW_PITCH, **dict.fromkeys(PADS, 1))


def fetches(config: AcceleratorConfig, latency: int) -> Run:
    """Loads of micro-ops, one after another, and a program of some length, beside a stream of long loads."""
    small = Load(memory=Memory.UOP, x_size=1, y_size=1, x_stride=1)
    return run(config, [*[load(rows=False)] * STREAMS, *[small] * UOP_LOADS, Finish()], latency)


def measure() -> dict[str, float | int | str]:
    """Each figure with its goal, for bursts of 256 beats and of 16."""
    figures: dict[str, float | int | str] = {}
    vta = load_config("vta")
    for burst in (256, 16):
        config = replace(vta, max_burst=burst)
        for (shape, latency), goal in GOALS.items():
            rows = shape == "8-beat rows"
            for name, instruction in (("load", load(rows)), ("store", store(rows))):
                result = run(config, [instruction, Finish()], latency)
                traffic = result.reads["load"] if name == "load" else result.writes
                program = round(100 * traffic.beats / result.cycles, 1)
                key = f"{name} {shape}, burst {burst}, latency {latency}"
                figures[key] = f"bus {share(traffic)} %, program {program} % ({result.cycles} cycles), goal {goal} %"
    return {**figures, **_streams(vta), **_others(vta)}


def _streams(config: AcceleratorConfig) -> dict[str, str]:
    """Loads and stores one after another: alone, and both at once."""
    loads, stores = [load(rows=False)] * STREAMS, [store(rows=False)] * STREAMS
    figures: dict[str, str] = {}
    for latency in (0, 50):
        for name, program in (("loads", loads), ("stores", stores), ("loads and stores", [*loads, *stores])):
            result = run(config, [*program, Finish()], latency)
            shares = [f"{share(t)} %" for t in (result.reads["load"], result.writes) if t.beats]
            goal = ", goal 95 % each" if len(shares) == 2 else ""
            figures[f"{STREAMS} {name}, latency {latency}"] = f"bus {' and '.join(shares)}{goal}"
    return figures


def _others(config: AcceleratorConfig) -> dict[str, str]:
    """What is no goal: short loads, padding, micro-ops; how long fetches wait behind long loads."""
    latency, figures = 50, {}
    programs = {
        "64 loads of 32 beats": ("load", [Load(memory=Memory.WGT, sram=k, x_size=1, y_size=1) for k in range(64)]),
        "14 rows of 14 tiles, padding around": ("load", [padded(14)]),
        "8 times 14 rows of 14 tiles, padding around": ("load", [padded(14)] * 8),
    }
    for name, (client, program) in programs.items():
        traffic = run(config, [*program, Finish()], latency).reads[client]
        figures[f"{name}, latency {latency}"] = (
            f"bus {share(traffic)} % ({traffic.beats} beats, {traffic.cycles} cycles)"
        )
    uops = run(config, [Load(memory=Memory.UOP, x_size=1024, y_size=1), Finish()], latency)
    figures[f"1,024 micro-ops, latency {latency}"] = f"{uops.cycles} cycles, {uops.reads['compute'].beats} beats"
    micro_ops = fetches(config, latency).reads["compute"]
    figures[f"{UOP_LOADS} loads of micro-ops beside {STREAMS} of 4096 beats"] = (
        f"{micro_ops.cycles} cycles, {round(micro_ops.cycles / UOP_LOADS)} each"
    )
    return figures
