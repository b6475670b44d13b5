"""Tensors: what the functions build, and what they refuse."""

import pytest
from weft_compiler import te
from weft_compiler.errors import ExpressionError
from weft_compiler.te.tensor import dependencies

A = te.placeholder((4, 6), "int32", "A")


def test_axes_take_the_names_of_the_parameters():
    b = te.compute((4, 6), lambda row, column: A[row, column] + 1, "B")
    assert [axis.name for axis in b.op.axes] == ["row", "column"]
    assert (b.shape, b.dtype, str(b.op.body)) == ((4, 6), "int32", "A[row, column] + 1")


def test_axes_can_be_named():
    b = te.compute((4, 6), lambda *at: A[at], "B", axes=("y", "x"))
    assert str(b.op.body) == "A[y, x]"


def test_a_reduction():
    k = te.reduce_axis(6, "k")
    s = te.compute((4,), lambda i: te.sum(A[i, k], k), "S")
    assert str(s.op.body) == "sum(A[i, k], over k)"
    assert s.op.reduction == (k,)
    assert s.op.body.combiner.reassociable


def test_a_float_sum_is_reordered_only_where_declared():
    x, k = te.placeholder((6,), "float32", "x"), te.reduce_axis(6, "k")
    assert not te.sum(x[k], k).combiner.reassociable
    assert te.sum(x[k], k, reassociable=True).combiner.reassociable


def test_a_scan_reads_itself_under_a_condition():
    s = te.scan((5, 6), lambda i: A[0, i], lambda s, t, i: s[t - 1, i] + 2, "int32", "S")
    assert str(s.op.body) == "select(t < 1, A[0, i], S[t - 1, i] + 2)"
    assert s.op.axes[0].kind == "time"


def test_dependencies_come_before_what_needs_them():
    b = te.compute((4, 6), lambda i, j: A[i, j] + 1, "B")
    c = te.compute((4, 6), lambda i, j: b[i, j] * A[i, j], "C")
    assert dependencies([c]) == [A, b, c]


K = te.reduce_axis(6, "k")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: te.compute((4, 6), lambda i, j: A[i, j + 1], "B"),
            "B reads A[i, j + 1]: index 1 takes 1..6, A has 0..5; guard it by select(condition, …)",
        ),
        (
            lambda: te.compute((4,), lambda i: te.sum(A[i, K], K) + 1, "B"),
            "B computes with the result of a sum; make the reduction a tensor of its own, then read it",
        ),
        (
            lambda: te.compute((4,), lambda i: A[i, K], "B"),
            "B uses axis k, which is neither its own nor reduced over",
        ),
        (lambda: te.compute((4,), lambda i, j: A[i, j], "B"), "B has 1 dimensions, 2 axes are named"),
        (
            lambda: te.compute((4,), lambda i: 1, "B"),
            "B: the function gives 1, no expression; write const(value, dtype)",
        ),
        (lambda: te.placeholder((4, 0), "int8", "Z"), "Z has an extent of 0; extents are whole numbers from 1"),
        (
            lambda: te.scan((5, 6), lambda i: A[0, i], lambda s, t, i: s[t - 2, i], "int32", "S"),
            "scan S reads its state at time (t - 2); only (t - 1) is known then",
        ),
        (
            lambda: te.compute((4,), lambda i: te.sum(A[i, i], te.Axis("p", 3)), "B"),
            "axis p is parallel; reduce over a reduce_axis",
        ),
    ],
)  # fmt: skip
def test_refusals(build, message):
    with pytest.raises(ExpressionError) as error:
        build()
    assert str(error.value) == message
