"""Host code as libraries in the module: what they are, and networks where numpy is all there is."""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import exported
from support.foreign_python import foreign_python
from support.pythons import python310
from weft.demo import reference_logits
from weft.models import digits_heldout, digits_onnx
from weft_compiler.host.codegen import compile_ir
from weft_runtime import host_cpu
from weft_runtime.errors import ModuleError
from weft_runtime.export import library
from weft_runtime.host_functions import CPU_FEATURES, HostFunctions
from weft_runtime.host_library import HostLibrary
from weft_runtime.module import Module
from weft_runtime.module_model import Buffer, HostStep
from weft_simulator.link import LinkServer

import weft

ROOT = Path(__file__).parents[3]
BASE = tuple(ROOT / folder for folder in ("hardware", "runtime"))
PROGRAM = ROOT / "tests" / "support" / "linked_board.py"
IMAGES = digits_heldout()[0][:10]
TARGETS = ("x86_64", "armv7", "aarch64", "riscv64", "riscv32")
MACHINES = {"x86_64": 62, "armv7": 40, "aarch64": 183, "riscv64": 243}
"""Numbers of processors in ELF's header."""


@pytest.fixture(scope="module")
def plain() -> Module:
    return weft.compile(digits_onnx(), "vta", host_targets=TARGETS)


@pytest.fixture(scope="module")
def linked(plain: Module) -> Module:
    exported.need_zig()
    return plain.linked()


def test_every_linux_has_a_library(plain: Module, linked: Module) -> None:
    libraries = {code.triple.split("-")[0]: code.library for code in linked.content.host_code}
    assert libraries.pop("riscv32") == b""
    for name, content in libraries.items():
        kind, machine = struct.unpack_from("<HH", content, 16)
        assert (content[:4], kind, machine) == (b"\x7fELF", 3, MACHINES[name])
    assert plain.linked().content == linked.content
    assert all(not code.library for code in plain.content.host_code)


def test_a_library_shows_what_is_called(linked: Module) -> None:
    (code,) = (code for code in linked.content.host_code if code.triple.startswith("x86_64"))
    opened = HostLibrary(code.library)
    called = {step.function for step in linked.content.steps if hasattr(step, "function")}
    assert called
    assert all(opened.address(name) for name in called)
    assert opened.address("roundevenf") == 0


TELL_CPU = """
@weft_cpu = global i32 0
define void @tell(ptr %buffers) {
  %result = load ptr, ptr %buffers
  %bits = load i32, ptr @weft_cpu
  store i32 %bits, ptr %result
  ret void
}
"""


def test_a_library_is_told_of_its_processor(linked: Module) -> None:
    place = Buffer("host", 0, 4)
    code = replace(compile_ir(TELL_CPU), ir=b"not compiled")
    content = replace(linked.content, steps=(HostStep(0, "tell", (place,)),), host_code=(code,))
    functions = HostFunctions(Module(content).linked().content.host_code, ["tell"])
    told = np.zeros(1, np.uint32)
    functions["tell"]((ctypes.c_void_p * 1)(told.ctypes.data))
    assert told == sum(1 << k for k, name in enumerate(CPU_FEATURES) if name in host_cpu.features())


def test_the_module_comes_back_with_its_libraries(linked: Module, tmp_path: Path) -> None:
    linked.save(tmp_path / "digits.weft")
    assert weft.load(tmp_path / "digits.weft").content == linked.content


def test_without_ziglang(plain: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleError) as info:
        plain.linked()
    assert str(info.value) == (
        "linking host code, which --no-link leaves out, needs the Python package 'ziglang', which is not installed; "
        "run: pip install 'weft[export]'"
    )


def read_digits(start: list[str], module: Module, folder: Path, device: str = "functional") -> bytes:
    """What a network makes of the images in another Python, whose device is a simulator in this one."""
    module.save(folder / "digits.weft")
    config = module.content.config
    with LinkServer(folder / "dev", lambda dram: weft.open_device(device, config, dram=dram)) as server:
        command = [*start, str(PROGRAM), str(server.path), str(folder / "digits.weft")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, BASE)), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            command, input=IMAGES.tobytes(), env=environment, capture_output=True, check=False, timeout=300
        )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_digits_with_numpy_alone(linked: Module, tmp_path: Path) -> None:
    python = python310()
    if python is None:
        pytest.skip("needs a Python 3.10 (none on PATH or under ~/.pyenv), and numpy and tomli from pip")
    assert read_digits([python], linked, tmp_path) == reference_logits(IMAGES).tobytes()


def test_digits_with_llvm_never_imported(linked: Module, tmp_path: Path) -> None:
    assert read_digits([sys.executable], linked, tmp_path) == reference_logits(IMAGES).tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("device", ["functional", pytest.param("tsim", marks=pytest.mark.rtl)])
@pytest.mark.parametrize("target", ["armv7", "aarch64"])
def test_digits_on_processors_of_boards(target: str, device: str, linked: Module, tmp_path: Path) -> None:
    python = foreign_python(target, BASE)
    if python is None:
        pytest.skip("needs apt-get, dpkg-deb and qemu-user, and Debian's packages")
    assert read_digits(python, linked, tmp_path, device) == reference_logits(IMAGES).tobytes()
