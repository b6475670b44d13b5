from support.qgraph_ir import apply, outline
from weft_compiler.passes.dead_code import DeadCode
from weft_compiler.text import parse_ir

TEXT = """
func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %unread = "qgraph.relu"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %y = weft.call @tell(%x) : (tensor<4xf32>) -> tensor<4xf32>
  func.return %x : tensor<4xf32>
}
weft.external @tell (tensor<4xf32>) -> tensor<4xf32> in "python"
"""


def test_what_nobody_reads_is_gone_and_calls_stay() -> None:
    assert outline(apply(DeadCode(), parse_ir(TEXT))) == ["v0 = weft.call(a0)", "return a0"]
