"""Programs of several layers: the bytes of one launch after another, sound, in fewer cycles."""

import random
from dataclasses import replace

import numpy as np
import pytest
from support.chains import random_chain
from support.convolution import CONFIGS
from support.soundness import assert_module_sound
from weft_hardware.encoding import as_words, decode
from weft_hardware.isa import Load, Memory, Set, SetRegister
from weft_hardware.presets import VTA
from weft_runtime.check import check_module
from weft_runtime.session import Session
from weft_simulator.functional import FunctionalDevice
from weft_simulator.timing.device import TimingDevice
from weft_simulator.tsim.model import MemoryTiming

FLAGS = ("pop_prev", "pop_next", "push_prev", "push_next")
CHOICES = {
    "vta": VTA,
    "requantising": CONFIGS["requantising"],
    "residual": replace(CONFIGS["requantising"], residual=True, param_depth=8),
    "shallow": replace(CONFIGS["requantising"], token_queue_depth=2, command_queue_depth=2, uop_depth=16),
}


def chain_of(seed, name):
    rng = random.Random(f"{seed} {name}")
    most, size = (20_000, 14) if name == "vta" else (4000, 9)
    return random_chain(rng, CHOICES[name], rng.randint(2, 5), most, size)


def results(module, config, seed, **options):
    (info,) = module.content.inputs
    values = np.random.default_rng(seed).integers(-128, 128, info.shape, np.int8)
    with FunctionalDevice(config, **options) as device:
        return module.run(device, values)


def instructions(module):
    config = module.content.config
    return [i for _, _, stream in module.content.launches() for i in decode(as_words(stream, config), config)]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", CHOICES)
def test_chains(name, seed):
    """The same bytes in every buffer, in any order that tokens allow."""
    chain = chain_of(seed, name)
    count = len(chain.parts)
    together = chain.module([range(count)])
    assert_module_sound(together)
    wanted = results(chain.module([[k] for k in range(count)]), chain.config, seed)
    for options in ({}, {"order_seed": seed}, {"order_seed": seed + 100}):
        found = results(together, chain.config, seed, **options)
        assert all(map(np.array_equal, found, wanted)), options


def is_fence(instruction):
    return isinstance(instruction, Load) and instruction.memory == Memory.UOP and instruction.x_size == 0


def test_no_fence_can_be_left_out():
    """A LOAD of what a part before stored races with the STORE as soon as the fence gives it no token."""
    dropped = 0
    for seed in range(4):
        chain = chain_of(seed, "requantising")
        module = chain.module([range(len(chain.parts))])
        content = module.content
        (step,) = content.steps
        for index, instruction in enumerate(instructions(module)):
            if not is_fence(instruction):
                continue
            mutants = []
            for constant in content.constants:
                data = constant.data
                if constant.buffer == step.instructions:
                    words = as_words(data, content.config).copy()
                    words[index, 0] &= ~np.uint64(1 << (3 + FLAGS.index("push_prev")))
                    data = words.tobytes()
                mutants.append(replace(constant, data=data))
            reports = check_module(replace(content, constants=tuple(mutants)))
            assert any(report.findings for _, report in reports)
            dropped += 1
    assert dropped >= 4


def test_registers_are_put_back():
    """A layer that relies on a register's first value gets it, whatever the layer before left there."""
    found = set()
    for seed in range(8):
        chain = chain_of(seed, "requantising")
        together = instructions(chain.module([range(len(chain.parts))]))
        apart = instructions(chain.module([[k] for k in range(len(chain.parts))]))
        sets = [sum(isinstance(i, Set) for i in program) for program in (together, apart)]
        assert sets[0] >= sets[1]
        if sets[0] > sets[1]:
            found |= {SetRegister(i.register) for i in together if isinstance(i, Set)}
    assert SetRegister.PARAM in found


@pytest.mark.parametrize("seed", range(3))
def test_the_parts_of_a_launch_add_up(seed):
    """Cycles, and what each module did in them, layer by layer; together they take less than apart."""
    chain = chain_of(seed, "vta")
    count = len(chain.parts)
    memory = MemoryTiming(read_latency=50)
    totals = []
    for groups in ([range(count)], [[k] for k in range(count)]):
        module = chain.module(groups)
        with TimingDevice(chain.config, memory=memory) as device, Session(module, device) as session:
            session.run(np.zeros(module.content.inputs[0].shape, np.int8))
        totals.append(sum(report.cycles for _, report in session.last_launches))
        assert sum(layer.cycles for layer in session.last_profile) == totals[-1]
        for layer in session.last_profile:
            assert all(sum(counts.values()) == layer.cycles for counts in layer.activity.values())
            assert all(n >= 0 for counts in layer.activity.values() for n in counts.values())
    assert totals[0] < totals[1]
