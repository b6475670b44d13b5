"""Tensor functions of the host as loops over memory: what they become, what is left alone, what is refused."""

import re
from textwrap import dedent

import numpy as np
import pytest
from support.host_products import byte_schedule
from support.qgraph_ir import apply
from support.tiles_kernels import matmul, narrowing
from weft_compiler import compile_module, te
from weft_compiler.errors import CompileError
from weft_compiler.graph import Graph
from weft_compiler.passes.lower_host import LowerHost
from weft_compiler.pipeline import named_passes, run_passes
from weft_compiler.text import parse_ir, print_ir
from weft_hardware.presets import VTA
from xdsl.dialects.builtin import ModuleOp

import weft


def module() -> ModuleOp:
    """A product on the accelerator, its result narrowed by the host, twice by one function."""
    graph = Graph(VTA)
    x, w = graph.input("x", (2, 1, 1, 16), "int8"), graph.input("w", (1, 1, 16, 16), "int8")
    product, narrow = graph.call(matmul(VTA, 2, 1, 1), x, w, name="k"), narrowing((2, 1, 1, 16))
    graph.output("y", graph.call(narrow, product, name="n"))
    graph.output("z", graph.call(narrow, product, name="n"))
    return graph.module()


def lowered() -> str:
    return print_ir(apply(LowerHost(VTA), module()))


def test_loops_over_memory() -> None:
    schedule = narrowing((2, 3))
    schedule["R"].vectorize("d1")
    graph = Graph(VTA)
    graph.output("y", graph.call(schedule, graph.input("t", (2, 3), "int32"), name="n"))
    text = print_ir(apply(LowerHost(VTA), graph.module()))
    assert dedent(text[text.index("  func.func @n") : text.rindex("}")]) == dedent("""\
        func.func @n(%0: memref<2x3xi32>, %1: memref<2x3xi8>) attributes {weft.signature = (tensor<2x3xsi32>) -> tensor<2x3xsi8>} {
          %2 = arith.constant 127 : i32
          %3 = arith.constant -128 : i32
          %4 = arith.constant 3 : index
          %5 = arith.constant 1 : index
          %6 = arith.constant 2 : index
          %7 = arith.constant 0 : index
          scf.for %8 = %7 to %6 step %5 {
            scf.for %9 = %7 to %4 step %5 {
              %10 = memref.load %0[%8, %9] : memref<2x3xi32>
              %11 = arith.maxsi %10, %3 : i32
              %12 = arith.minsi %11, %2 : i32
              %13 = arith.trunci %12 : i32 to i8
              memref.store %13, %1[%8, %9] : memref<2x3xi8>
            } {weft.loop = "vectorize"}
          }
          func.return
        }
    """)  # noqa: E501
    assert print_ir(parse_ir(text)) == text


def test_functions_of_the_accelerator_and_calls_are_left_alone() -> None:
    before, after = print_ir(module()), lowered()
    assert [line.split("(")[0].strip() for line in after.splitlines() if "func @" in line or "func.func" in line] == [
        "func.func @main",
        "te.func @k",
        "func.func @n",
    ]
    for begin, end in (("func.func @main", "te.func @k"), ("te.func @k", "te.func @n")):
        part = before[before.index(begin) : before.index(end)]
        assert part in after.replace("func.func @n(", "te.func @n(")
    assert print_ir(apply(LowerHost(VTA), parse_ir(after))) == after


def test_the_module_compiles_to_the_same() -> None:
    plain, low = compile_module(module(), VTA), compile_module(lowered(), VTA)
    assert low.content.host_code == plain.content.host_code
    assert low.content.steps == plain.content.steps
    assert [layer.reason for layer in low.content.layers] == ["", *["its function is the host's"] * 2]
    rng = np.random.default_rng(3)
    x, w = (rng.integers(-128, 128, (n, 1, m, 16)).astype(np.int8) for n, m in ((2, 1), (1, 16)))
    with weft.open_device("functional", VTA) as device:
        given = {"x": x, "w": w}
        for mine, theirs in zip(low.run(device, given), plain.run(device, given), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_intrinsics_of_the_host_become_calls_of_what_is_declared() -> None:
    graph = Graph(VTA)
    a, w = graph.input("a", (32, 32), "int8"), graph.constant(np.ones((32, 32), np.int8), "w")
    schedule = byte_schedule("int8", 32)
    graph.output("c", graph.call(schedule, a, w, name="product"))
    text = print_ir(apply(LowerHost(VTA), graph.module()))
    assert len(re.findall(r"func\.func private @weft\.product\.int8\.\d+x\d+x\d+", text)) == 1
    assert "call @weft.product.int8." in text
    assert compile_module(text, VTA).content.host_code == graph.compile().content.host_code


def test_all_passes_come_behind_it() -> None:
    ir = module()
    run_passes(ir, VTA, passes=named_passes(["lower-host", "lower-accel", "inline", "common-subexpressions"], VTA))
    run_passes(ir, VTA)
    assert "te.func" not in print_ir(ir)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "(tensor<2x1x1x16xsi32>) -> tensor<2x1x1x16xsi8>} {",
            "(tensor<2x1x1x16xsi32>) -> tensor<2x1x1x16xui8>} {",
            "the IR does not verify: @n: output 0 is tensor<2x1x1x16xui8>, the call has tensor<2x1x1x16xsi8>; "
            "correct it",
        ),
        (
            "(tensor<2x1x1x16xsi32>) -> tensor<2x1x1x16xsi8>} {",
            "(tensor<2x1x1x16xsi8>) -> tensor<2x1x1x16xsi8>} {",
            "the IR does not verify: @n takes memref<2x1x1x16xi32>, memref<2x1x1x16xi8>; its weft.signature asks for "
            "memref<2x1x1x16xi8>, memref<2x1x1x16xi8>, and no results; correct it",
        ),
        (
            "weft.signature = (tensor<2x1x1x16xsi32>) -> tensor<2x1x1x16xsi8>",
            'weft.signature = "any"',
            'the IR does not verify: weft.signature of @n is "any", no type of a function; correct it',
        ),
        (
            "arith.minsi",
            "arith.ceildivsi",
            "@n has arith.ceildivsi, which host code does not know; use what weft opt --passes lower-host writes",
        ),
    ],
)
def test_text_that_is_wrong(old: str, new: str, sentence: str) -> None:
    text = lowered()
    assert old in text
    with pytest.raises(CompileError) as refused:
        compile_module(text.replace(old, new), VTA)
    assert str(refused.value) == sentence


def test_types_and_calls_that_host_code_does_not_know() -> None:
    text = lowered()
    begin = text.index("    %2 = arith.constant", text.index("func.func @n"))
    for line, sentence in (
        (
            "%99 = arith.constant 1.0 : f64\n%98 = arith.constant 0 : index\n"
            "%97 = memref.alloca() : memref<1xf64>\nmemref.store %99, %97[%98] : memref<1xf64>",
            "@n: arith.constant has f64, which host code does not know; use index, f32, integers of up to 64 bits, "
            "and buffers of a fixed shape of them",
        ),
        ("func.call @other() : () -> ()", "@n calls @other, no kernel of the host's; write it out"),
    ):
        changed = f"{text[:begin]}    {line}\n{text[begin:]}".replace(
            "builtin.module {\n", "builtin.module {\n  func.func private @other() -> ()\n", 1
        )
        with pytest.raises(CompileError) as refused:
            compile_module(changed, VTA)
        assert str(refused.value) == sentence


def test_a_loop_that_threads_share_runs_in_order() -> None:
    schedule = narrowing((4, 8))
    schedule["R"].parallel("d0")
    graph = Graph(VTA)
    graph.output("y", graph.call(schedule, graph.input("t", (4, 8), "int32"), name="n"))
    text = print_ir(apply(LowerHost(VTA), graph.module()))
    assert text.count("scf.for") == 2
    assert te.Schedule(schedule.program.outputs).loops() != schedule.loops()
