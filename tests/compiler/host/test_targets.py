"""Which level of templates a CPU gets, and what comes out for CPUs that this machine is not."""

import re

import pytest
from support.host_products import byte_schedule, float_schedule
from weft_compiler.host.codegen import assembly, compile_functions
from weft_compiler.host.llvm_ir import lower
from weft_compiler.host.targets import AARCH64, ARMV7, GENERIC, X86_64, Target, this_machine
from weft_compiler.te.to_ir import to_ir


def functions(schedule):
    return [piece.function for piece in to_ir(schedule.lower(), "kernel").pieces]


@pytest.mark.parametrize(
    ("target", "names"),
    [
        (X86_64, ["vnni", "avx2"]),
        (AARCH64, ["dotprod", "neon"]),
        (ARMV7, ["neon32"]),
        (Target("x86_64-unknown-linux-gnu", "x86-64", ()), ["generic"]),
        (Target("riscv64-unknown-linux-gnu", "generic-rv64", ()), ["generic"]),
    ],
    ids=["x86-64-v3", "aarch64", "armv7", "old x86", "riscv64"],
)
def test_levels_of_a_target(target, names):
    assert [level.name for level in target.levels] == names


def test_this_machine_needs_no_choice():
    assert len(this_machine().levels) == 1


@pytest.mark.parametrize(
    ("target", "instructions"),
    [
        (X86_64, ["vpdpbusd", "vpmaddwd"]),
        (AARCH64, ["sdot", "smull", "sadalp"]),
        (ARMV7, ["vmull.s8", "vpadal.s16"]),
    ],
    ids=["x86-64-v3", "aarch64", "armv7"],
)
def test_byte_products_use_the_targets_instructions(target, instructions):
    text = assembly(functions(byte_schedule("int8", 32)), target)
    for instruction in instructions:
        assert re.search(rf"\s{re.escape(instruction)}\s", text), instruction
    assert "vpmaddubsw" not in text, "it saturates"


@pytest.mark.parametrize(
    ("target", "instruction"),
    [(X86_64, "vfmadd231ps"), (AARCH64, "fmla"), (ARMV7, "vmla.f32")],
    ids=["x86-64-v3", "aarch64", "armv7"],
)
def test_float_products_use_the_targets_instructions(target, instruction):
    text = assembly(functions(float_schedule(32)), target)
    assert re.search(rf"\s{re.escape(instruction)}\s", text)


def test_the_ir_beside_an_object_names_no_cpu():
    made = functions(byte_schedule("int8", 16))
    code = compile_functions(made)
    assert code.ir.decode() == lower(made)
    assert not re.search(r"llvm\.(x86|aarch64|arm)\.|target-features", code.ir.decode())
    assert "llvm.x86.avx512.vpdpbusd" in lower(made, X86_64)
    assert X86_64.level is not GENERIC
