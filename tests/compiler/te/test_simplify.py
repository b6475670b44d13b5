"""Simplified expressions are shorter, and equal to what they came from: on examples and at random."""

import random
from itertools import product

import pytest
from weft_compiler.te import const, maximum, minimum, placeholder, select
from weft_compiler.te.expr import INDEX, Axis, Binary, Compare, Const, Select
from weft_compiler.te.interval import interval
from weft_compiler.te.linear import Linear, linear
from weft_compiler.te.rewrite import substitute, walk
from weft_compiler.te.simplify import same, simplify

Y, X, F = Axis("i", 8), Axis("j", 4), Axis("f", 32)
A = placeholder((8,), "int8", "A")
D = placeholder((8,), "int64", "D")
"""Values of the type that indices have: these wrap."""


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ((Y * 4 + X) // 4, "i"),
        ((Y * 4 + X) % 4, "j"),
        ((Y * 4 + X) // 2, "i * 2 + j // 2"),
        ((Y * 4 + X) // 8, "i // 2"),
        ((Y * 4 + X) % 8, "i % 2 * 4 + j"),
        (F // 8 * 8 + F % 8, "f"),
        (F // 4 // 2, "f // 8"),
        ((Y + 3) // 4, "(i + 3) // 4"),
        (Y + X - Y, "j"),
        ((Y - 1) * 3 + X * 0 - Y * 3, "-3"),
        (minimum(Y, 7), "i"),
        (maximum(Y, 3), "max(i, 3)"),
        (Y < 8, "True"),
        (Y < 7, "i < 7"),
        (Y.equal(9), "False"),
        ((Y < 8) & (X < 3), "j < 3"),
        (select(Y >= 0, A[Y], 0), "A[i]"),
        (A[Y] * 1 + 0, "A[i]"),
        (const(100, "int8") + const(100, "int8"), "-56"),
        (D[Y] * 4 // 4, "D[i] * 4 // 4"),
        (D[Y] + 1 < D[Y], "D[i] + 1 < D[i]"),
        (maximum(D[Y] + 1, D[Y]), "max(D[i] + 1, D[i])"),
        (D[Y] + Y - D[Y], "i"),
    ],
)
def test_examples(expression, text):
    assert str(simplify(expression)) == text


def test_linear_forms():
    assert linear(Y * 3 + X - 2) == Linear(-2, {Y: 3, X: 1})
    assert linear(Y // 3) == Linear(0, {Y // 3: 1})


def test_same_sees_through_the_order_of_terms():
    assert same(Y + X * 2, X + Y + X)
    assert not same(Y + X, Y)
    assert not same(A[Y], A[X])


def test_axes_that_are_not_named_range_over_their_extent():
    assert interval(Y * 4 - X) == (-3, 28)
    assert interval(Y * 4 - X, {Y: (2, 2)}) == (5, 8)
    assert interval(A[Y].cast("int32") + 1) == (-127, 128)
    assert interval(A[Y] + 1) == (-128, 127)


AXES = (Axis("a", 3), Axis("b", 5), Axis("c", 4))


def draw(rng, depth):
    if depth == 0 or rng.random() < 0.15:
        return rng.choice([*AXES, *AXES, Const(rng.randint(-6, 9), INDEX)])
    a, b = draw(rng, depth - 1), draw(rng, depth - 1)
    number = Const(rng.randint(1, 8), INDEX)
    return rng.choice(
        [
            lambda: a + b,
            lambda: a - b,
            lambda: a * number,
            lambda: a // number,
            lambda: a % number,
            lambda: minimum(a, b),
            lambda: maximum(a, b),
            lambda: select(Compare(rng.choice(["lt", "le", "gt", "ge", "eq", "ne"]), a, b), a + 1, b),
        ]
    )()


def value(expr):
    """By Python's own arithmetic."""
    match expr:
        case Const(number, _):
            return number
        case Select(condition, a, b):
            return value(a) if value(condition) else value(b)
        case Compare(op, a, b):
            x, y = value(a), value(b)
            return {"lt": x < y, "le": x <= y, "gt": x > y, "ge": x >= y, "eq": x == y, "ne": x != y}[op]
        case Binary(op, a, b):
            x, y = value(a), value(b)
            if op in ("floordiv", "mod"):
                return x // y if op == "floordiv" else x % y
            return {"add": x + y, "sub": x - y, "mul": x * y, "min": min(x, y), "max": max(x, y)}[op]
    raise AssertionError(expr)


@pytest.mark.parametrize("seed", range(150))
def test_random_expressions_keep_their_value_and_their_bounds(seed):
    rng = random.Random(seed)
    expr = draw(rng, 4)
    short = simplify(expr)
    low, high = interval(expr)
    for point in product(*(range(axis.extent) for axis in AXES)):
        at = {axis: Const(k, INDEX) for axis, k in zip(AXES, point, strict=True)}
        expected = value(substitute(expr, at))
        assert value(substitute(short, at)) == expected, (str(expr), str(short), point)
        assert low <= expected <= high
    assert len(list(walk(short))) <= 2 * len(list(walk(expr)))
