"""The numpy evaluation against hand-written numpy: it arbitrates, so it is itself held to something."""

import numpy as np
import pytest
from weft_compiler import te
from weft_compiler.errors import ExpressionError
from weft_compiler.te.reference import evaluate

RNG = np.random.default_rng(5)


def one(output, **inputs):
    tensors = {t.name: t for t in te.tensor.dependencies([output]) if t.op is None}
    return evaluate([output], {tensors[name]: values for name, values in inputs.items()})[0]


def test_a_matmul_wraps_at_its_type():
    a, b, k = te.placeholder((3, 40), "int8", "a"), te.placeholder((5, 40), "int8", "b"), te.reduce_axis(40)
    x, y = (RNG.integers(-128, 128, shape, dtype=np.int8) for shape in ((3, 40), (5, 40)))
    wide = te.compute((3, 5), lambda i, j: te.sum(a[i, k].cast("int32") * b[j, k].cast("int32"), k))
    narrow = te.compute((3, 5), lambda i, j: te.sum(a[i, k] * b[j, k], k))
    exact = x.astype(np.int64) @ y.astype(np.int64).T
    np.testing.assert_array_equal(one(wide, a=x, b=y), exact.astype(np.int32))
    np.testing.assert_array_equal(one(narrow, a=x, b=y), exact.astype(np.int8))


def test_a_padded_convolution():
    a, w = te.placeholder((2, 6, 7), "int8", "a"), te.placeholder((3, 2, 3, 3), "int8", "w")
    x, y = RNG.integers(-128, 128, (2, 6, 7), dtype=np.int8), RNG.integers(-128, 128, (3, 2, 3, 3), dtype=np.int8)
    pad = te.compute(
        (2, 8, 9),
        lambda c, i, j: te.select((i >= 1) & (i < 7) & (j >= 1) & (j < 8), a[c, i - 1, j - 1], 0),
        "pad",
    )
    c, p, q = te.reduce_axis(2, "c"), te.reduce_axis(3, "p"), te.reduce_axis(3, "q")
    conv = te.compute(
        (3, 3, 4),
        lambda o, i, j: te.sum(
            pad[c, 2 * i + p, 2 * j + q].cast("int32") * w[o, c, p, q].cast("int32"), (c, p, q)
        ),
    )  # fmt: skip
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1))).astype(np.int32)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))[:, ::2, ::2]
    np.testing.assert_array_equal(one(conv, a=x, w=y), np.einsum("cijpq,ocpq->oij", windows, y.astype(np.int32)))


def test_a_float_sum_runs_in_order():
    x, k = te.placeholder((3,), "float32", "x"), te.reduce_axis(3)
    total = te.compute((1,), lambda i: te.sum(x[k], k))
    assert one(total, x=np.float32([1e8, 1, -1e8])).tolist() == [0.0]
    assert one(total, x=np.float32([1e8, -1e8, 1])).tolist() == [1.0]


def test_a_scan_is_a_recurrence():
    x = te.placeholder((6, 3), "int32", "x")
    s = te.scan((6, 3), lambda i: x[0, i], lambda s, t, i: s[t - 1, i] * 3 + x[t, i], "int32")
    values = RNG.integers(-9, 9, (6, 3), dtype=np.int32)
    expected = values.copy()
    for t in range(1, 6):
        expected[t] += 3 * expected[t - 1]
    np.testing.assert_array_equal(one(s, x=values), expected)


def test_a_scan_that_reduces():
    w, x, k = te.placeholder((4, 4), "int32", "w"), te.placeholder((4,), "int32", "x"), te.reduce_axis(4)
    s = te.scan((5, 4), lambda i: x[i], lambda s, t, i: te.sum(w[i, k] * s[t - 1, k], k), "int32")
    matrix, start = RNG.integers(-3, 3, (4, 4), dtype=np.int32), RNG.integers(-3, 3, 4, dtype=np.int32)
    expected = [np.linalg.matrix_power(matrix, t) @ start for t in range(5)]
    np.testing.assert_array_equal(one(s, w=matrix, x=start), expected)


def test_shifts_by_any_amount():
    x, n = te.placeholder((9,), "int32", "x"), te.placeholder((9,), "int32", "n")
    shifted = te.compute((9,), lambda i: x[i] >> n[i])
    amounts = np.int32([0, 1, 31, 32, 1000, -1, -31, -32, -1000])
    expected = [-5, -3, -1, -1, -1, -10, -5 << 31, 0, 0]
    np.testing.assert_array_equal(
        one(shifted, x=np.full(9, -5, np.int32), n=amounts), np.array(expected).astype(np.int32)
    )


def test_floats_become_integers_by_saturation():
    x = te.placeholder((7,), "float32", "x")
    values = np.float32([1.9, -1.9, 127.5, 1e9, -1e30, np.nan, np.inf])
    got = {d: one(te.compute((7,), lambda i, d=d: x[i].cast(d)), x=values).tolist() for d in ("int8", "int64")}
    assert got["int8"] == [1, -1, 127, 127, -128, 0, 127]
    assert got["int64"] == [1, -1, 127, 10**9, -(2**63), 0, 2**63 - 1]


def test_extremes_of_floats_know_not_a_number_and_signed_zeros():
    a, b = te.placeholder((4,), "float32", "a"), te.placeholder((4,), "float32", "b")
    x, y = np.float32([0.0, -0.0, np.nan, 2]), np.float32([-0.0, 0.0, 1, np.nan])
    high = one(te.compute((4,), lambda i: te.maximum(a[i], b[i])), a=x, b=y)
    low = one(te.compute((4,), lambda i: te.minimum(a[i], b[i])), a=x, b=y)
    assert np.signbit(high).tolist()[:2] == [False, False]
    assert np.signbit(low).tolist()[:2] == [True, True]
    assert np.isnan(high[2:]).all()
    assert np.isnan(low[2:]).all()


def test_reading_outside_is_refused_unless_nobody_looks():
    a = te.placeholder((4,), "int32", "a")
    values = np.arange(4, dtype=np.int32)
    inside = te.compute((4,), lambda i: te.select(i >= 1, a[i - 1], 7))
    assert one(inside, a=values).tolist() == [7, 0, 1, 2]
    outside = te.compute((4,), lambda i: te.select(i >= 0, a[i - 1], 7))
    with pytest.raises(ExpressionError, match=r"^a\[i - 1\] is used outside a$"):
        one(outside, a=values)


def test_a_combiner_of_ones_own():
    a, k = te.placeholder((6,), "int32", "a"), te.reduce_axis(6)
    bits = te.commutative("bits", lambda x, y: x | y, te.const(0, "int32"), reassociable=True)
    result = te.compute((1,), lambda i: te.Reduce(bits, a[k], (k,)))
    assert one(result, a=np.int32([1, 4, 4, 16, 0, 1])).tolist() == [21]


def test_wrong_inputs_are_named():
    a = te.placeholder((4,), "int32", "a")
    b = te.compute((4,), lambda i: a[i] + 1)
    with pytest.raises(ExpressionError, match=r"^a is int32\[4\], given is int8\[3\]$"):
        one(b, a=np.zeros(3, np.int8))
    with pytest.raises(ExpressionError, match=r"^no values are given for a$"):
        one(b)
