"""Programs in text whose fields or tokens are wrong."""

import re

import pytest
from weft_compiler.errors import CompileError
from weft_compiler.text import parse_ir, print_ir

TEXT = """builtin.module {
  accel.func @f(%x: memref<64x16xsi8>) -> (%y: memref<2x16xsi32>) config "vta" {
    %uops = accel.uops [0, 0, 0], [0, 1, 0]
    %0 = accel.load INP {y_size = 1, x_size = 4} of %x : memref<64x16xsi8> gives compute
    %1 = accel.load WGT {y_size = 1, x_size = 2} gives compute
    accel.load UOP {y_size = 1, x_size = 2} of %uops : !accel.micro_ops waits %0 : !accel.token<load, compute>
    accel.gemm {reset = 1, uop_end = 1, iter_out = 1, iter_in = 1} waits %1 : !accel.token<load, compute>
    accel.gemm {uop_bgn = 1, uop_end = 2, iter_out = 1, iter_in = 1}
    %2 = accel.alu SHR {uop_end = 1, iter_out = 1, iter_in = 1, use_imm = 1, imm = -3} gives store
    accel.set CLAMP_LO {value = 5}
    accel.store ACC {y_size = 1, x_size = 2} of %y : memref<2x16xsi32> waits %2 : !accel.token<compute, store>
    accel.finish
  }
}
"""

TOKEN = "!accel.token<load, compute>"
RESET = "accel.gemm {reset = 1, uop_end = 1, iter_out = 1, iter_in = 1}"


def test_text_comes_back() -> None:
    assert print_ir(parse_ir(TEXT)) == TEXT


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            " waits %2 : !accel.token<compute, store>",
            "",
            "@f: the token that instruction 5 (accel.alu) gives store is never taken; "
            "let an instruction wait for it, or do not give it",
        ),
        (
            "iter_in = 1}\n    %2",
            "iter_in = 1} waits %0 : !accel.token<load, compute>\n    %2",
            "@f: the token that instruction 0 (accel.load) gives compute is taken by instructions 2, 4; "
            "a token is taken once",
        ),
        (
            f"waits %0 : {TOKEN}\n    {RESET} waits %1",
            f"waits %1 : {TOKEN}\n    {RESET} waits %0",
            "@f: the token that instruction 1 (accel.load) gives compute is taken before one that was given before it; "
            "tokens are taken in their order",
        ),
        (
            "waits %2 : !accel.token<compute, store>",
            "waits %2, %0 : !accel.token<compute, store>, !accel.token<load, compute>",
            "accel.store runs in the store queue and takes a token from load to compute",
        ),
        (
            "waits %0 :",
            "waits %0, %1 : !accel.token<load, compute>,",
            "accel.load takes two tokens of one pair of queues; an instruction has one",
        ),
        ("imm = -3", "imm = 40000", "@f, instruction 5: accel.alu: imm = 40000 does not fit its field (-32768..32767)"),
        ("imm = -3", "im = -3", None),
        ("load WGT {y_size = 1", "load WGT {mode = 3, y_size = 1", None),
        (
            "store ACC {",
            "store WGT {",
            "@f, instruction 7: accel.store: STORE.memory = 1 names no memory it can reach; "
            "use one of ACC (3), OUT (4), ACC_8BIT (5)",
        ),
        (
            "INP {y_size = 1, x_size = 4",
            "INP {dram = 61, y_size = 1, x_size = 4",
            "@f, instruction 0: LOAD: tiles 61..64 do not lie in memref<64x16xsi8>, which has 64",
        ),
        ('config "vta"', 'config "vta2"', "configuration 'vta2' is no preset; choose one of "),
        ('config "vta"', "config {batch = 3 : i64}", "configuration: batch = 3 cannot be built; "),
        ('config "vta"', "config {speed = 3 : i64}", "configuration: speed = 3 : i64 is no value of it"),
    ],
)
def test_programs_that_do_not_verify(old: str, new: str, sentence: str | None) -> None:
    assert old in TEXT
    with pytest.raises(CompileError) as caught:
        parse_ir(TEXT.replace(old, new))
    if sentence is None:
        assert re.match(r"the IR does not verify: accel\.\w+ has no field '\w+'; its fields are ", str(caught.value))
    else:
        assert str(caught.value).startswith(f"the IR does not verify: {sentence}")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("load INP", "load INPUT", r"the IR:4:21: .*a memory"),
        ("gives store", "gives load, dram", r"the IR:9:\d+: .*a queue"),
        ("[0, 1, 0]", "[0, 1]", r"the IR:3:\d+: a micro-op is dst, src, wgt; 2 numbers are written"),
        ("accel.store ACC {", "accel.store ACC {y_size = 1, ", r"the IR:11:\d+: field 'y_size' is written twice"),
        ("accel.finish", "%9 = accel.finish gives compute", r"the IR:1\d:\d+: accel.finish runs in the compute queue "),
        (": !accel.token<compute, store>", ": !accel.token<load, store>", r"the IR.*no neighbours"),
    ],
)
def test_text_that_does_not_parse(old: str, new: str, sentence: str) -> None:
    with pytest.raises(CompileError, match=f"^{sentence}"):
        parse_ir(TEXT.replace(old, new))
