"""What is illegal is said once, in the instruction set: words of random bits, on every simulator."""

import random

import numpy as np
import pytest
from support.configs import CONFIGS, EXTENDED
from support.devices import KINDS, shared_device
from weft_hardware.encoding import decode, encode, pack
from weft_hardware.isa import INSTRUCTIONS, Finish, Instruction, illegal_reason, layout
from weft_hardware.registers import Cause, Unit
from weft_runtime.device import Launch
from weft_runtime.diagnosis import command_queues
from weft_runtime.errors import FaultError
from weft_simulator.lockstep.generator import DRAM_BASE

ALL = CONFIGS | EXTENDED
UNKNOWN_OPCODE = 7
IDLE = dict.fromkeys(("x_size", "iter_out", *layout(Instruction, CONFIGS["vta"])), 0)
"""Fields that are 0 so that a legal instruction does nothing and waits for nobody."""


def random_word(rng, config):
    """One encoded instruction of random fields, its reserved bits random too; may be of the opcode that is none."""
    cls = rng.choice((*INSTRUCTIONS, None))
    positions = layout(cls or Instruction, config)
    wild = dict.fromkeys(("y_pad0", "y_pad1", "x_pad0", "x_pad1", "mode"), 0) if rng.random() < 0.5 else {}
    drawn = {n: rng.getrandbits(p.width) - (p.bits.signed << (p.width - 1)) for n, p in positions.items()}
    chosen = drawn | {name: 0 for name in IDLE | wild if name in positions}
    used = sum(((1 << p.width) - 1) << p.offset for p in positions.values()) | UNKNOWN_OPCODE
    word = pack(cls, config, **chosen) if cls else np.full_like(encode([Finish()], config), 0)
    word[0, 0] |= np.uint64(0 if cls else UNKNOWN_OPCODE)
    reserved = rng.getrandbits(64 * word.size) & ~used
    return word | np.array([[reserved >> 64 * k & (1 << 64) - 1 for k in range(word.size)]], np.uint64)


def is_legal(word, config):
    if int(word[0, 0]) & 7 == UNKNOWN_OPCODE:
        return False
    return illegal_reason(decode(word, config)[0], config) is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["vta", "deep", *EXTENDED])
def test_what_the_instruction_set_refuses_faults_and_nothing_else(kind, name, first_seed, program_count):
    """Every program holds legal instructions, and as its last but one an illegal one, which is named with its unit."""
    config, rng = ALL[name], random.Random(first_seed)
    device, dram = shared_device(kind, config)
    legal = [encode([Finish()], config)]
    refused = 0
    for _ in range(program_count(250)):
        word = random_word(rng, config)
        if is_legal(word, config):
            legal.append(word)
            continue
        program = np.concatenate([*rng.choices(legal, k=rng.randrange(4)), word, legal[0]])
        raw = np.frombuffer(program.astype("<u8").tobytes(), np.uint8)
        dram.data[: raw.size] = raw
        with pytest.raises(FaultError) as caught:
            device.launch(Launch(DRAM_BASE, len(program), {}))
        fault = caught.value.fault
        queue = command_queues(word, config)[0]
        assert (fault.cause, fault.unit) == (Cause.ILLEGAL_INSTRUCTION, Unit(queue)), word
        assert str(caught.value).startswith(f"instruction {len(program) - 2}"), str(caught.value)
        refused += 1
    program = np.concatenate([*legal, legal[0]])
    raw = np.frombuffer(program.astype("<u8").tobytes(), np.uint8)
    dram.data[: raw.size] = raw
    assert device.launch(Launch(DRAM_BASE, len(program), {})).instructions == len(program)
    assert min(refused, len(legal)) > program_count(250) // 10
