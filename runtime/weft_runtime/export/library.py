"""A module as a shared library with a small C interface, and its header."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from weft_hardware.c_header import render as registers_header

from ..errors import ModuleError
from ..files import write_atomically
from ..host_targets import HOST_TARGETS
from ..module_model import ModuleContent, TensorInfo
from .objects import object_for
from .tables import constants_of, network_source

ZIG_TARGETS = {
    "armv7": ("arm-linux-gnueabihf.2.28", "-mcpu=cortex_a9"),
    "aarch64": ("aarch64-linux-gnu.2.28",),
    "x86_64": ("x86_64-linux-gnu.2.28",),
    "riscv64": ("riscv64-linux-gnu.2.28",),
}
"""What zig calls the targets of libraries: with the oldest C library that they run on, and a processor."""

SOURCES = (
    "weft_engine.c",
    "weft_runner.c",
    "weft_tables.c",
    "weft_library.c",
    "weft_links.c",
    "weft_cpu.c",
    "weft_math.c",
)
HEADERS = ("weft_device.h", "weft.h", "weft_network.h", "weft_engine.h", "weft_runner.h", "weft_library.h")
FLAGS = ("-std=c99", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", "-O2", "-fPIC", "-Wall", "-Wextra", "-Werror")
_CONSTANTS = """\
    .section .rodata
    .balign 64
    .global weft_constants
weft_constants:
    .incbin "constants.bin"
    .byte 0
    .section .note.GNU-stack, "", %progbits
"""
_NO_NAME = re.compile(r"[^A-Z0-9_]")


def c_file(name: str) -> str:
    """The text of one of the C files that come with the runtime."""
    return files("weft_runtime").joinpath("c", name).read_text(encoding="utf-8")


def public_functions() -> list[str]:
    """The names that the library shows, as its header declares them."""
    return re.findall(r"\b(weft_[a-z_]+)\(", re.sub(r"/\*.*?\*/", "", c_file("weft.h"), flags=re.S))


def header(content: ModuleContent) -> str:
    """The header of one network: the interface in one file, and its tensors by name."""
    interface = c_file("weft.h").replace('#include "weft_device.h"\n', c_file("weft_device.h"))
    names = [*_macros("INPUT", content.inputs), *_macros("OUTPUT", content.outputs)]
    return "\n".join([interface, *names, ""])


def _macros(kind: str, tensors: tuple[TensorInfo, ...]) -> list[str]:
    lines = []
    for k, tensor in enumerate(tensors):
        name = f"WEFT_{kind}_{_NO_NAME.sub('_', tensor.name.upper())}"
        shape = " x ".join(map(str, tensor.shape)) or "one number"
        # Guarded, for names may be equal once they are spelt in capitals.
        lines += [f"#ifndef {name}", f"#define {name} {k} /* {shape} of {tensor.dtype} */", "#endif"]
        lines += [f"#ifndef {name}_BYTES", f"#define {name}_BYTES {tensor.buffer.nbytes}", "#endif"]
    return lines


def require_zig(purpose: str = "exporting a library") -> tuple[str, ...]:
    """The command of zig's C compiler.

    Parameters
    ----------
    purpose : str
        What needs it, as the subject of the sentence that says it is missing.

    Raises
    ------
    ModuleError
        If it is not installed.
    """
    if importlib.util.find_spec("ziglang") is None:
        raise ModuleError(
            f"{purpose} needs the Python package 'ziglang', which is not installed; run: pip install 'weft[export]'"
        )
    return (sys.executable, "-m", "ziglang", "cc")


def export_library(content: ModuleContent, path: Path | str, target: str) -> Path:
    """Write a shared library and, beside it, its C header; see docs/export.md.

    Parameters
    ----------
    path : Path
        Of the library; the header's name ends in ``.h`` instead.
    target : str
        One of `ZIG_TARGETS`.

    Returns
    -------
    Path
        The header.

    Raises
    ------
    ModuleError
        If the target does not exist, ziglang is missing, the module calls Python, or a file cannot be written.
    """
    library = Path(path)
    if target not in ZIG_TARGETS:
        raise ModuleError(f"target {target!r} does not exist; choose one of {', '.join(ZIG_TARGETS)}")
    header_path = library.with_suffix(".h")
    if header_path == library:
        raise ModuleError(f"library {library} would have its header's name; end it in .so")
    compiler = require_zig()
    tables, code = network_source(content), object_for(content, HOST_TARGETS[target])
    with tempfile.TemporaryDirectory(prefix="weft-export-") as name:
        folder = Path(name)
        for file in (*SOURCES, *HEADERS):
            (folder / file).write_text(c_file(file), encoding="utf-8")
        (folder / "weft_registers.h").write_text(registers_header(), encoding="utf-8")
        (folder / "network.c").write_text(tables, encoding="utf-8")
        (folder / "constants.bin").write_bytes(constants_of(content))
        (folder / "constants.S").write_text(_CONSTANTS, encoding="utf-8")
        shown = "".join(f"{function}; " for function in public_functions())
        (folder / "symbols.map").write_text(f"{{ global: {shown}local: *; }};\n", encoding="utf-8")
        inputs = [*SOURCES, "network.c", "constants.S"]
        if code is not None:
            (folder / "host.o").write_bytes(code)
            inputs.append("host.o")
        options = ["-target", *ZIG_TARGETS[target], *FLAGS, "-shared", "-s", "-Wl,--version-script=symbols.map"]
        run_compiler([*compiler, *options, f"-Wl,-soname,{library.name}", "-o", "library.so", *inputs, "-lm"], folder)
        try:
            write_atomically(library, lambda file: shutil.copyfileobj((folder / "library.so").open("rb"), file))
            write_atomically(header_path, lambda file: file.write(header(content).encode()))
        except OSError as error:
            raise ModuleError(f"library {library} cannot be written: {error.strerror}; choose another path") from None
    return header_path


def run_compiler(command: list[str], folder: Path) -> None:
    """Run zig in a folder.

    Raises
    ------
    ModuleError
        If it fails, with its first error.
    """
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        words = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip())
        raise ModuleError(f"the library cannot be linked ({words}); give the objects of external functions, if any")
