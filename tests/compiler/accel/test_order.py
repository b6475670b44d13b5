"""Streams that can be fetched: everybody comes after all that he waits for."""

from dataclasses import replace

import numpy as np
import pytest
from support.token_programs import COMPUTE, LOAD, STORE, pairs_by_flags, random_program
from weft_compiler.accel.conflicts import conflicts
from weft_compiler.accel.order import fetch_order
from weft_compiler.accel.tokens import NEIGHBOURS, token_flags
from weft_compiler.errors import CompileError
from weft_hardware.presets import VTA


def shallow(commands, tokens):
    return replace(VTA, command_queue_depth=commands, token_queue_depth=tokens)


def runs(queue, flags, place, config):
    """Whether the three modules reach the end, with queues as deep as the configuration has them."""
    stream = np.argsort(place).tolist()
    commands = {q: [] for q in (LOAD, COMPUTE, STORE)}
    started = dict.fromkeys(commands)
    tokens = {(s, t): 0 for s, t, _, _ in NEIGHBOURS}
    done, fetched = 0, 0
    while True:
        moved = False
        while fetched < len(stream) and len(commands[queue[stream[fetched]]]) < config.command_queue_depth:
            commands[queue[stream[fetched]]].append(stream[fetched])
            fetched, moved = fetched + 1, True
        for q, waiting in commands.items():
            if started[q] is None and waiting:
                pops = [(s, t) for s, t, _, pop in NEIGHBOURS if t == q and flags[pop][waiting[0]]]
                if all(tokens[way] for way in pops):
                    for way in pops:
                        tokens[way] -= 1
                    started[q], moved = waiting.pop(0), True
            if started[q] is not None:
                pushes = [(s, t) for s, t, push, _ in NEIGHBOURS if s == q and flags[push][started[q]]]
                if all(tokens[way] < config.token_queue_depth for way in pushes):
                    for way in pushes:
                        tokens[way] += 1
                    started[q], done, moved = None, done + 1, True
        if not moved:
            return done == len(stream)


@pytest.mark.parametrize(("commands", "tokens"), [(512, 255), (4, 8), (2, 2), (2, 1)])
@pytest.mark.parametrize("seed", range(20))
def test_every_program_runs_to_its_end(seed, commands, tokens):
    rng = np.random.default_rng(seed)
    queue, touched = random_program(rng, 60)
    flags = token_flags(queue, conflicts(queue, touched).pairs)
    config = shallow(commands, tokens)
    try:
        place = fetch_order(queue, flags, config)
    except CompileError:
        assert tokens < 8, seed
        return
    for q in (LOAD, COMPUTE, STORE):
        assert (np.diff(place[queue == q]) > 0).all(), seed
    for earlier, later in pairs_by_flags(queue, flags):
        assert place[earlier] < place[later], seed
    assert runs(queue, flags, place, config), seed


def test_a_load_moves_up_to_behind_what_it_waits_for():
    queue = np.array([LOAD, COMPUTE, COMPUTE, COMPUTE, LOAD])
    flags = {name: np.zeros(5, bool) for name in ("pop_prev", "pop_next", "push_prev", "push_next")}
    flags["push_prev"][1] = flags["pop_next"][4] = True
    assert fetch_order(queue, flags, VTA).tolist() == [0, 1, 3, 4, 2]
    assert fetch_order(queue, flags, shallow(4, 1)).tolist() == [0, 1, 2, 4, 3]


def test_too_few_tokens_are_refused():
    queue = np.array([LOAD, LOAD, COMPUTE, COMPUTE, LOAD, LOAD, COMPUTE, COMPUTE])
    flags = {name: np.zeros(8, bool) for name in ("pop_prev", "pop_next", "push_prev", "push_next")}
    flags["push_next"][:2] = flags["push_prev"][2:4] = True
    flags["pop_next"][4:6] = flags["pop_prev"][6:] = True
    assert fetch_order(queue, flags, shallow(2, 2)).tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    # Each of the first two pairs fills a token queue that the other module empties only after it.
    with pytest.raises(CompileError) as refused:
        fetch_order(queue, flags, shallow(2, 1))
    assert str(refused.value) == (
        "token_queue_depth = 1 is too few for this program's slots and virtual threads; "
        "use fewer of them, or deeper token queues"
    )
