"""The code generator's known fault (decision 14): where it is, and that host code does not meet it."""

import re

import llvmlite.binding as llvm
import pytest
from weft_compiler.host.codegen import machine_of
from weft_compiler.host.targets import X86_64, Target, this_machine
from weft_runtime.host_functions import native_machine

ONE_BYTE = """
declare void @llvm.masked.store.v8i8.p0(<8 x i8>, ptr, <8 x i1>)
define void @f(ptr %x, ptr %y) {
  %v = load <8 x i32>, ptr %x, align 4
  %t = trunc <8 x i32> %v to <8 x i8>
  call void @llvm.masked.store.v8i8.p0(<8 x i8> %t, ptr align 1 %y,
    <8 x i1> <i1 1, i1 0, i1 0, i1 0, i1 0, i1 0, i1 0, i1 0>)
  ret void
}
"""


def bytes_stored(machine):
    """Of the one store in the code, by the suffix of its instruction."""
    text = machine.emit_assembly(llvm.parse_assembly(ONE_BYTE))
    stores = re.findall(r"\t(\w+)\t.*, \(%rsi\)", text)
    assert len(stores) == 1, text
    return 4 if stores[0] == "movl" else 1 if stores[0] in ("movb", "vpextrb") else None


def test_a_masked_store_of_one_truncated_lane_writes_the_whole_word_with_avx512():
    """When this fails, LLVM is mended: take decision 14 back."""
    assert bytes_stored(machine_of(Target("x86_64-unknown-linux-gnu", "x86-64-v4", ()))) == 4


def test_objects_of_modules_do_not_meet_it():
    assert bytes_stored(machine_of(X86_64)) == 1


@pytest.mark.skipif(this_machine().architecture != "x86_64", reason="the fault is that of x86-64, this CPU is another")
def test_code_for_this_machine_does_not_meet_it():
    assert bytes_stored(native_machine(llvm)) == 1
