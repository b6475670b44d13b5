"""Scalar expressions: types, what is refused and in which words, and how they print."""

import pytest
from weft_compiler.errors import ExpressionError
from weft_compiler.te import const, maximum, placeholder, round_even, select
from weft_compiler.te.expr import Axis, Binary

Y, X = Axis("i", 8), Axis("j", 4)
A = placeholder((8, 4), "int8", "A")
V = placeholder((8,), "float32", "x")


def test_equal_when_built_alike_and_axes_only_themselves():
    assert A[Y, X] + 1 == A[Y, X] + 1
    assert A[Y, X] + 1 != A[Y, X] + 2
    assert Axis("i", 8) != Y
    assert hash(Y * 4 + X) == hash(Y * 4 + X)


def test_numbers_take_the_type_of_the_other_operand():
    assert (A[Y, X] * 3).dtype == "int8"
    assert (2.0 * V[Y]).dtype == "float32"
    assert (Y < 3).dtype == "bool"


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (lambda: (Y + X) * 2 - (Y - X), "(i + j) * 2 - (i - j)"),
        (lambda: Y * 4 + X // 2 % 3, "i * 4 + j // 2 % 3"),
        (lambda: A[Y, X].cast("int32") + 5, "int32(A[i, j]) + 5"),
        (lambda: select((Y >= 1) & (Y < 7), V[Y - 1], 0.0), "select((i >= 1) & (i < 7), x[i - 1], 0.0)"),
        (lambda: maximum(V[Y], 0.5) / 2, "max(x[i], 0.5) / 2.0"),
        (lambda: round_even(V[Y]), "round_even(x[i])"),
        (lambda: (A[Y, X] >> 2) & 3, "A[i, j] >> 2 & 3"),
        (lambda: -Y, "0 - i"),
    ],
)
def test_text(expression, text):
    assert str(expression()) == text


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (
            lambda: A[Y, X] + Y,
            'add of int8 and int64: the types differ; cast one: x.cast("int8")',
        ),
        (lambda: A[Y, X] + 200, "200 does not fit int8 (-128..127); cast to a wider type first"),
        (lambda: A[Y, X] * 0.5, "0.5 is no int8; cast the other operand to float32"),
        (lambda: A[Y, X] / 2, "div of int8: div divides floats; use // or cast to float32"),
        (lambda: V[Y] // 2, "floordiv of float32: floordiv takes integers; cast"),
        (lambda: Y // X, "floordiv by (j): the divisor must be a positive constant"),
        (lambda: Y % 0, "mod by (0): the divisor must be a positive constant"),
        (lambda: (Y < 3) + (X < 2), "add of bool: add takes numbers; cast, or choose by select"),
        (lambda: bool(Y < 3), "(i < 3) has no value before it runs; combine conditions by & and |, choose by select"),
        (lambda: select(Y, Y, X), "select by a int64: the condition must be a bool; compare it"),
        (lambda: A[Y], "A has 2 dimensions, 1 indices are given"),
        (lambda: V[A[Y, X]], 'x is indexed by int8; cast it: index.cast("int64")'),
        (lambda: Y.cast("int4"),
         "dtype 'int4' is unknown; choose one of bool, int8, uint8, int16, int32, int64, float32"),
        (lambda: round_even(Y), "round_even(int64): it takes one float32; cast the argument"),
        (lambda: Binary("add", const(1, "int8"), const(1, "int32")),
         'add of int8 and int32: the types differ; cast one: x.cast("int8")'),
    ],
)  # fmt: skip
def test_refusals(expression, message):
    with pytest.raises(ExpressionError) as error:
        expression()
    assert str(error.value) == message
