"""Loop nests in IR: structure, memory spaces, and how loops and guards come out; every operation against numpy."""

import re
import threading

import numpy as np
import pytest
from weft_compiler import te
from weft_compiler.host.codegen import machine_of, optimised
from weft_compiler.host.llvm_ir import lower as to_llvm
from weft_compiler.host.targets import X86_64
from weft_compiler.te.expr import COMPARISONS, DTYPES, compare
from weft_compiler.te.kernel import build
from weft_compiler.te.reference import evaluate
from weft_compiler.te.to_ir import STACK_BYTES, to_ir
from xdsl.dialects.builtin import ModuleOp

A = te.placeholder((10, 8), "int8", "A")
B = te.compute((10, 8), lambda i, j: A[i, j] + 1, "B")


def ir(schedule):
    made = to_ir(schedule.lower(), "f")
    module = ModuleOp([piece.function for piece in made.pieces])
    module.verify()
    return made, str(module)


def test_a_guarded_tile_in_a_memory_space():
    s = te.Schedule(B)
    cache = s.cache_read(A, "inp")
    s[B].split("i", 4)
    s[cache].compute_at(B, "i.outer")
    _, text = ir(s)
    assert text.count('memref<4x8xi8, "inp">') == 3, text
    assert text.count("scf.if") == 2
    assert text.count("scf.for") == 5


def test_what_a_condition_guards_is_read_inside_its_buffer():
    x = te.placeholder((8,), "int32", "x")
    y = te.compute((8,), lambda i: te.select((i >= 1) & (i < 7), x[i * 2 - 3], 0), "y")
    _, text = ir(te.Schedule(y))
    assert text.count("arith.maxsi") == 1
    assert text.count("arith.minsi") == 1
    plain = te.compute((8,), lambda i: x[7 - i], "y")
    assert "arith.m" not in ir(te.Schedule(plain))[1].replace("arith.muli", "")


def lowered(schedule):
    return to_llvm([piece.function for piece in to_ir(schedule.lower(), "f").pieces])


def test_vector_loops_are_vectors_and_unrolled_ones_vanish():
    s = te.Schedule(B)
    s[B].vectorize("j")
    s[B].unroll("i")
    text = lowered(s)
    assert '!{!"llvm.loop.unroll.full"}' in text
    assert re.findall(r"(load|store|add) <8 x i8>", text) == ["load", "add", "store"]
    machine = machine_of(X86_64)
    optimised_text = str(optimised(text, machine))
    assert " phi " not in optimised_text, "a loop is left"
    values = np.arange(80, dtype=np.int8).reshape(10, 8)
    np.testing.assert_array_equal(build(s)(values), values + 1)


@pytest.mark.parametrize(("size", "widths"), [(64, [16]), (39, [16, 4, 2, 1]), (3, [2, 1]), (1, [])])
def test_what_is_left_of_a_vector_loop_is_done_in_powers_of_two(size, widths):
    x = te.placeholder((size,), "float32", "x")
    y = te.compute((size,), lambda i: te.sqrt(x[i]) * 2.0 - x[1 % size], "y")
    s = te.Schedule(y)
    s[y].vectorize("i")
    found = re.findall(r"store (?:<(\d+) x float>|float)", lowered(s))
    assert [int(w or 1) for w in found] == (widths or [1])
    values = np.linspace(0, 9, size, dtype=np.float32)
    np.testing.assert_array_equal(build(s)(values), np.sqrt(values) * 2 - values[1 % size])


def test_a_condition_is_chosen_lane_by_lane():
    x = te.placeholder((4, 40), "int8", "x")
    y = te.compute((4, 40), lambda i, j: te.select((j * 3 - i) % 7 < 4, x[i, j], x[i, 5]).cast("int32"), "y")
    s = te.Schedule(y)
    s[y].vectorize("j")
    assert "select <8 x i1>" in lowered(s), "indexes have 64 bits"
    values = np.random.default_rng(5).integers(-128, 128, (4, 40)).astype(np.int8)
    i, j = np.indices((4, 40))
    np.testing.assert_array_equal(build(s)(values), np.where((j * 3 - i) % 7 < 4, values, values[:, 5:6]))


def test_elements_that_do_not_lie_side_by_side_are_left_to_llvm():
    s = te.Schedule(te.compute((10, 8), lambda i, j: A[i, 7 - j] + 1, "B"))
    s["B"].vectorize("j")
    text = lowered(s)
    assert '!{!"llvm.loop.vectorize.enable", i1 true}' in text
    assert text.count("!llvm.access.group") == 2


def test_sums_that_keep_their_order_are_never_fused():
    k = te.reduce_axis(9, "k")
    x, z = te.placeholder((9, 16), "float32", "x"), te.placeholder((9,), "float32", "z")
    for free in (False, True):
        y = te.compute((16,), lambda i, free=free: te.sum(x[k, i] * z[k], k, reassociable=free), "y")
        s = te.Schedule(y)
        s[y].reorder("k", "i")
        s[y].vectorize("i")
        text = lowered(s)
        assert ("contract" in text) == free
        assert not re.search(r" (fast|reassoc|nnan|ninf|nsz) |fmuladd", text)
        values, factors = (np.random.default_rng(6).normal(size=n).astype(np.float32) for n in ((9, 16), 9))
        got = build(s)(values, factors)
        if free:
            np.testing.assert_allclose(got, factors @ values, rtol=1e-5, atol=1e-5)
        else:
            np.testing.assert_array_equal(got, evaluate([y], {x: values, z: factors})[0])


def test_a_parallel_loop_is_a_function_of_its_bounds():
    doubled = te.compute((10, 8), lambda i, j: B[i, j] * 2, "D")
    s = te.Schedule(doubled)
    s[doubled].parallel("i")
    made, text = ir(s)
    assert [piece.trips for piece in made.pieces] == [None, 10]
    assert [buffer.name for buffer in made.buffers] == ["A", "D", "B"]
    assert "func.func @f.1(%0: memref<10x8xi8>, %1: memref<10x8xi8>, %2: memref<10x8xi8>, %3: index, %4: index)" in text
    values = np.arange(80, dtype=np.int8).reshape(10, 8)
    for threads in (1, 2, 7, 16):
        np.testing.assert_array_equal(build(s, threads=threads)(values), (values + 1) * 2)


def test_parts_of_a_parallel_loop_run_at_the_same_time(monkeypatch):
    """Each waits for all others before it begins."""
    s = te.Schedule(B)
    s[B].parallel("i")
    kernel = build(s, threads=3)
    (function,) = kernel._pieces
    together, parts = threading.Barrier(3, timeout=30), []

    def part(pointer, begin, end):
        together.wait()
        parts.append((begin, end, threading.get_ident()))
        function(pointer, begin, end)

    monkeypatch.setattr(kernel, "_pieces", [part])
    values = np.arange(80, dtype=np.int8).reshape(10, 8)
    np.testing.assert_array_equal(kernel(values), values + 1)
    assert sorted((begin, end) for begin, end, _ in parts) == [(0, 3), (3, 6), (6, 10)]
    assert len({thread for _, _, thread in parts}) == 3


@pytest.mark.parametrize(("size", "made"), [(STACK_BYTES, "memref.alloca"), (STACK_BYTES + 1, "memref.alloc")])
def test_large_buffers_come_from_the_heap(size, made):
    x = te.placeholder((size,), "int8", "x")
    first = te.compute((size,), lambda i: x[i] * 3, "first")
    s = te.Schedule(te.compute((size,), lambda i: first[size - 1 - i], "y"))
    assert f"{made}()" in ir(s)[1]
    values = np.random.default_rng(1).integers(-128, 128, size, dtype=np.int8)
    np.testing.assert_array_equal(build(s)(values), (values * np.int8(3))[::-1])


def values_of(dtype, count, rng):
    if dtype == "bool":
        return rng.integers(0, 2, count).astype(bool)
    if dtype == "float32":
        special = np.float32([0, -0.0, 1.5, -1.5, 2.5, np.inf, -np.inf, np.nan, 3e38, 1e-45, 127.5, 2147483648.0])
        return np.resize(np.concatenate([special, rng.normal(0, 300, 28).astype(np.float32)]), count)
    info = np.iinfo(dtype)
    special = np.array([info.min, info.max, 0, 1, info.max - 1, 8, 33], dtype)
    return np.resize(np.concatenate([special, rng.integers(info.min, info.max, 33, dtype, endpoint=True)]), count)


OPERATIONS = {
    **{op: lambda a, b, op=op: compare(op, a, b) for op in COMPARISONS},
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "min": lambda a, b: te.minimum(a, b),
    "max": lambda a, b: te.maximum(a, b),
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "shr": lambda a, b: a >> b,
    "shl": lambda a, b: a << b,
    "shr by 3": lambda a, b: a >> 3,
    "shl by 3": lambda a, b: a << 3,
    "shr by 70": lambda a, b: a >> 70,
    "floordiv by 7": lambda a, b: a // 7,
    "mod by 7": lambda a, b: a % 7,
    "mod by 8": lambda a, b: a % 8,
    "div": lambda a, b: a / b,
    "round_even": lambda a, b: te.round_even(a),
    "sqrt": lambda a, b: te.sqrt(a),
    "fma": lambda a, b: te.fma(a, b, a * -0.75),
    **{f"cast to {d}": lambda a, b, d=d: a.cast(d) for d in DTYPES},
}
BOOLS = {*COMPARISONS, "and", "or", *(f"cast to {d}" for d in DTYPES)}
FLOATS = {
    *COMPARISONS,
    "add",
    "sub",
    "mul",
    "min",
    "max",
    "div",
    "round_even",
    "sqrt",
    "fma",
    *(f"cast to {d}" for d in DTYPES),
}
INTEGERS = set(OPERATIONS) - {"div", "round_even", "sqrt", "fma"}


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_operation_of_every_type_is_numpys(dtype):
    """All pairs of interesting values; what is not-a-number must be so on both sides."""
    legal = BOOLS if dtype == "bool" else FLOATS if dtype == "float32" else INTEGERS
    a, b = te.placeholder((1600,), dtype, "a"), te.placeholder((1600,), dtype, "b")
    outputs = [
        te.compute((1600,), lambda i, f=OPERATIONS[n]: f(a[i], b[i]), f"y{k}") for k, n in enumerate(sorted(legal))
    ]
    rng = np.random.default_rng(3)
    few = values_of(dtype, 40, rng)
    x, y = np.repeat(few, 40), np.tile(few, 40)
    for name, want, got in zip(
        sorted(legal), evaluate(outputs, {a: x, b: y}), build(te.Schedule(outputs))(x, y), strict=True
    ):
        np.testing.assert_array_equal(got, want, err_msg=name)
        if want.dtype == np.float32:
            number = ~np.isnan(want)
            np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(want[number]), err_msg=name)


def test_functions_of_floats_are_close_to_numpys():
    a = te.placeholder((200,), "float32", "a")
    outputs = [te.compute((200,), lambda i: te.exp(a[i]), "e"), te.compute((200,), lambda i: te.tanh(a[i]), "t")]
    x = np.linspace(-20, 20, 200, dtype=np.float32)
    for want, got in zip(evaluate(outputs, {a: x}), build(te.Schedule(outputs))(x), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_constants_of_both_zeros_stay_apart():
    a = te.placeholder((4,), "float32", "a")
    y = te.compute((4,), lambda i: te.select(i < 2, te.const(0.0, "float32"), te.const(-0.0, "float32")) * a[i], "y")
    assert np.signbit(build(te.Schedule(y))(np.ones(4, np.float32))).tolist() == [False, False, True, True]
