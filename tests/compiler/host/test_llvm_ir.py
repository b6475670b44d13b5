"""The text that the lowering gives: structure, exact constants, and no licence to reorder floats."""

from __future__ import annotations

import numpy as np
from support.host_code import call
from weft_compiler.host.builder import HostFunction
from weft_compiler.host.llvm_ir import lower

GOLDEN = """\
define internal void @twice.body(ptr noalias align 64 %b0, ptr noalias align 64 %b1) alwaysinline nounwind {
entry:
  br label %head1
head1:
  %v4 = phi i64 [ 0, %entry ], [ %v10, %body2 ]
  %c5 = icmp slt i64 %v4, 3
  br i1 %c5, label %body2, label %after3
body2:
  %p6 = getelementptr inbounds [3 x float], ptr %b0, i64 0, i64 %v4
  %v7 = load float, ptr %p6
  %v8 = fadd float %v7, %v7
  %p9 = getelementptr inbounds [3 x float], ptr %b1, i64 0, i64 %v4
  store float %v8, ptr %p9
  %v10 = add nsw i64 %v4, 1
  br label %head1
after3:
  ret void
}
"""


def twice() -> HostFunction:
    f = HostFunction("twice", [((3,), np.float32), ((3,), np.float32)])
    x, y = f.buffers

    def body(at):
        value = f.load(x, at)
        f.store(f.plus(value, value), y, at)

    f.nest((3,), body)
    return f


def test_a_loop_becomes_blocks_and_a_phi() -> None:
    assert GOLDEN in lower([twice().finish()])


def test_the_entry_point_takes_an_array_of_addresses() -> None:
    text = lower([twice().finish()])
    assert "define void @twice(ptr %buffers) nounwind {" in text
    assert "call void @twice.body(ptr %b0, ptr %b1)" in text


def test_floats_are_never_relaxed() -> None:
    text = lower([twice().finish()])
    assert not any(word in text for word in (" fast ", " contract ", " reassoc ", "fmuladd"))


def test_carried_values_through_nested_loops() -> None:
    f = HostFunction("sum", [((4, 5), np.int8), ((1,), np.int32)])
    x, y = f.buffers

    def row(i, total):
        return f.loop(5, lambda j, inner: [f.add(inner, f.load_int32(x, [i, j]))], total)

    (total,) = f.loop(4, row, f.int32(100))
    f.store(total, y, [0])
    values = np.arange(-10, 10, dtype=np.int8).reshape(4, 5)
    assert call(f.finish(), [values], (1,), np.int32).tolist() == [100 + int(values.sum())]


def test_float_constants_are_exact() -> None:
    f = HostFunction("constant", [((3,), np.float32)])
    for k, value in enumerate((0.1, -np.inf, 1e-45)):
        f.store(f.float32(value), f.buffers[0], [k])
    assert call(f.finish(), [], (3,), np.float32).tobytes() == np.float32([0.1, -np.inf, 1e-45]).tobytes()
