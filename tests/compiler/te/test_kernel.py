"""Kernels on numpy arrays: arguments, several outputs, and what is refused."""

import numpy as np
import pytest
from weft_compiler import te
from weft_compiler.errors import CompileError
from weft_compiler.te.kernel import aligned, build
from weft_compiler.te.nest import Buffer

A = te.placeholder((6, 4), "int32", "A")
B = te.placeholder((4,), "int32", "B")
C = te.compute((6, 4), lambda i, j: A[i, j] + B[j], "C")
D = te.compute((6, 4), lambda i, j: C[i, j] * 2, "D")


def test_inputs_and_outputs_in_order():
    kernel = build(te.Schedule([D, C]))
    assert [buffer.name for buffer in kernel.inputs] == ["A", "B"]
    assert [buffer.name for buffer in kernel.outputs] == ["D", "C"]
    a, b = np.arange(24, dtype=np.int32).reshape(6, 4), np.int32([1, 2, 3, 4])
    d, c = kernel(a, b)
    np.testing.assert_array_equal(c, a + b)
    np.testing.assert_array_equal(d, 2 * (a + b))


def test_arrays_of_any_layout():
    kernel = build(te.Schedule(C))
    a, b = np.arange(24, dtype=np.int32).reshape(4, 6).T, np.int32([0, 1, 0, 2, 0, 3, 0, 4])[1::2]
    np.testing.assert_array_equal(kernel(a, b), a + b)


def test_each_call_gives_memory_of_its_own():
    kernel = build(te.Schedule(C))
    a, b = np.zeros((6, 4), np.int32), np.zeros(4, np.int32)
    first = kernel(a, b)
    second = kernel(a + 1, b)
    assert (first == 0).all()
    assert (second == 1).all()


def test_wrong_arguments_are_named():
    kernel = build(te.Schedule(C))
    with pytest.raises(CompileError, match=r"^1 inputs are given, it takes 2: A, B$"):
        kernel(np.zeros((6, 4), np.int32))
    with pytest.raises(CompileError, match=r"^B is int32\[4\], given is int64\[4\]; convert it$"):
        kernel(np.zeros((6, 4), np.int32), np.zeros(4, np.int64))


def test_nothing_is_written_behind_an_output_of_nine_narrowed_columns():
    """What LLVM makes of it with AVX-512 writes three bytes too many."""
    x = te.placeholder((5, 9), "int32", "x")
    y = te.compute((5, 9), lambda i, j: te.minimum(te.maximum(x[i, j] >> 4, 0), 127).cast("int8"), "y")
    s = te.Schedule(y)
    s[y].reorder("j", "i")
    kernel = te.build(s)
    fenced = aligned(Buffer("fenced", (45 + 64,), "uint8"))
    fenced[...] = 0xA5
    kernel.run(aligned(kernel.inputs[0]), fenced[:45].view(np.int8).reshape(5, 9))
    assert (fenced[:45] == 0).all()
    assert (fenced[45:] == 0xA5).all()
