"""The happens-before oracle: what it accepts, and every kind of program it must refuse."""

import random
from dataclasses import replace

import numpy as np
import pytest
from support.configs import CONFIGS
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Finish, Gemm, Load, Memory, Set, SetRegister, Store, StoreMode
from weft_simulator.lockstep.generator import Style, generate
from weft_simulator.lockstep.oracle import Race, judge, linear_order, predecessors, unordered_fraction
from weft_simulator.lockstep.program import Program
from weft_simulator.lockstep.reference import Machine
from weft_simulator.lockstep.tokens import CHANNELS, COMPUTE, LOAD, pop_flag, popped, push_flag, pushed

SMALL = AcceleratorConfig(
    block_in=4,
    block_out=4,
    inp_depth=8,
    wgt_depth=8,
    acc_depth=8,
    uop_depth=8,
    command_queue_depth=4,
    token_queue_depth=2,
)
BLOCK = {"x_size": 1, "y_size": 1}
NOTHING = {"memory": int(Memory.INP)}


def verdict(*instructions, config=SMALL):
    bases = {Memory.INP: 1024, Memory.OUT: 2048, Memory.ACC: 2048}
    return judge(Program(config, list(instructions), np.zeros(8192, np.uint8), 0, bases))


def test_load_and_gemm_race_without_a_token():
    program = [Load(memory=Memory.UOP, **BLOCK), Load(memory=Memory.INP, **BLOCK)]
    gemm = Gemm(uop_end=1, iter_out=1, iter_in=1)
    assert verdict(*program, gemm).races == [Race(1, 2, ("inp",))]
    ordered = [program[0], replace(program[1], push_next=True), replace(gemm, pop_prev=True)]
    assert verdict(*ordered).legal


def test_a_token_in_the_other_direction_orders_the_other_way_round():
    gemm = Gemm(uop_end=1, iter_out=1, iter_in=1, push_prev=True)
    load = Load(memory=Memory.INP, pop_next=True, **BLOCK)
    assert verdict(Load(memory=Memory.UOP, **BLOCK), load, gemm).legal


def test_a_store_and_a_load_race_in_dram():
    bases = {"dram": 256}  # INP tile 256 of 4 bytes lies at 2048, where OUT tile 0 does
    load, store = Load(memory=Memory.INP, **bases, **BLOCK), Store(memory=Memory.OUT, **BLOCK)
    assert verdict(store, load).races == [Race(0, 1, ("dram",))]
    bridge = Load(memory=Memory.UOP, pop_next=True, push_prev=True)
    assert verdict(replace(store, push_prev=True), bridge, replace(load, pop_next=True)).legal


def test_unaligned_neighbours_do_not_conflict():
    load = Load(memory=Memory.INP, dram=257, **BLOCK)
    assert verdict(Store(memory=Memory.OUT, **BLOCK), load).legal


def test_a_store_over_the_instructions_is_refused():
    program = Program(SMALL, [Store(memory=Memory.OUT, **BLOCK)], np.zeros(4096, np.uint8))
    assert judge(program).problems == ["instruction 0 stores over instructions or micro-ops"]


FULL = replace(SMALL, epilogue_lanes=4, residual=True)
REQUANTISE = {"memory": int(Memory.ACC_8BIT), "dram": 512, "x_size": 2, "y_size": 2, "x_stride": 5}


@pytest.mark.parametrize(("away", "stride"), [(1, 5), (-4, 5), (6, 5), (0, 1)])
def test_a_residual_operand_that_is_overwritten_is_refused(away, stride):
    distance = Set(register=SetRegister.RESIDUAL, value=away & 0xFFFFFFFF)
    store = Store(**REQUANTISE | {"x_stride": stride}, mode=int(StoreMode.RESIDUAL))
    found = verdict(distance, store, config=FULL)
    assert found.problems == ["instruction 1 stores over its own residual operand"]


@pytest.mark.parametrize("away", [0, 2, 3, 7, -7])
def test_a_residual_operand_in_place_or_elsewhere(away):
    distance = Set(register=SetRegister.RESIDUAL, value=away & 0xFFFFFFFF)
    assert verdict(distance, Store(**REQUANTISE, mode=int(StoreMode.RESIDUAL)), config=FULL).legal


def test_a_residual_operand_is_a_read():
    """A store's operand and what another queue loads do not conflict; its accumulators and a widening load do."""
    config = replace(FULL, widening_load=True)
    store = Store(**REQUANTISE, mode=int(StoreMode.RESIDUAL))
    load = Load(memory=Memory.ACC_8BIT, dram=600, **BLOCK)
    assert verdict(load, store, config=config).races == [Race(0, 1, ("acc",))]
    assert verdict(replace(load, push_next=True), replace(store, pop_prev=True), config=config).legal


def test_leftover_token():
    assert verdict(Load(**NOTHING, push_next=True), Finish()).leftover == {(LOAD, COMPUTE): 1}


def test_a_pop_that_nothing_pushes_hangs():
    found = verdict(Load(**NOTHING, pop_next=True), Finish())
    assert found.hangs
    assert not found.legal


def test_a_cycle_of_waits_hangs():
    found = verdict(Load(**NOTHING, pop_next=True, push_next=True), Finish(pop_prev=True, push_prev=True))
    assert found.hangs
    assert found.problems == ["tokens form a cycle"]


def test_more_tokens_than_the_queue_holds_wait_but_do_not_hang():
    pushes = [Load(**NOTHING, push_next=True) for _ in range(4)]
    pops = [Load(memory=Memory.UOP, pop_prev=True) for _ in range(4)]
    assert verdict(*pushes, *pops).completes


def test_a_full_command_queue_blocks_fetch():
    """Six loads wait for a token that an instruction behind them gives."""
    blocked = [Load(**NOTHING, pop_next=True), *[Load(**NOTHING)] * 7]
    push = Load(memory=Memory.UOP, push_prev=True)
    assert verdict(*blocked, push).hangs
    assert verdict(blocked[0], push, *blocked[1:]).legal
    assert verdict(*blocked, push, config=replace(SMALL, command_queue_depth=16)).legal


@pytest.mark.parametrize("name", CONFIGS)
def test_generated_programs_are_legal(name):
    for seed in range(20):
        program = generate(CONFIGS[name], seed)
        found = judge(program)
        assert found.legal, f"{found}\n{program}"


def test_the_generator_repeats_itself():
    first, second = (generate(CONFIGS["int4"], 5) for _ in range(2))
    assert str(first) == str(second)
    assert np.array_equal(first.image, second.image)


def test_generated_programs_are_interleaved():
    """Queues run ahead of each other: many pairs are unordered, and nearly every program has many legal orders."""
    fractions, orders = [], []
    for seed in range(60):
        program = generate(CONFIGS["batch2"], seed, Style(length=16, pipelined=bool(seed % 2)))
        fractions.append(unordered_fraction(program, judge(program)))
        direct = predecessors(program.instructions)
        orders.append(len({tuple(linear_order(direct, random.Random(k))) for k in range(10)}))
    assert sum(fractions) / len(fractions) > 0.25
    assert sum(n == 10 for n in orders) > 45


def test_generated_programs_keep_several_tokens_in_flight():
    """Tokens pushed well before they are taken, in every channel."""
    deepest = dict.fromkeys(CHANNELS, 0)
    for seed in range(40):
        program = generate(CONFIGS["vta"], seed, Style(length=40, extra_tokens=0.4))
        level = dict.fromkeys(CHANNELS, 0)
        for index in linear_order(predecessors(program.instructions), random.Random(seed)):
            for channel in popped(program.instructions[index]):
                level[channel] -= 1
            for channel in pushed(program.instructions[index]):
                level[channel] += 1
                deepest[channel] = max(deepest[channel], level[channel])
    assert min(deepest.values()) >= 3


def test_every_legal_order_leaves_the_same_state():
    for seed in range(30):
        program = generate(CONFIGS["batch2"], seed)
        direct = predecessors(program.instructions)
        machines = [Machine(program.config) for _ in range(4)]
        images = [m.run(program, linear_order(direct, random.Random(k))) for k, m in enumerate(machines)]
        for machine, image in zip(machines[1:], images[1:], strict=True):
            assert np.array_equal(image, images[0])
            for name in ("inp", "wgt", "acc", "uop"):
                assert np.array_equal(getattr(machine, name), getattr(machines[0], name))


def test_no_token_is_idle():
    """Nearly every token that is taken out leaves a race behind: programs are not over-serialised."""
    found = []
    for seed in range(25):
        program = generate(CONFIGS["batch2"], seed, Style(length=16, pipelined=bool(seed % 2), extra_tokens=0.0))
        for channel in CHANNELS:
            pushers = [k for k, insn in enumerate(program.instructions) if channel in pushed(insn)]
            poppers = [k for k, insn in enumerate(program.instructions) if channel in popped(insn)]
            for pusher, popper in zip(pushers, poppers, strict=True):
                instructions = list(program.instructions)
                instructions[pusher] = replace(instructions[pusher], **{push_flag(channel): False})
                instructions[popper] = replace(instructions[popper], **{pop_flag(channel): False})
                found.append(bool(judge(replace(program, instructions=instructions)).races))
    assert len(found) > 50
    assert sum(found) / len(found) > 0.9
