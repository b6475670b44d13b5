"""Programs that cannot complete: every simulator refuses them, with the same error in the same words."""

import random

import pytest
from support.configs import CONFIGS, EXTENDED
from support.devices import shared_device
from weft_hardware.isa import Finish, Store
from weft_hardware.registers import Cause
from weft_runtime.errors import DeadlockError, FaultError, TokenError
from weft_simulator.lockstep.differential import random_order
from weft_simulator.lockstep.generator import generate
from weft_simulator.lockstep.oracle import judge
from weft_simulator.lockstep.reference import Machine, ReferenceFaultError
from weft_simulator.lockstep.spoiler import faulty_instructions, with_a_fault, without_a_pop, without_a_push

KINDS = [pytest.param(["functional"]), pytest.param(["functional", "tsim"], marks=pytest.mark.rtl)]
kinds = pytest.mark.parametrize("kinds", KINDS, ids=["functional", "tsim"])
names = pytest.mark.parametrize("name", ["vta", "int4", "deep", "block32"])


def refusal(kinds, program, error):
    """The message with which all devices refuse a program; a legal program must run on them afterwards."""
    messages = set()
    for kind in kinds:
        device, dram = shared_device(kind, program.config)
        dram.data[:] = program.image
        with pytest.raises(error) as caught:
            device.launch(program.launch())
        assert type(caught.value) is error, program
        messages.add(str(caught.value))
    assert len(messages) == 1, f"{messages}\n{program}"
    return messages.pop()


@kinds
@names
def test_a_missing_push_hangs(kinds, name):
    for seed in range(8):
        program = without_a_push(generate(CONFIGS[name], seed), random.Random(seed))
        if program is not None:
            assert judge(program).hangs
            assert refusal(kinds, program, DeadlockError).startswith("deadlock after ")


@kinds
@names
def test_a_missing_pop_leaves_a_token(kinds, name):
    for seed in range(8):
        program = without_a_pop(generate(CONFIGS[name], seed), random.Random(seed))
        if program is not None and judge(program).completes:
            assert sum(judge(program).leftover.values()) == 1
            message = refusal(kinds, program, TokenError)
            assert message.startswith("the program ended with 1 token from ")


@kinds
@names
def test_every_faulty_instruction_is_refused(kinds, name):
    check_faulty_instructions(kinds, CONFIGS[name])


@pytest.mark.parametrize("name", EXTENDED)
def test_every_faulty_instruction_of_the_extensions_is_refused(name):
    check_faulty_instructions(["functional"], EXTENDED[name])


def check_faulty_instructions(kinds, config):
    for seed, (cause, faulty) in enumerate(faulty_instructions(config)):
        program = next(filter(None, (with_a_fault(generate(config, seed + 1000 * k), random.Random(seed), faulty)
                                     for k in range(10))))  # fmt: skip
        with pytest.raises(ReferenceFaultError) as caught:
            Machine(config).run(program, random_order(program, seed))
        assert caught.value.cause is cause, faulty
        message = refusal(kinds, program, FaultError)
        (index,) = [k for k, insn in enumerate(program.instructions) if same_work(insn, faulty)]
        assert message.startswith(f"instruction {index}"), (message, faulty)
        if cause is Cause.SCRATCHPAD_RANGE and isinstance(faulty, Store) and faulty.mode:
            assert f": parameter tile {caught.value.value} is outside the PARAM scratchpad of " in message


def same_work(insn, other):
    """Equal but for the dependency flags."""
    flags = ("pop_prev", "pop_next", "push_prev", "push_next")
    strip = [{n: v for n, v in vars(i).items() if n not in flags} for i in (insn, other)]
    return type(insn) is type(other) and strip[0] == strip[1]


@kinds
@names
def test_a_program_without_finish(kinds, name):
    program = generate(CONFIGS[name], 3)
    program.instructions = [insn for insn in program.instructions if not isinstance(insn, Finish)]
    program.install()
    if judge(program).legal:
        count = len(program.instructions)
        expected = f"all {count} instructions ran and none was FINISH; end the program with FINISH"
        assert refusal(kinds, program, FaultError) == expected


@kinds
@names
def test_a_device_goes_on_after_a_refusal(kinds, name):
    config = CONFIGS[name]
    hangs = without_a_push(generate(config, 1), random.Random(1))
    faults = with_a_fault(generate(config, 2), random.Random(2), faulty_instructions(config)[0][1])
    assert hangs is not None
    assert faults is not None
    for program, error in ((hangs, DeadlockError), (faults, FaultError)):
        refusal(kinds, program, error)
        for kind in kinds:
            device, dram = shared_device(kind, config)
            legal = generate(config, 4)
            dram.data[:] = legal.image
            assert device.launch(legal.launch()).instructions == len(legal.instructions)


def test_the_causes_are_all_covered():
    causes = {cause for cause, _ in faulty_instructions(CONFIGS["vta"])}
    assert causes == {Cause.SCRATCHPAD_RANGE, Cause.ILLEGAL_INSTRUCTION, Cause.WINDOW}
