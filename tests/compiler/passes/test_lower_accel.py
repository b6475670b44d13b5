import re

import pytest
from support.qgraph_ir import apply
from support.tiles_kernels import matmul, narrowing
from weft_compiler import compile_module
from weft_compiler.errors import CompileError
from weft_compiler.graph import Graph
from weft_compiler.passes.lower_accel import LowerAccel
from weft_compiler.text import parse_ir, print_ir
from weft_hardware.presets import VTA
from xdsl.dialects.builtin import ModuleOp


def module() -> ModuleOp:
    graph = Graph(VTA)
    x, w = graph.input("x", (2, 1, 1, 16), "int8"), graph.input("w", (1, 1, 16, 16), "int8")
    graph.output("y", graph.call(narrowing((2, 1, 1, 16)), graph.call(matmul(VTA, 2, 1, 1), x, w, name="k"), name="n"))
    return graph.module()


def test_functions_of_the_accelerator_become_programs_and_others_stay() -> None:
    text = print_ir(apply(LowerAccel(VTA), module()))
    assert [line.split("(")[0].strip() for line in text.splitlines() if "func @" in line or "func.func" in line] == [
        "func.func @main",
        "accel.func @k",
        "te.func @n",
    ]
    assert [line.split()[0] if "=" not in line.split("{")[0] else line.split()[2] for line in lines(text)] == [
        *("accel.uops", "accel.load", "accel.load", "accel.load", "accel.gemm_overwrite", "accel.store", "accel.finish")
    ]


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if "accel." in line and "func" not in line]


def test_the_module_compiles_to_the_same_bytes() -> None:
    plain = compile_module(module(), VTA).content
    lowered = compile_module(parse_ir(print_ir(apply(LowerAccel(VTA), module()))), VTA).content
    assert lowered == plain


def test_a_program_that_is_too_long() -> None:
    sentence = r"@k has \d+ instructions, more than the 3 that are written out; leave it a tensor function, "
    with pytest.raises(CompileError, match=f"^{sentence}{re.escape('whose program is emitted in columns')}$"):
        apply(LowerAccel(VTA, most=3), module())
