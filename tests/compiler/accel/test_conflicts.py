"""Conflicts against all pairs of instructions that touch a tile, one of them writing."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from support.token_programs import COMPUTE, INP, LOAD, accesses, every_conflict, random_program
from weft_compiler.accel import conflicts as module
from weft_compiler.accel.columns import inverse
from weft_compiler.accel.conflicts import Accesses, Pairs, Past, conflicts
from weft_compiler.accel.tokens import token_flags
from weft_hardware.presets import VTA


def pairs(found):
    return set(zip(found.earlier.tolist(), found.later.tolist(), strict=True))


def same_tokens(queue, some, touched):
    """Whether these pairs ask for the same tokens as those that are found for the program as it stands."""
    found, expected = token_flags(queue, some), token_flags(queue, conflicts(queue, touched).pairs)
    assert any(values.any() for values in expected.values())
    return all((found[name] == expected[name]).all() for name in expected)


def reordered(rng, queue, touched):
    """The position of each instruction after others changed places: compute's order and that at each tile stay."""
    sequence, every = list(range(len(queue))), every_conflict(queue, touched, within=True)
    for k in rng.integers(0, len(queue) - 1, 1000).tolist():
        a, b = sequence[k : k + 2]
        if (a, b) not in every and (b, a) not in every and not queue[a] == queue[b] == COMPUTE:
            sequence[k : k + 2] = b, a
    return inverse(np.array(sequence))


def part(touched, begin, end):
    """What the instructions in ``[begin, end)`` touch, counted from the first of them."""
    chosen = (touched.instruction >= begin) & (touched.instruction < end)
    columns = {name: getattr(touched, name)[chosen] for name in ("memory", "first", "end", "writes")}
    return Accesses(instruction=touched.instruction[chosen] - begin, **columns)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("together", [3, module.TOGETHER])
def test_all_are_conflicts_and_of_a_load_or_store_there_are_two_at_most(seed, together, monkeypatch):
    monkeypatch.setattr(module, "TOGETHER", together)
    queue, touched = random_program(np.random.default_rng(seed), 40)
    found = conflicts(queue, touched).pairs
    assert pairs(found) <= every_conflict(queue, touched), seed
    for column in found:
        others = column[queue[column] != COMPUTE]
        assert len(set(others.tolist())) == len(others), seed


@pytest.mark.parametrize("seed", range(30))
def test_loads_and_stores_change_places(seed):
    rng = np.random.default_rng(seed)
    queue, touched = random_program(rng, 60)
    place = reordered(rng, queue, touched)
    assert (place != np.arange(60)).any()
    found = Pairs(*(place[column] for column in conflicts(queue, touched).pairs))
    assert same_tokens(queue[np.argsort(place)], found, replace(touched, instruction=place[touched.instruction])), seed


@pytest.mark.parametrize("seed", range(30))
def test_programs_one_after_another(seed):
    rng = np.random.default_rng(seed)
    queue, touched = random_program(rng, 60)
    cuts = [0, *sorted(rng.integers(1, 59, 2).tolist()), 60]
    past, found = Past(VTA), []
    for begin, end in pairwise(cuts):
        if begin < end:
            known = conflicts(queue[begin:end], part(touched, begin, end)).numbered(np.arange(begin, end))
            found += [known.pairs, past.followed_by(known.cells)]
    together = Pairs(*map(np.concatenate, zip(*found, strict=True)))
    assert pairs(together) <= every_conflict(queue, touched), seed
    assert same_tokens(queue, together, touched), seed


def test_where_a_buffer_lies_does_not_matter():
    rng = np.random.default_rng(1)
    queue, touched = random_program(rng, 60)
    by = np.where(touched.memory == INP, 100, 50)
    moved = replace(touched, first=touched.first + by, end=touched.end + by)
    assert pairs(conflicts(queue, touched).pairs) == pairs(conflicts(queue, moved).pairs)


def test_an_empty_range_touches_nothing():
    found = conflicts(np.array([LOAD, COMPUTE]), accesses((0, INP, 0, 4, 1), (1, INP, 2, 2, 0)))
    assert not pairs(found.pairs)
    assert found.cells.begin.tolist() == [0, 2]
    assert found.cells.end.tolist() == [2, 4]
    assert found.cells.first[0].tolist() == [[0, 0], [-1, -1], [-1, -1]]
