"""Tensor functions that do not verify."""

import re

import pytest
from weft_compiler.errors import CompileError
from weft_compiler.te.expr import CALLS
from weft_compiler.text import parse_ir, print_ir

TEXT = """builtin.module {
  te.func @f(%x: memref<4x4xsi32>) -> (%y: memref<4x4xf32>) on host {
    %c0 = te.constant 0 : index
    %0 = te.constant -inf : f32
    %1 = te.constant 1.0e-07 : f32
    te.allocate %t: memref<4xf32, "local"> slots 2 {
      te.for %i in 4 parallel {
        te.for %k in 4 over reduction {
          %2 = te.load %x[%i, %k] : memref<4x4xsi32> -> si32
          %3 = te.cast %2 : si32 -> f32
          %4 = te.compare "lt" %3, %0 : f32
          %5 = te.select %4, %3, %1 : f32
          te.store %5, %t[%k] : f32, memref<4xf32, "local">
          te.if %4 {
            %6 = te.call "exp" %5 : f32
            te.store %6, %y[%i, %c0] : f32, memref<4x4xf32>
          }
        }
      }
    }
  }
}
"""


def test_text_comes_back() -> None:
    assert print_ir(parse_ir(TEXT)) == TEXT


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("on host", "on gpu", "target 'gpu' is none of host, accelerator"),
        ("in 4 parallel", "in 0 parallel", "a loop of 0 iterations; it has at least one"),
        ("over reduction", "over space", "axis role 'space' is none of parallel, reduction, time"),
        ("slots 2", "slots 0", "0 slots; a buffer has at least one"),
        (
            '"local"',
            '"cache"',
            "the buffer lies in 'cache'; choose one of global, inp, wgt, acc, out, param, table, local",
        ),
        ('"lt"', '"near"', "comparison 'near' is none of eq, ne, lt, le, gt, ge"),
        ('"exp"', '"sin"', f"function 'sin' is none of {', '.join(CALLS)}"),
        ("%x[%i, %k]", "%x[%i]", "memref<4x4xsi32> has 2 dimensions, 1 indices are given"),
        ("-> si32", "-> si8", None),
    ],
)
def test_functions_that_do_not_verify(old: str, new: str, sentence: str | None) -> None:
    with pytest.raises(CompileError) as caught:
        parse_ir(TEXT.replace(old, new))
    if sentence is not None:
        assert str(caught.value) == f"the IR does not verify: {sentence}; correct it"
    else:
        assert re.match(r"the IR", str(caught.value))
