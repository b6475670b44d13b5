"""Dependency tokens against the pairs of instructions that race without them."""

import numpy as np
import pytest
from support.token_programs import COMPUTE, INP, LOAD, STORE, accesses, every_conflict, pairs_by_flags, random_program
from weft_compiler.accel.conflicts import conflicts
from weft_compiler.accel.tokens import token_flags, waits


def ordered(queue, edges):
    """``before[a, b]``: instruction a is done before b begins, by its queue's order and the tokens."""
    count = len(queue)
    before = np.zeros((count, count), bool)
    for a in range(count):
        for b in range(a + 1, count):
            before[a, b] = queue[a] == queue[b]
    for a, b in edges:
        before[a, b] = True
    for k in range(count):
        before |= before[:, [k]] & before[[k], :]
    return before


@pytest.mark.parametrize("seed", range(30))
def test_tokens_order_every_conflict_and_none_is_in_vain(seed):
    rng = np.random.default_rng(seed)
    queue, touched = random_program(rng, 40)
    needed = every_conflict(queue, touched)
    assert needed
    edges = pairs_by_flags(queue, token_flags(queue, conflicts(queue, touched).pairs))
    before = ordered(queue, edges)
    assert all(before[pair] for pair in needed), seed
    for edge in edges:
        without = ordered(queue, [e for e in edges if e != edge])
        assert not all(without[pair] for pair in needed), (seed, edge)


def test_a_token_covers_all_that_came_before():
    queue = np.array([LOAD, LOAD, COMPUTE, COMPUTE, LOAD])
    touched = accesses((0, INP, 0, 4, 1), (1, INP, 4, 8, 1), (2, INP, 0, 8, 0), (3, INP, 0, 4, 0), (4, INP, 0, 4, 1))
    found = {(int(s), int(t)): (a.tolist(), b.tolist()) for s, t, a, b in waits(queue, conflicts(queue, touched).pairs)}
    assert found == {
        (LOAD, COMPUTE): ([1], [2]),
        (COMPUTE, LOAD): ([3], [4]),
        (COMPUTE, STORE): ([], []),
        (STORE, COMPUTE): ([], []),
    }
