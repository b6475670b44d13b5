"""Random schedules touch only what exists, was written, and no other iteration of an unordered loop touches."""

import random
from collections import Counter

import pytest
from support.te_accesses import AccessError, Accesses
from support.te_schedules import random_schedule
from support.te_workloads import KINDS
from weft_compiler import te
from weft_compiler.te.expand import expand
from weft_compiler.te.expr import Axis, Const, Read
from weft_compiler.te.nest import Allocate, Assign, Block, Buffer, For, Nest


def check(seeds):
    for seed in seeds:
        rng = random.Random(seed)
        schedule = random_schedule(rng, KINDS[seed % len(KINDS)](rng).outputs, Counter())
        try:
            Accesses(expand(schedule.lower()))
        except AccessError as error:
            raise AssertionError(f"seed {seed}: {error}\n{schedule.loops()}\n{schedule.trace}") from None


def test_random_schedules():
    check(range(5000, 5032))


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_hundreds_of_random_schedules(block):
    check(range(6000 + 40 * block, 6040 + 40 * block))


X, Y, T = Buffer("X", (4,), "int32"), Buffer("Y", (4,), "int32"), Buffer("T", (1,), "int32")
AXIS, SHORT = Axis("i", 4), Axis("j", 3)
ZERO = Const(0, "int64")


def nest(body):
    return Nest((X,), (Y,), body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (For(AXIS, "serial", Assign(Y, (AXIS + 1,), Read(X, (AXIS,)))), "Y[4] is outside [4]"),
        (For(AXIS, "serial", Assign(Y, (AXIS,), Read(X, (AXIS - 1,)))), "X[-1] is outside [4]"),
        (For(SHORT, "serial", Assign(Y, (SHORT,), Read(X, (SHORT,)))), "3 of 4 elements of Y are written"),
        (
            Allocate(T, For(AXIS, "serial", Assign(Y, (AXIS,), Read(T, (ZERO,))))),
            "T[0] is read before it is written",
        ),
        (
            Allocate(
                T,
                For(
                    AXIS,
                    "vectorize",
                    Block((Assign(T, (ZERO,), Read(X, (AXIS,))), Assign(Y, (AXIS,), Read(T, (ZERO,))))),
                ),
            ),
            "iterations of i share T[0]",
        ),
        (Assign(X, (ZERO,), te.const(1, "int32")), "input X is written"),
    ],
)
def test_what_the_check_finds(body, message):
    with pytest.raises(AccessError) as error:
        Accesses(nest(body))
    assert str(error.value) == message


def test_each_iteration_may_have_memory_of_its_own():
    body = Allocate(T, Block((Assign(T, (ZERO,), Read(X, (AXIS,))), Assign(Y, (AXIS,), Read(T, (ZERO,))))))
    Accesses(nest(For(AXIS, "vectorize", body)))
