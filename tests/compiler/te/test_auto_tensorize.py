"""Stages put on the accelerator from their plain expressions: what is packed, copied and split, and what is refused."""

from textwrap import dedent

import numpy as np
import pytest
from weft_compiler import te
from weft_compiler.accel.intrinsics.alu import alu
from weft_compiler.accel.intrinsics.gemm import gemm
from weft_compiler.accel.intrinsics.load import load
from weft_compiler.accel.intrinsics.requantise import requantised, store_requantised
from weft_compiler.accel.intrinsics.store import store
from weft_compiler.conv_task import Requantisation
from weft_compiler.errors import ScheduleError
from weft_compiler.te.auto_tensorize import auto_tensorize
from weft_compiler.te.kernel import build
from weft_compiler.te.reference import evaluate
from weft_hardware.isa import AluOp
from weft_hardware.presets import VTA

GEMM = gemm(VTA)
LOADS = {memory: load(VTA, memory) for memory in ("inp", "wgt")}


def wide(read):
    return read.cast("int32")


def on_accelerator(output):
    s = te.Schedule(output)
    found = auto_tensorize(s, output, GEMM)
    for operand, intrinsic in zip(found.operands, LOADS.values(), strict=True):
        auto_tensorize(s, operand, intrinsic)
    auto_tensorize(s, output, store(VTA))
    return s


def check(s, output):
    rng = np.random.default_rng(11)
    values = {t: rng.integers(-128, 128, t.shape, dtype=np.int8) for t in s.program.inputs}
    np.testing.assert_array_equal(build(s)(*values.values()), evaluate([output], values)[0])


def test_dense():
    x, w, k = te.placeholder((12, 32), "int8", "X"), te.placeholder((48, 32), "int8", "W"), te.reduce_axis(32, "k")
    y = te.compute((12, 48), lambda m, n: te.sum(wide(x[m, k]) * wide(w[n, k]), k), "Y")
    s = on_accelerator(y)
    assert (
        s.loops()
        == dedent("""\
        def (X: int8[12, 32], W: int8[48, 32], Y: int32[12, 48]):
            allocate X.global: int8[12, 2, 1, 16]
            allocate X.inp: int8[12, 2, 1, 16] in inp
            allocate W.global: int8[3, 2, 16, 16]
            allocate W.wgt: int8[3, 2, 16, 16] in wgt
            allocate Y.acc: int32[12, 3, 1, 16] in acc
            allocate Y.global: int32[12, 3, 1, 16]
            for i0 in 12:
                for i1 in 32:
                    X.global[i0, i1 // 16, 0, i1 % 16] = X[i0, i1]
            for i0 in 12:
                for i1.outer in 2:
                    load.inp(X.inp[i0, i1.outer, …], X.global[i0, i1.outer, …])
            for i0 in 48:
                for i1 in 32:
                    W.global[i0 // 16, i1 // 16, i0 % 16, i1 % 16] = W[i0, i1]
            for i0.outer in 3:
                for i1.outer in 2:
                    load.wgt(W.wgt[i0.outer, i1.outer, …], W.global[i0.outer, i1.outer, …])
            for m in 12:
                for n.outer in 3:
                    gemm.fill(Y.acc[m, n.outer, …])
                    for k.outer in 2:
                        gemm(Y.acc[m, n.outer, …], X.inp[m, k.outer, …], W.wgt[n.outer, k.outer, …])
            for m in 12:
                for n.outer in 3:
                    store.acc(Y.global[m, n.outer, …], Y.acc[m, n.outer, …])
            for m in 12:
                for n in 48:
                    Y[m, n] = Y.global[m, n // 16, 0, n % 16]
        """).strip()
    )
    check(s, y)
    again = te.Schedule.replay(y, s.trace, [GEMM, *LOADS.values(), store(VTA)])
    assert again.loops() == s.loops()


def test_a_batched_matmul_with_the_other_operand_first():
    x, w, k = te.placeholder((3, 5, 16), "int8", "X"), te.placeholder((3, 16, 32), "int8", "W"), te.reduce_axis(16, "k")
    y = te.compute((3, 5, 32), lambda b, m, n: te.sum(wide(w[b, k, n]) * wide(x[b, m, k]), k), "Y")
    s = on_accelerator(y)
    assert "gemm(Y.acc[b, m, n.outer, …], X.inp[b, m, 0, …], W.wgt[b, 0, n.outer, …])" in s.loops()
    check(s, y)


def convolved(x, w, channels, out, pad=None):
    source = x if pad is None else pad
    c, p, q = te.reduce_axis(w.shape[1], "c"), te.reduce_axis(3, "p"), te.reduce_axis(3, "q")
    return te.compute(
        (1, channels, out, out),
        lambda n, o, i, j: te.sum(wide(source[n, c, 2 * i + p, 2 * j + q]) * wide(w[o, c, p, q]), (c, p, q)),
        "Y",
    )


def test_a_padded_convolution():
    x, w = te.placeholder((1, 32, 7, 7), "int8", "X"), te.placeholder((16, 32, 3, 3), "int8", "W")
    pad = te.compute(
        (1, 32, 9, 9),
        lambda n, c, i, j: te.select((i >= 1) & (i < 8) & (j >= 1) & (j < 8), x[n, c, i - 1, j - 1], 5),
        "pad",
    )
    y = convolved(x, w, 16, 4, pad)
    s = on_accelerator(y)
    assert s["pad"].state.scope == "inp"
    assert "load.inp(pad[0, c.outer, i, j, …], X.global[0, c.outer, i - 1, j - 1, …]) if" in s.loops()
    assert (
        "gemm(Y.acc[0, 0, i, j, …], pad[0, c.outer, i * 2 + p, j * 2 + q, …], W.wgt[0, c.outer, p, q, …])" in s.loops()
    )
    check(s, y)


def test_tensors_declared_in_tiles_are_taken_as_they_are():
    x, w = te.placeholder((4, 2, 1, 16), "int8", "X"), te.placeholder((3, 2, 16, 16), "int8", "W")
    kt, k = te.reduce_axis(2, "kt"), te.reduce_axis(16, "k")
    y = te.compute((4, 3, 1, 16), lambda m, n, b, o: te.sum(wide(x[m, kt, b, k]) * wide(w[n, kt, o, k]), (kt, k)), "Y")
    s = on_accelerator(y)
    assert not any(step["primitive"] in ("pack", "split") for step in s.trace)
    assert "Y.global" not in s.loops()
    check(s, y)


def test_a_depthwise_convolution_sums_over_a_diagonal():
    x, w = te.placeholder((2, 32, 6, 6), "int8", "X"), te.placeholder((32, 3, 3), "int8", "W")
    p, q = te.reduce_axis(3, "p"), te.reduce_axis(3, "q")
    y = te.compute(
        (2, 32, 4, 4), lambda n, c, i, j: te.sum(wide(x[n, c, i + p, j + q]) * wide(w[c, p, q]), (p, q)), "Y"
    )
    s = on_accelerator(y)
    assert "W.diagonal[i0 // 16, i1, i2, 0, i0 % 16, i] = select(i0 % 16 == i, W[i0, i1, i2], 0)" in s.loops()
    assert (
        "gemm(Y.acc[n, c.outer, i, j, …], X.inp[n, c.outer, i + p, j + q, …], W.diagonal.wgt[c.outer, p, q, 0, …])"
        in s.loops()
    )
    check(s, y)
    again = te.Schedule.replay(y, s.trace, [GEMM, *LOADS.values(), store(VTA)])
    assert again.loops() == s.loops()


def transposed(kernel, stride, pad, size, channels=(16, 32)):
    """A transposed convolution of an image (rows, columns): taps count where a result's place is a multiple."""
    x = te.placeholder((1, channels[0], *size), "int8", "X")
    w = te.placeholder((*channels, *kernel), "int8", "W")
    taps = (te.reduce_axis(channels[0], "c"), te.reduce_axis(kernel[0], "p"), te.reduce_axis(kernel[1], "q"))
    out = tuple((n - 1) * s + k - 2 * pad for n, s, k in zip(size, stride, kernel, strict=True))

    def value(n, o, i, j):
        c, p, q = taps
        places = i + pad - p, j + pad - q
        inside = [(place % s).equal(0) for place, s in zip(places, stride, strict=True)]
        row, column = (place // s for place, s in zip(places, stride, strict=True))
        inside += [row >= 0, row < size[0], column >= 0, column < size[1]]
        product = wide(x[n, c, row, column]) * wide(w[c, o, p, q])
        return te.sum(te.select(te.every(inside), product, te.const(0, "int32")), taps)

    return te.compute((1, channels[1], *out), value, "Y")


@pytest.mark.parametrize(
    ("kernel", "stride", "pad", "size"),
    [
        ((3, 4), (2, 2), 1, (4, 5)),
        ((4, 4), (2, 2), 1, (3, 3)),
        ((2, 3), (3, 1), 0, (3, 4)),
        ((5, 2), (2, 3), 1, (2, 4)),
    ],
)
def test_a_transposed_convolution_has_loops_for_each_phase(kernel, stride, pad, size):
    y = transposed(kernel, stride, pad, size)
    s = on_accelerator(y)
    check(s, y)
    phases = [line.strip() for line in s.loops().split("\n") if "unroll" in line]
    loops = [("i", stride[0]), ("j", stride[1]), ("p", min(stride[0], kernel[0])), ("q", min(stride[1], kernel[1]))]
    # Those of results come once before the first value and are the same for it and the taps.
    assert list(dict.fromkeys(phases)) == [f"unroll for {axis}.inner in {count}:" for axis, count in loops if count > 1]
    again = te.Schedule.replay(y, s.trace, [GEMM, *LOADS.values(), store(VTA)])
    assert again.loops() == s.loops()


def test_a_flattened_channel_of_tiles():
    x, w = te.placeholder((4, 32), "int8", "X"), te.placeholder((16, 2, 16), "int8", "W")
    t, k = te.reduce_axis(2, "t"), te.reduce_axis(16, "k")
    y = te.compute((4, 16), lambda m, n: te.sum(wide(x[m, t * 16 + k]) * wide(w[n, t, k]), (t, k)), "Y")
    s = on_accelerator(y)
    assert "gemm(Y.acc[m, 0, …], X.inp[m, t, …], W.wgt[0, t, 0, …])" in s.loops()
    check(s, y)


def refused(build_output, intrinsic, message):
    output = build_output()
    s = te.Schedule(output)
    before = s.loops()
    with pytest.raises(ScheduleError) as error:
        auto_tensorize(s, output, intrinsic)
    assert str(error.value) == f"auto_tensorize({output.name}, {intrinsic.name}): {message}"
    assert s.loops() == before
    assert s.trace == []


def test_what_is_read_twice_has_one_copy():
    x = te.placeholder((5, 1, 16), "int32", "X")
    out = te.compute((4, 1, 16), lambda k, b, o: x[k, b, o] - x[k + 1, b, o], "out")
    s = te.Schedule(out)
    found = auto_tensorize(s, out, alu(VTA, AluOp.SUB))
    assert len({operand.name for operand in found.operands}) == 1
    auto_tensorize(s, found.operands[0], load(VTA, "acc"))
    auto_tensorize(s, out, store(VTA))
    assert s.loops().count("load.acc(") == 1
    values = {x: np.arange(5 * 16, dtype=np.int32).reshape(x.shape) ** 3}
    np.testing.assert_array_equal(build(s)(*values.values()), evaluate([out], values)[0])


def test_an_operand_that_is_indexed_by_numbers_is_taken_if_it_lies_in_tiles():
    how = Requantisation()
    acc = te.placeholder((4, 1, 16), "int32", "X")
    p = te.placeholder((4, 16, 2), "int32", "P")

    def value(k, b, o):
        return requantised(how, acc[k, b, o], p[k, o, 0], p[k, o, 1])

    s = te.Schedule(te.compute((4, 1, 16), value, "out"))
    found = auto_tensorize(s, "out", store_requantised(VTA, how))
    assert [operand.name for operand in found.operands] == ["X.acc", "P.param"]
    q = te.placeholder((4, 2, 16), "int32", "P")
    s = te.Schedule(
        te.compute((4, 1, 16), lambda k, b, o: requantised(how, acc[k, b, o], q[k, 0, o], q[k, 1, o]), "out")
    )
    with pytest.raises(ScheduleError) as error:
        auto_tensorize(s, "out", store_requantised(VTA, how))
    assert str(error.value) == (
        "auto_tensorize(out, store.int8): an operand whose index in the tile is (0) cannot be packed; "
        "declare it in tiles"
    )


def test_refusals():
    x, w = te.placeholder((1, 20, 5, 5), "int8", "X"), te.placeholder((20, 3, 3), "int8", "W")
    p, q = te.reduce_axis(3, "p"), te.reduce_axis(3, "q")

    def depthwise():
        return te.compute(
            (1, 20, 3, 3), lambda n, c, i, j: te.sum(wide(x[n, c, i + p, j + q]) * wide(w[c, p, q]), (p, q)), "Y"
        )

    # Twenty channels are no whole number of tiles.
    refused(
        depthwise,
        GEMM,
        "axis o of gemm is a loop of 16 that indexes acc and wgt only, alone in its dimension; "
        "Y has n of 1 on Y and X; c of 20 on Y and X and W; i of 3 on Y and X with others; "
        "j of 3 on Y and X with others; p of 3 on W and X with others; q of 3 on W and X with others",
    )
    a, b, k = te.placeholder((4, 20), "int8", "A"), te.placeholder((16, 20), "int8", "B"), te.reduce_axis(20, "k")
    refused(
        lambda: te.compute((4, 16), lambda m, n: te.sum(wide(a[m, k]) * wide(b[n, k]), k), "Y"),
        GEMM,
        "axis i of gemm is a reduction of 16 that indexes inp and wgt only, alone in its dimension; "
        "Y has m of 4 on Y and A; n of 16 on Y and B; k of 20 on A and B",
    )
    refused(lambda: te.compute((4, 20), lambda m, n: wide(a[m, n]), "Y"), GEMM, "Y reduces nothing, gemm does")
    refused(
        lambda: te.compute((4, 16), lambda m, n: te.sum(wide(a[m, k]), k), "Y"),
        GEMM,
        "Y reads 1 elements at a point, gemm 2",
    )
    f, g = te.placeholder((4, 16), "uint8", "F"), te.placeholder((16, 16), "int8", "G")
    r = te.reduce_axis(16, "r")
    refused(
        lambda: te.compute((4, 16), lambda m, n: te.sum(wide(f[m, r]) * wide(g[n, r]), r), "Y"),
        GEMM,
        "Y reads int8, uint8; gemm reads int8, int8",
    )
    e = te.placeholder((4, 16), "int8", "E")
    refused(
        lambda: te.compute((4, 16), lambda m, n: te.sum(wide(e[m, r]) + wide(g[n, r]), r), "Y"),
        GEMM,
        "Y.acc.tensorize(n, gemm): Y.acc is not gemm: it computes (int32(E.inp[m, 0, 0, r]) + int32(G.wgt[n, r])), "
        "gemm has (int32(inp[0, i]) * int32(wgt[o, i])) there",
    )
