"""Tiles of STOREs that run ahead of the clock leave the store module when they do cycle by cycle."""

import numpy as np
import pytest
from support.configs import CONFIGS, EXTENDED
from weft_hardware.isa import instruction_bytes
from weft_runtime.dram import Dram
from weft_simulator.lockstep.generator import DRAM_BASE, DRAM_SIZE, generate
from weft_simulator.tsim.model import MemoryTiming

pytest.importorskip("numba", reason="numba is not installed")

from weft_simulator.timing import state
from weft_simulator.timing.device import TimingDevice
from weft_simulator.timing.machine import run
from weft_simulator.timing.parameters import machine_at_rest
from weft_simulator.timing.predict import done_at, started

END = 10_000_000


def ran(timed, launch, config, memory, counts):
    """When each instruction was issued and retired, beats on the memory port in each cycle, and the program's end.

    Where activities are counted, every cycle is looked at.
    """
    machine, uops = machine_at_rest(config, memory), np.zeros(config.uop_depth, state.UOP)
    started(machine, timed, uops)
    moments, traffic = np.zeros(launch.insn_count, state.MOMENTS), np.zeros(1 << 16, state.TRAFFIC)
    s, parameters = machine[0], machine[0]["parameters"]
    parameters["counts"], parameters["span"] = counts, 1
    parameters["residual_begin"], parameters["residual_end"] = DRAM_BASE, DRAM_BASE + DRAM_SIZE
    size = instruction_bytes(config)
    s["fetching"]["slot"] = launch.insn_address // size % parameters["instruction_slots"]
    s["moments"], s["traffic"] = moments.ctypes.data, traffic.ctypes.data
    run(machine.ctypes.data, END, launch.insn_address, launch.insn_count * size)
    assert s["modules"]["retired"].sum() == launch.insn_count
    return done_at(s), moments, traffic, int(s["storing"]["flow_at"])


@pytest.mark.parametrize(("latency", "write_latency"), [(0, 0), (0, 30), (50, 0), (200, 3)])
@pytest.mark.parametrize("name", ["vta", "batch2", "full"])
def test_as_cycle_by_cycle(name, latency, write_latency):
    config, memory = (CONFIGS | EXTENDED)[name], MemoryTiming(read_latency=latency, write_latency=write_latency)
    dram, ahead = Dram.zeros(DRAM_SIZE, DRAM_BASE), 0
    print(f"seeds 0..59 at {name}")
    with TimingDevice(config, dram=dram, memory=memory) as device:
        for seed in range(60):
            program = generate(config, seed)
            dram.data[:] = program.image
            launch = program.launch()
            timed = device._timed(launch)
            *counted, _ = ran(timed, launch, config, memory, 1)
            assert counted[0] < 1 << 16
            *found, flow_at = ran(timed, launch, config, memory, 0)
            ahead += flow_at > 0
            assert found[0] == counted[0], f"seed {seed}"
            for one, other in zip(found[1:], counted[1:], strict=True):
                assert (one == other).all(), f"seed {seed}"
    assert ahead
