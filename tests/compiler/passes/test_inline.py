import re

import pytest
from support.qgraph_ir import apply, outline
from weft_compiler.dialects import qgraph
from weft_compiler.errors import CompileError
from weft_compiler.passes.inline import Inline
from weft_compiler.passes.plan_memory import main_function
from weft_compiler.text import parse_ir

MAIN = """
func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {{
  %y = weft.call @f(%x) {{layer = "first"}} : (tensor<4xf32>) -> tensor<4xf32>
  %z = weft.call @f(%y) : (tensor<4xf32>) -> tensor<4xf32>
  func.return %z : tensor<4xf32>
}}
{callee}
"""
TWO_RELUS = """
func.func @f(%x: tensor<4xf32>) -> tensor<4xf32> {
  %y = "qgraph.relu"(%x) {layer = "a"} : (tensor<4xf32>) -> tensor<4xf32>
  %z = weft.call @g(%y) {layer = "b"} : (tensor<4xf32>) -> tensor<4xf32>
  func.return %z : tensor<4xf32>
}
func.func @g(%x: tensor<4xf32>) -> tensor<4xf32> {
  %y = "qgraph.relu"(%x) {layer = "c"} : (tensor<4xf32>) -> tensor<4xf32>
  func.return %y : tensor<4xf32>
}
"""


def test_graph_functions_become_part_of_their_caller() -> None:
    module = apply(Inline(), parse_ir(MAIN.format(callee=TWO_RELUS)))
    assert outline(module) == ["v0 = relu(a0)", "v1 = relu(v0)", "v2 = relu(v1)", "v3 = relu(v2)", "return v3"]
    layers = [qgraph.layer_of(op) for op in main_function(module).body.block.ops][:-1]
    assert layers == ["first.a", "first.b.c", "f.a", "f.b.c"]
    assert len(module.body.block.ops) == 1


def test_other_functions_are_left_alone() -> None:
    text = MAIN.format(callee='weft.external @f (tensor<4xf32>) -> tensor<4xf32> in "python"')
    module = apply(Inline(), parse_ir(text))
    assert outline(module) == ["v0 = weft.call(a0)", "v1 = weft.call(v0)", "return v1"]
    assert len(module.body.block.ops) == 2


@pytest.mark.parametrize(
    ("callee", "sentence"),
    [
        (TWO_RELUS.replace("@g(%y)", "@f(%y)"), "graph function @f calls itself; write out what it computes"),
        (
            "func.func private @f(tensor<4xf32>) -> tensor<4xf32>",
            "graph function @f is only declared; write out what it computes",
        ),
    ],
)
def test_what_cannot_be_inlined(callee: str, sentence: str) -> None:
    with pytest.raises(CompileError, match=f"^{re.escape(sentence)}$"):
        apply(Inline(), parse_ir(MAIN.format(callee=callee)))
