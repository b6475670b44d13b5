"""Which level of templates a CPU gets, and what comes out for CPUs that this machine is not."""

import re
import struct

import pytest
from support.host_products import byte_schedule, float_schedule
from weft_compiler.errors import CompileError
from weft_compiler.host.codegen import assembly, compile_functions
from weft_compiler.host.llvm_ir import lower
from weft_compiler.host.targets import AARCH64, ARMV7, GENERIC, TARGETS, X86_64, Target, targets_named, this_machine
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
        *((TARGETS[name], ["generic"]) for name in ("riscv64", "riscv32", "cortex-m4")),
    ],
    ids=["x86-64-v3", "aarch64", "armv7", "old x86", "riscv64", "riscv32", "cortex-m4"],
)
def test_levels_of_a_target(target, names):
    assert [level.name for level in target.levels] == names


def test_targets_are_named_by_architecture_or_triple():
    assert targets_named("armv7") == targets_named(["armv7-unknown-linux-gnueabihf", "armv7"]) == (ARMV7,)
    assert targets_named(["aarch64", "x86_64"]) == (AARCH64, X86_64)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (
            ["x86_64", "sparc"],
            "host target 'sparc' does not exist; choose among x86_64, aarch64, armv7, riscv64, riscv32, cortex-m4",
        ),
        ("", "host target '' does not exist; choose among x86_64, aarch64, armv7, riscv64, riscv32, cortex-m4"),
        ([], "no host target is named; choose among x86_64, aarch64, armv7, riscv64, riscv32, cortex-m4"),
    ],
)
def test_targets_that_do_not_exist(names, sentence):
    with pytest.raises(CompileError, match=f"^{re.escape(sentence)}$"):
        targets_named(names)


@pytest.mark.parametrize(
    ("name", "bits", "machine", "flags"),
    [
        ("x86_64", 64, 62, 0),
        ("aarch64", 64, 183, 0),
        ("armv7", 32, 40, 0x5000000),  # EABI 5
        ("riscv64", 64, 243, 5),  # compressed instructions, floats of 64 bits in registers
        ("riscv32", 32, 243, 0),
        ("cortex-m4", 32, 40, 0x5000000),
    ],
)
def test_objects_say_what_they_run_on(name, bits, machine, flags):
    (target,) = targets_named(name)
    code = compile_functions(functions(byte_schedule("int8", 16)), target).object
    assert (code[:4], code[4]) == (b"\x7fELF", bits // 32)
    assert struct.unpack_from("<H", code, 18) == (machine,)
    assert struct.unpack_from("<I", code, 48 if bits == 64 else 36) == (flags,)


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
