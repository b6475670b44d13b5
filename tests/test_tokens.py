"""Token traffic alone: instructions that move no data, at random, until queues are full and programs hang.

What hangs hangs in every simulator, for the same reason; what completes completes in all.
"""

import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from support.configs import CONFIGS
from support.devices import shared_device
from support.soundness import report_of
from weft_hardware.isa import Alu, Finish, Gemm, Load, Memory, Queue, Store
from weft_runtime.errors import DeadlockError, TokenError
from weft_simulator.lockstep.generator import DRAM_BASE, DRAM_SIZE, INSN_REGION
from weft_simulator.lockstep.oracle import judge
from weft_simulator.lockstep.program import Program
from weft_simulator.lockstep.tokens import CHANNELS, COMPUTE, LOAD, STORE, pop_flag, push_flag

IDLE = {
    LOAD: [Load(memory=int(Memory.INP)), Load(memory=int(Memory.WGT), x_size=5)],
    COMPUTE: [Load(memory=int(Memory.UOP)), Load(memory=int(Memory.ACC), y_size=3), Gemm(), Alu(iter_out=2)],
    STORE: [Store(memory=int(Memory.OUT)), Store(memory=int(Memory.OUT), x_size=3)],
}
# Command queues of 16 and token queues of 8; token queues of 2.
names = pytest.mark.parametrize("name", ["batch2", "int16"])


def token_program(config, seed):
    """Instructions without data, tokens in pairs that sometimes point backwards, sometimes one push or pop too many."""
    rng = random.Random(seed)
    count = rng.choice((6, 20, 40, 80))
    queues: list[Queue] = []
    while len(queues) < count:
        queues += [rng.choice(list(Queue))] * rng.randint(1, rng.choice((1, 4, 20)))
    instructions = [rng.choice(IDLE[queue]) for queue in queues]
    places = {queue: [k for k, q in enumerate(queues) if q is queue] for queue in Queue}
    for channel in CHANNELS:
        most = min(len(places[channel[0]]), len(places[channel[1]]))
        pairs = rng.randint(0, most) if rng.random() < 0.5 else 0
        odd = rng.random() < 0.05
        for index in rng.sample(places[channel[0]], pairs):
            instructions[index] = replace(instructions[index], **{push_flag(channel): True})
        for index in rng.sample(places[channel[1]], max(0, pairs - odd)):
            instructions[index] = replace(instructions[index], **{pop_flag(channel): True})
    image = np.zeros(DRAM_SIZE, np.uint8)
    program = Program(
        config, [*instructions, Finish()], image, DRAM_BASE, {}, DRAM_BASE + INSN_REGION[0], f"seed {seed}"
    )
    program.install()
    return program


def outcome(kind, program):
    """How a launch ends: an error class and its message, or None."""
    device, dram = shared_device(kind, program.config)
    dram.data[:] = program.image
    try:
        device.launch(program.launch())
    except (DeadlockError, TokenError) as error:
        return type(error), str(error)
    return None


def check_against_the_oracle(program, found):
    """The static check says it in the device's words, the oracle agrees."""
    report = report_of(program)
    assert [report.sentence(finding) for finding in report.findings] == ([found[1]] if found else [])
    verdict = judge(program)
    if verdict.hangs:
        assert found is not None, program
        assert found[0] is DeadlockError, program
    elif verdict.completes:
        assert (found and found[0]) is (TokenError if verdict.leftover else None), (found, program)
    return "hangs" if verdict.hangs else "completes" if verdict.completes else "on the edge"


@names
def test_functional(name, first_seed, program_count):
    kinds = Counter()
    for seed in range(first_seed, first_seed + program_count(400)):
        program = token_program(CONFIGS[name], seed)
        kinds[check_against_the_oracle(program, outcome("functional", program))] += 1
    if sum(kinds.values()) >= 400:
        assert min(kinds["hangs"], kinds["completes"]) > 40, kinds


@pytest.mark.rtl
@names
def test_rtl(name, first_seed, program_count):
    for seed in range(first_seed, first_seed + program_count(200)):
        program = token_program(CONFIGS[name], seed)
        found = outcome("tsim", program)
        check_against_the_oracle(program, found)
        assert found == outcome("functional", program), program
