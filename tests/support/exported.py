"""Building and running what `weft export` wrote: libraries, programs in C and other languages, other processors."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import support

SOURCES = Path(next(iter(support.__path__))) / "export"

ZIG_TARGETS = {
    "x86_64": "x86_64-linux-gnu.2.28",
    "aarch64": "aarch64-linux-gnu.2.28",
    "armv7": "arm-linux-gnueabihf.2.28",
    "riscv64": "riscv64-linux-gnu.2.28",
}

EMULATORS = {
    "aarch64": ("qemu-aarch64", "/usr/aarch64-linux-gnu", "libc6-arm64-cross"),
    "armv7": ("qemu-arm", "/usr/arm-linux-gnueabihf", "libc6-armhf-cross"),
    "riscv64": ("qemu-riscv64", "/usr/riscv64-linux-gnu", "libc6-riscv64-cross"),
}
"""Each target's emulator, the C library that it runs programs with, and Debian's package of that."""


def need_zig() -> None:
    if find_spec("ziglang") is None:
        pytest.skip("needs ziglang to link for other processors, which is not installed")


def runner(target: str, folder: Path) -> list[str]:
    """What a program for a target is started with; the test is skipped where that is missing."""
    if target not in EMULATORS:
        return []
    emulator, root, package = EMULATORS[target]
    command = shutil.which(emulator)
    if command is None or not Path(root).is_dir():
        pytest.skip(f"needs {emulator} and {package} (Debian: qemu-user, {package}), which are not installed")
    return [command, "-L", root, "-E", f"LD_LIBRARY_PATH={folder}"]


def compile_c(target: str, source: str, folder: Path) -> Path:
    """A program of tests/support/export, linked with the library ``net.so`` of a folder."""
    program = folder / Path(source).stem
    command = [sys.executable, "-m", "ziglang", "cc", "-target", ZIG_TARGETS[target], "-O1", "-Wall", "-Werror"]
    command += ["-I", str(folder), str(SOURCES / source), str(folder / "net.so"), "-o", str(program)]
    subprocess.run(command, check=True)
    return program


def run(command: list[str], folder: Path, data: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run a program beside the library."""
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder)}
    return subprocess.run(command, input=data, capture_output=True, env=environment, timeout=120, check=False)
