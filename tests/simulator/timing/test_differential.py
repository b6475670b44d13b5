"""The timing model against the RTL, to the cycle, and what each module does in it."""

import random

import numpy as np
import pytest
from support.configs import CONFIGS, EXTENDED
from support.devices import shared_device
from weft_hardware.encoding import encode
from weft_hardware.errors import WeftError
from weft_hardware.isa import Finish, Instruction, Load, Memory, Queue, Store
from weft_hardware.registers import Activity
from weft_runtime.device import Launch
from weft_simulator.lockstep.campaign import comparable, spoilt
from weft_simulator.lockstep.generator import generate
from weft_simulator.lockstep.pairwise import CONFIGURATIONS

pytestmark = pytest.mark.rtl

LATENCIES = (0, 20, 50, 200)


def both(config, latency, write_latency=0):
    """The devices with their memories, the RTL first."""
    timing = {"write_latency": write_latency} if write_latency else {}
    return [shared_device(kind, config, latency, **timing) for kind in ("tsim", "timing")]


def outcome(device, dram, program):
    """The cycles a program takes and what each module spends them on, or what it is refused with."""
    dram.data[:] = program.image
    try:
        report = device.launch(program.launch())
        return report.cycles, report.activity
    except WeftError as error:
        return f"{type(error).__name__}: {comparable(str(error), program.config)}"


def compare(config, latency, programs, write_latency=0):
    devices = both(config, latency, write_latency)
    taken = {program.name: [outcome(*device, program) for device in devices] for program in programs}
    different = {name: pair for name, pair in taken.items() if pair[0] != pair[1]}
    assert not different, f"{len(different)} of {len(taken)} programs differ, (RTL, model): {different}"
    return taken


@pytest.mark.parametrize("latency", [0, 50])
@pytest.mark.parametrize("name", ["vta", "batch2", "full"])
def test_random_programs(name, latency):
    config = (CONFIGS | EXTENDED)[name]
    print(f"seeds 0..39 at {name}")
    taken = compare(config, latency, (generate(config, seed) for seed in range(40)))
    assert all(isinstance(pair[0], tuple) for pair in taken.values())
    for cycles, activity in (pair[1] for pair in taken.values()):
        assert {queue: sum(counts.values()) for queue, counts in activity.items()} == dict.fromkeys(Queue, cycles)
    store = [activity[Queue.STORE] for _, activity in (pair[1] for pair in taken.values())]
    assert {what for counts in store for what, count in counts.items() if count} == set(Activity)


@pytest.mark.parametrize("latency", [0, 20])
def test_queues_that_are_full(latency):
    """Fetch waits for room in a queue of 16 while its next bursts are granted."""
    config = CONFIGS["batch2"]
    assert config.command_queue_depth < 120
    differ = {}
    for seed in range(20):
        rng = random.Random(seed)
        instructions: list[Instruction] = []
        for _ in range(120):
            kind, memory = (Store, Memory.OUT) if rng.random() < 0.75 else (Load, Memory.INP)
            tiles = rng.randrange(1, 12)
            block = {"dram": 64 * rng.randrange(8), "y_size": 1, "x_size": tiles, "x_stride": tiles}
            instructions.append(kind(memory=memory, **block))
        words = encode([*instructions, Finish()], config)
        taken = []
        for device, dram in both(config, latency):
            dram.data[: words.nbytes] = words.view(np.uint8).reshape(-1)
            launch = Launch(dram.base, len(words), dict.fromkeys(Memory, dram.base + (1 << 15)))
            report = device.launch(launch)
            taken.append((report.cycles, report.activity))
        if taken[0] != taken[1]:
            differ[seed] = taken
    assert not differ


def test_write_latency():
    config = EXTENDED["full"]
    print("seeds 0..19")
    compare(config, 20, (generate(config, seed) for seed in range(20)), write_latency=30)


@pytest.mark.parametrize("name", ["vta", "full"])
def test_programs_that_cannot_end(name):
    """Hangs, left-over tokens and faults are told in the same words."""
    config = (CONFIGS | EXTENDED)[name]
    print("seeds 0..59")
    programs = [program for seed in range(60) if (program := spoilt(generate(config, seed), seed)) is not None]
    taken = compare(config, 0, programs)
    said = " ".join(str(pair[0]) for pair in taken.values())
    assert all(word in said for word in ("DeadlockError", "TokenError", "FaultError"))


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS | EXTENDED | CONFIGURATIONS)
def test_every_configuration(name):
    config = (CONFIGS | EXTENDED | CONFIGURATIONS)[name]
    for latency in LATENCIES:
        print(f"seeds 1000..1049 at {name}, latency {latency}")
        compare(config, latency, (generate(config, seed) for seed in range(1000, 1050)))
