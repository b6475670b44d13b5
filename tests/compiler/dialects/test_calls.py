import re

import pytest
from weft_compiler.errors import CompileError
from weft_compiler.text import parse_ir, print_ir

TEXT = """builtin.module {
  func.func @main(%0: tensor<4xsi32>) -> tensor<4xsi8> {
    %1 = weft.call @outside(%0) : (tensor<4xsi32>) -> tensor<4xsi32>
    %2 = weft.call @inside(%1) {layer = "here"} : (tensor<4xsi32>) -> tensor<4xsi8>
    func.return %2 : tensor<4xsi8>
  }
  weft.external @outside (tensor<4xsi32>) -> tensor<4xsi32> in "c"
  te.func @inside(%x: memref<4xsi32>) -> (%y: memref<4xsi8>) on host {
    te.for %i in 4 unroll {
      %0 = te.load %x[%i] : memref<4xsi32> -> si32
      %1 = te.cast %0 : si32 -> si8
      te.store %1, %y[%i] : si8, memref<4xsi8>
    }
  }
}
"""


def test_text_comes_back() -> None:
    assert print_ir(parse_ir(TEXT)) == TEXT


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("call @outside", "call @elsewhere", "weft.call of @elsewhere, which the module does not hold"),
        ("(%1)", "(%0, %1)", None),
        ('in "c"', 'in "fortran"', "language 'fortran' is none of python, c"),
        (
            "(%0) : (tensor<4xsi32>) -> tensor<4xsi32>",
            "() : () -> tensor<4xsi32>",
            "@outside has 1 inputs, the call has 0",
        ),
        ("(tensor<4xsi32>) -> tensor<4xsi32> in", "(tensor<4xsi32>) -> tensor<4xf32> in", None),
        (
            "@outside (tensor<4x",
            "@outside (tensor<5x",
            "@outside: input 0 is tensor<5xsi32>, the call has tensor<4xsi32>",
        ),
        ("%y: memref<4xsi8>", "%y: memref<4xui8>", None),
        (" -> tensor<4xsi32> in", " -> () in", None),
    ],
)
def test_calls_that_do_not_match(old: str, new: str, sentence: str | None) -> None:
    with pytest.raises(CompileError) as caught:
        parse_ir(TEXT.replace(old, new))
    if sentence is not None:
        assert str(caught.value) == f"the IR does not verify: {sentence}; correct it"
    else:
        assert re.match(r"the IR( does not verify)?:", str(caught.value))
