"""Tensorizing: a convolution for the accelerator in full, and every reason why a stage is not an intrinsic."""

import re
from textwrap import dedent

import numpy as np
import pytest
from weft_compiler import te
from weft_compiler.accel.intrinsics.alu import alu, alu_immediate
from weft_compiler.accel.intrinsics.gemm import gemm
from weft_compiler.accel.intrinsics.load import load
from weft_compiler.accel.intrinsics.store import store, store_narrow
from weft_compiler.errors import ScheduleError
from weft_compiler.te.kernel import build
from weft_compiler.te.reference import evaluate
from weft_hardware.isa import AluOp
from weft_hardware.presets import VTA

GEMM = gemm(VTA)


def convolution(depth=2, block=16, dtype="int8"):
    """A padded 3×3 convolution of packed tensors, with a shift and a clamp behind it."""
    x = te.placeholder((1, depth, 8, 8, 1, 16), dtype, "X")
    w = te.placeholder((2, depth, 3, 3, 16, block), "int8", "W")
    pad = te.compute(
        (1, depth, 10, 10, 1, 16),
        lambda n, c, y, x_, b, i: te.select(
            (y >= 1) & (y < 9) & (x_ >= 1) & (x_ < 9), x[n, c, y - 1, x_ - 1, b, i], 0
        ),
        "pad",
    )  # fmt: skip
    ic, dy, dx = te.reduce_axis(depth, "ic"), te.reduce_axis(3, "dy"), te.reduce_axis(3, "dx")
    i = te.reduce_axis(16, "i")
    conv = te.compute(
        (1, 2, 8, 8, 1, 16),
        lambda n, oc, y, x, b, o: te.sum(
            pad[n, ic, y + dy, x + dx, b, i].cast("int32") * w[oc, ic, dy, dx, o, i].cast("int32"), (ic, dy, dx, i)
        ),
        "conv",
    )
    names = ("n", "oc", "y", "x", "b", "o")
    shifted = te.compute(conv.shape, lambda *at: conv[at] >> 8, "shift", axes=names)
    out = te.compute(conv.shape, lambda *at: shifted[at].cast("int8"), "out", axes=names)
    return te.Schedule(out), w, pad, conv, shifted, out


def scheduled(**options):
    s, w, pad, conv, shifted, out = convolution(**options)
    s[conv].set_scope("acc")
    s[shifted].set_scope("acc")
    s[pad].set_scope("inp")
    weights = s.cache_read(w, "wgt")
    s[conv].reorder("ic", "dy", "dx", "n", "oc", "y", "x", "b", "o", "i")
    s[out].split("y", 4)
    for stage in (shifted, conv):
        s[stage].compute_at(out, "y.outer")
    for stage in (pad, weights):
        s[stage].compute_at(conv, "ic")
    return s, weights, pad, conv, shifted, out


def test_a_convolution_on_the_accelerator():
    s, weights, pad, conv, shifted, out = scheduled()
    s[conv].tensorize("b", GEMM)
    s[pad].tensorize("b", load(VTA, "inp"))
    s[weights].tensorize("i4", load(VTA, "wgt"))
    s[shifted].tensorize("b", alu_immediate(VTA, AluOp.SHR, 8))
    s[out].tensorize("b", store_narrow(VTA))
    assert s.loops() == dedent("""\
        def (X: int8[1, 2, 8, 8, 1, 16], W: int8[2, 2, 3, 3, 16, 16], out: int8[1, 2, 8, 8, 1, 16]):
            for oc in 2:
                for y.outer in 2:
                    allocate conv: int32[1, 1, 4, 8, 1, 16] in acc
                    allocate shift: int32[1, 1, 4, 8, 1, 16] in acc
                    for y in 4:
                        for x in 8:
                            gemm.fill(conv[0, 0, y, x, …])
                    for ic in 2:
                        allocate pad: int8[1, 1, 6, 10, 1, 16] in inp
                        allocate W.wgt: int8[1, 1, 3, 3, 16, 16] in wgt
                        for y in 6:
                            for x_ in 10:
                                load.inp(pad[0, 0, y, x_, …], X[0, ic, y.outer * 4 + y - 1, x_ - 1, …]) if PAD else 0
                        for i2 in 3:
                            for i3 in 3:
                                load.wgt(W.wgt[0, 0, i2, i3, …], W[oc, ic, i2, i3, …])
                        for dy in 3:
                            for dx in 3:
                                for y in 4:
                                    for x in 8:
                                        gemm(conv[0, 0, y, x, …], pad[0, 0, y + dy, x + dx, …], W.wgt[0, 0, dy, dx, …])
                    for y in 4:
                        for x in 8:
                            alu.shr(8)(shift[0, 0, y, x, …], conv[0, 0, y, x, …])
                    for y.inner in 4:
                        for x in 8:
                            store.out(out[0, oc, y.outer * 4 + y.inner, x, …], shift[0, 0, y.inner, x, …])
        """).strip().replace("PAD", "(y.outer * 4 + y >= 1) & (y.outer * 4 + y < 9) & (x_ >= 1) & (x_ < 9)")
    again = te.Schedule.replay(
        out,
        s.trace,
        [GEMM, load(VTA, "inp"), load(VTA, "wgt"), alu_immediate(VTA, AluOp.SHR, 8), store_narrow(VTA)],
    )
    assert again.loops() == s.loops()
    with pytest.raises(ScheduleError, match=r"^the trace names the intrinsic gemm; pass it to replay in intrinsics$"):
        te.Schedule.replay(out, s.trace)
    # A host has no such intrinsics and runs the loops that they stand for.
    values = {
        tensor: np.random.default_rng(7).integers(-128, 128, tensor.shape, dtype=np.int8) for tensor in s.program.inputs
    }
    np.testing.assert_array_equal(build(s)(*values.values()), evaluate([out], values)[0])


def refused(stage, axis, intrinsic, message, setup=scheduled, **options):
    s, *tensors = setup(**options)
    tensor = next(t for t in tensors if t.name == stage)
    with pytest.raises(ScheduleError) as error:
        s[tensor].tensorize(axis, intrinsic)
    assert (
        str(error.value) == f"{stage}.tensorize({axis}, {intrinsic.name}): {stage} is not {intrinsic.name}: {message}"
    )


def test_a_loop_that_is_none_of_the_tile():
    refused("conv", "x", GEMM, "index 3 of conv, (x), runs inside the tile, along x; operand acc is one tile")


def test_a_reduction_left_inside():
    def setup():
        s, *tensors = scheduled()
        s["conv"].reorder("ic", "dy", "n", "oc", "y", "x", "dx", "b", "o", "i")
        return s, *tensors

    message = "index 3 of pad, (x + dx), runs inside the tile, along dx; operand inp is one tile"
    refused("conv", "dx", GEMM, message, setup)


def test_another_type():
    refused("conv", "b", GEMM, "pad is int16, operand inp is int8", dtype="int16")


def test_another_tile():
    x, w = te.placeholder((4, 1, 8), "int8", "x"), te.placeholder((2, 16, 8), "int8", "w")
    i = te.reduce_axis(8, "i")
    y = te.compute(
        (4, 2, 1, 16), lambda n, c, b, o: te.sum(x[n, b, i].cast("int32") * w[c, o, i].cast("int32"), i), "y"
    )

    def setup():
        s = te.Schedule(te.compute(y.shape, lambda *at: y[at], "z", axes=("n", "c", "b", "o")))
        s[y].set_scope("acc")
        s.cache_read(x, "inp")
        s.cache_read(w, "wgt")
        return s, y

    message = "x.inp has the shape [4, 1, 8], its last dimensions must be a whole tile of operand inp, [1, 16]"
    refused("y", "b", GEMM, message, setup)


def test_another_scope():
    def setup():
        s, *tensors = scheduled()
        s["pad"].set_scope("local")
        return s, *tensors

    refused("conv", "b", GEMM, "pad lies in local, operand inp must lie in inp", setup)


def test_another_computation():
    refused("shift", "b", alu_immediate(VTA, AluOp.SHR, 7), "it computes (8), alu.shr(7) has (7) there")
    message = "it computes (conv[0, 0, y, x, 0, o] >> 8), alu.max(0) has (max(source[0, o], 0)) there"
    refused("shift", "b", alu_immediate(VTA, AluOp.MAX, 0), message)
    refused("out", "b", store(VTA), "out is int8, operand dram is int32")


def test_padding_inside_a_tile():
    x = te.placeholder((4, 1, 16), "int8", "x")
    pad = te.compute((4, 1, 16), lambda n, b, i: te.select(i < 9, x[n, b, i], 0), "pad")

    def setup():
        s = te.Schedule(te.compute((4, 1, 16), lambda n, b, i: pad[n, b, i], "z"))
        s[pad].set_scope("inp")
        return s, pad

    refused(
        "pad", "b", load(VTA, "inp"), "the condition i < 9 differs inside the tile, along i; pad whole tiles", setup
    )


def test_a_tile_that_a_split_cuts():
    x = te.placeholder((4, 1, 24), "int8", "x")

    def setup():
        y = te.compute((4, 1, 24), lambda n, b, i: x[n, b, i], "y")
        s = te.Schedule(te.compute((4, 1, 24), lambda n, b, i: y[n, b, i], "z"))
        s[y].set_scope("inp")
        s[y].split("i", 16)
        return s, y

    message = (
        "loop i.inner does not divide, it needs the guard i.outer * 16 + i.inner < 24; split it evenly"
    )  # fmt: skip
    refused("y", "i.inner", load(VTA, "inp"), message, setup)


def test_operands_may_stand_in_any_order_and_have_any_names():
    x, w = te.placeholder((4, 1, 16), "int8", "x"), te.placeholder((2, 16, 16), "int8", "w")
    deep = te.reduce_axis(16, "deep")
    y = te.compute(
        (2, 4, 1, 16),
        lambda p, q, r, t: te.sum(w[p, t, deep].cast("int32") * x[q, r, deep].cast("int32"), deep),
        "y",
    )
    s = te.Schedule(te.compute(y.shape, lambda *at: y[at], "z", axes=("p", "q", "r", "t")))
    s[y].set_scope("acc")
    s.cache_read(x, "inp")
    s.cache_read(w, "wgt")
    s[y].reorder("deep", "t")
    s[y].tensorize("deep", GEMM)
    assert "gemm(y[p, q, …], x.inp[q, …], w.wgt[p, …])" in s.loops()


def test_two_accumulators():
    a, b = (te.placeholder((4, 1, 16), "int32", name) for name in "ab")
    y = te.compute((4, 1, 16), lambda n, b_, o: b[n, b_, o] + a[n, b_, o], "y")
    s = te.Schedule(te.compute(y.shape, lambda *at: y[at], "z", axes=("n", "b", "o")))
    s[y].set_scope("acc")
    for tensor in (a, b):
        s[s.cache_read(tensor, "acc")].tensorize("i1", load(VTA, "acc"))
    s[y].tensorize("b_", alu(VTA, AluOp.ADD))
    s["z"].tensorize("b", store(VTA))
    assert "alu.add(y[n, …], b.acc[n, …], a.acc[n, …])" in s.loops()


def test_what_a_later_step_would_break_is_refused():
    s, _, pad, conv, *_ = scheduled()
    s[conv].tensorize("b", GEMM)
    s[pad].tensorize("b", load(VTA, "inp"))
    with pytest.raises(ScheduleError) as error:
        s[pad].set_scope("acc")
    assert str(error.value) == (
        "pad.set_scope(acc): pad is not load.inp: pad lies in acc, operand inp must lie in inp"
    )  # fmt: skip
    with pytest.raises(ScheduleError) as error:
        s[conv].split("o", 4)
    assert str(error.value) == (
        "conv.split(o, factor=4): loop o is inside the tile that gemm computes; split and fuse before tensorize"
    )
    with pytest.raises(ScheduleError) as error:
        s[pad].compute_at(conv, "o")
    assert str(error.value) == (
        "pad.compute_at(conv, o): pad would run inside the tile of conv, which an intrinsic computes at once; "
        "attach it at ic, dy, dx, n, oc, y, x"
    )
    with pytest.raises(ScheduleError, match=re.escape("axis o of conv is inside the tile that gemm computes at once")):
        s[conv].unroll("o")


def product(combine=te.sum, turned=False):
    """A product of tiles in the scratchpads, or of tiles of which one is turned."""
    x, w = te.placeholder((4, 1, 16), "int8", "x"), te.placeholder((4, 16, 16), "int8", "w")
    i = te.reduce_axis(16, "i")

    def element(p, q, b, o):
        left = x[p, b, i]
        right = w[q, o, i] if not turned else w[q, i, o]
        return combine(left.cast("int32") * right.cast("int32"), i)

    y = te.compute((4, 4, 1, 16), element, "y")

    def setup():
        s = te.Schedule(te.compute(y.shape, lambda *at: y[at], "z", axes=("p", "q", "b", "o")))
        s[y].set_scope("acc")
        s.cache_read(x, "inp")
        s.cache_read(w, "wgt")
        return s, y

    return setup


def test_another_reduction():
    refused("y", "b", GEMM, "it reduces by max, gemm by sum", product(te.max))


def test_an_operand_the_other_way_round():
    message = "index 1 of w.wgt is (i), operand wgt has axis o, loop o there"
    refused("y", "b", GEMM, message, product(turned=True))


def test_a_loop_that_the_intrinsic_has_not():
    def setup():
        s, y = product()()
        s[y].reorder("q", "p", "b", "o", "i")
        return s, y

    message = "index 0 of y, (p), runs inside the tile, along p; operand acc is one tile"
    refused("y", "p", GEMM, message, setup)
    copied = te.placeholder((4, 1, 16), "int32", "c")
    k = te.reduce_axis(3, "k")
    repeated = te.compute((4, 1, 16), lambda n, b, o: te.sum(copied[n, b, o], k), "y")

    def again():
        s = te.Schedule(te.compute(repeated.shape, lambda *at: repeated[at], "z", axes=("n", "b", "o")))
        s[repeated].set_scope("acc")
        s.cache_read(copied, "acc")
        return s, repeated

    summing = te.compute((1, 16), lambda b, o: te.sum(TILE[b, o], te.reduce_axis(1, "one")), "acc")
    intrinsic = te.Intrinsic("collect", summing, (TILE,), ("acc", "acc"), te.const(0, "int32"))
    message = "loop k is inside the tile, collect has the loops b of 1, o of 16, one of 1; reorder it outside"
    refused("y", "b", intrinsic, message, again)


TILE = te.placeholder((1, 16), "int32", "tile")


def test_an_operand_that_would_be_two_tiles():
    square = te.compute((1, 16), lambda b, o: TILE[b, o] * TILE[b, o], "acc")
    intrinsic = te.Intrinsic("square", square, (TILE,), ("acc", "acc"))
    x = te.placeholder((4, 1, 16), "int32", "x")
    y = te.compute((3, 1, 16), lambda n, b, o: x[n, b, o] * x[n + 1, b, o], "y")

    def setup():
        s = te.Schedule(te.compute(y.shape, lambda *at: y[at], "z", axes=("n", "b", "o")))
        s[y].set_scope("acc")
        s.cache_read(x, "acc")
        return s, y

    refused("y", "b", intrinsic, "operand tile would be two tiles of x.acc", setup)
