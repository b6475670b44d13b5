"""The C header against the declarations it is made from, by a compiler where there is one."""

import re
import shutil
import subprocess

import pytest
from weft_hardware.c_header import ENUMS, render
from weft_hardware.registers import IDENTITY_VALUE, REGISTERS, Cause, Status

DEFINES = {name: int(value, 16) for name, value in re.findall(r"^#define (WEFT_\w+) (0x[0-9a-f]+)u", render(), re.M)}


def test_every_register_and_every_value_is_there():
    for register in REGISTERS:
        assert DEFINES[f"WEFT_{register.name}"] == register.offset
    assert DEFINES["WEFT_IDENTITY_VALUE"] == IDENTITY_VALUE
    assert DEFINES["WEFT_CAUSE_BUS_HUNG"] == Cause.BUS_HUNG
    assert DEFINES["WEFT_STATUS_RESETTING"] == Status.RESETTING
    assert DEFINES["WEFT_MODULE_STATE_WAIT_PUSH_NEXT"] == 5
    assert len(DEFINES) == 2 + len(REGISTERS) + sum(len(enum) for enum in ENUMS)


def test_a_c_compiler_takes_it(tmp_path):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("cc is not installed")
    source = tmp_path / "registers.c"
    checks = "".join(f'_Static_assert({name} == {value}u, "{name}");\n' for name, value in DEFINES.items())
    source.write_text(f"{render()}{render()}{checks}")
    command = [compiler, "-std=c11", "-Wall", "-Werror", "-pedantic", "-fsyntax-only", str(source)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
