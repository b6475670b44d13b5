"""Matrix products tensorized by the host's intrinsics: what they compute, and what they refuse."""

import numpy as np
import pytest
from support.host_products import byte_schedule, float_schedule
from weft_compiler import te
from weft_compiler.errors import ScheduleError
from weft_compiler.host.intrinsics.float_product import float_product
from weft_compiler.te.reference import evaluate


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_byte_products(dtype):
    s = byte_schedule(dtype, 48)
    rng = np.random.default_rng(3)
    a = rng.integers(0, 256, (48, 48)).astype(np.uint8).view(dtype)
    w = rng.integers(-128, 128, (48, 48)).astype(np.int8)
    np.testing.assert_array_equal(te.build(s)(a, w), a.astype(np.int32) @ w.T.astype(np.int32))


def test_float_products():
    s = float_schedule(64)
    assert str(s).count("weft.product.float32.8x32x64(") == 1
    rng = np.random.default_rng(4)
    a, b = (rng.normal(size=(64, 64)).astype(np.float32) for _ in range(2))
    np.testing.assert_allclose(te.build(s)(a, b), a @ b, rtol=1e-4, atol=1e-4)


def test_a_schedule_with_a_template_replays_and_runs_in_parallel():
    s = float_schedule(64)
    s["C.local"].parallel("i.outer")
    again = te.Schedule.replay(s.program.outputs, s.trace, [float_product(8, 32, 64)])
    assert again.loops() == s.loops()
    rng = np.random.default_rng(5)
    a, b = (rng.normal(size=(64, 64)).astype(np.float32) for _ in range(2))
    assert te.build(s, threads=1)(a, b).tobytes() == te.build(again, threads=3)(a, b).tobytes()


def test_a_sum_that_keeps_its_order_is_refused():
    a, b = te.placeholder((8, 8), "float32", "A"), te.placeholder((8, 32), "float32", "B")
    k = te.reduce_axis(8, "k")
    c = te.compute((8, 32), lambda i, j: te.sum(a[i, k] * b[k, j], k), "C")
    message = (
        r"C.local is not weft.product.float32.8x32x8: weft.product.float32.8x32x8 adds up in any order, "
        r"the sum of float32 depends on it; declare it with reassociable=True$"
    )
    with pytest.raises(ScheduleError, match=message):
        te.auto_tensorize(te.Schedule(c), c, float_product(8, 32, 8))


def test_an_intrinsic_of_ones_own_with_a_template():
    """A text for every level; the schedule calls it where its expression stands."""
    from weft_compiler.host.templates.template import Template

    def write(f, level):
        kind = "<4 x i32>"
        value = f.op(f"mul {kind} {f.load(kind, '%x', 4)}, <i32 3, i32 3, i32 3, i32 3>")
        f.store(kind, value, "%y", 4)

    x = te.placeholder((4,), "int32", "x")
    y = te.compute((4,), lambda i: x[i] * 3, "y")
    template = Template("own.triple", (("ptr", "y"), ("ptr", "x")), write)
    triple = te.Intrinsic("triple", y, (x,), ("global",) * 2, template=template)
    a = te.placeholder((5, 4), "int32", "A")
    b = te.compute((5, 4), lambda i, j: a[i, j] * 3, "B")
    s = te.Schedule(b)
    s[b].tensorize("j", triple)
    values = np.arange(20, dtype=np.int32).reshape(5, 4)
    (expected,) = evaluate([b], {a: values})
    np.testing.assert_array_equal(te.build(s)(values), expected)
