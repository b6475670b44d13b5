"""Loop nests in IR: structure, memory spaces, and how loops and guards come out; every operation against numpy."""

import numpy as np
import pytest
from weft_compiler import te
from weft_compiler.host.llvm_ir import lower as to_llvm
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


def test_kinds_become_metadata_of_the_loops():
    s = te.Schedule(B)
    s[B].vectorize("j")
    s[B].unroll("i")
    made, _ = ir(s)
    text = to_llvm([piece.function for piece in made.pieces])
    assert '!{!"llvm.loop.vectorize.enable", i1 true}' in text
    assert '!{!"llvm.loop.unroll.full"}' in text
    assert text.count("!llvm.access.group") == 2
    assert text.count("!llvm.loop !") == 2


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
