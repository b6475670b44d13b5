"""Queue order and tokens against the oracle's list of predecessors."""

import pytest
from support.configs import CONFIGS
from weft_hardware.encoding import encode
from weft_hardware.isa import Finish, Load, Memory
from weft_runtime.check.order import NEVER, legal_order, pushers
from weft_runtime.schedule import plan_of
from weft_simulator.lockstep.generator import generate
from weft_simulator.lockstep.oracle import predecessors, token_edges

NOTHING = {"memory": int(Memory.INP)}


def plan(instructions, config=CONFIGS["vta"]):
    return plan_of(encode(instructions, config), config)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_pop_takes_its_push(name):
    for seed in range(10):
        program = generate(CONFIGS[name], seed)
        sources = pushers(plan(program.instructions, program.config))
        found = {(pusher, popper) for popper, of in sources.items() for pusher in of}
        assert found == set(token_edges(program.instructions)[0])


def test_a_pop_that_nobody_pushes():
    instructions = [Load(**NOTHING, pop_next=True), Finish(push_prev=True), Load(**NOTHING, pop_next=True)]
    assert pushers(plan(instructions)) == {0: [1], 2: [NEVER]}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_order_is_legal_and_complete(name):
    for seed in range(10):
        program = generate(CONFIGS[name], seed)
        direct = predecessors(program.instructions)
        of_queues = plan(program.instructions, program.config)
        order = list(legal_order(of_queues, pushers(of_queues)))
        assert sorted(order) == list(range(len(direct)))
        done: set[int] = set()
        for index in order:
            assert done.issuperset(direct[index])
            done.add(index)


def test_program_order_is_kept_where_it_is_legal():
    instructions = [Load(**NOTHING, push_next=True), Finish(pop_prev=True, push_prev=True), Load(**NOTHING)]
    of_queues = plan(instructions)
    assert list(legal_order(of_queues, pushers(of_queues))) == [0, 1, 2]


def test_what_waits_for_ever_is_left_out():
    instructions = [Load(**NOTHING), Load(**NOTHING, pop_next=True), Load(**NOTHING), Finish()]
    of_queues = plan(instructions)
    assert list(legal_order(of_queues, pushers(of_queues))) == [0, 3]
