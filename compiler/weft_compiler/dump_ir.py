"""Every level of a compilation as files to read, numbered in the order in which they come about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from weft_hardware.config import AcceleratorConfig
from weft_hardware.disasm import disassemble, disassemble_uops
from weft_runtime.files import write_atomically
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp

from .accel.assembly import MOST, function_of_stream
from .accel.stream import Program, Stream
from .errors import CompileError
from .host.calls import declarations
from .host.codegen import assembly
from .host.llvm_ir import lower
from .host.targets import X86_64
from .te.nest_ir import function_of
from .text import print_ir

LONGEST = 64
"""Bytes of the constants that are written; longer ones are left out."""

_OURS = re.compile(r"[0-9]{3}-[A-Za-z0-9_.-]+\.(mlir|ll|s|txt)")
_NAME = re.compile(r"[^A-Za-z0-9_.-]")


class Dump:
    """A folder for one compilation; the files of an earlier one in it are removed first.

    Each file is written whole or not at all.

    Parameters
    ----------
    folder : Path
        Made if it is missing.

    Raises
    ------
    CompileError
        If it cannot be written to.
    """

    def __init__(self, folder: str | Path):
        self._folder = Path(folder)
        self._count = 0
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for path in self._folder.iterdir():
                if _OURS.fullmatch(path.name):
                    path.unlink()
        except OSError as error:
            raise self._refused(error) from None

    def _refused(self, error: OSError) -> CompileError:
        return CompileError(f"folder {self._folder} cannot be written to: {error.strerror}; choose another one")

    def write(self, name: str, text: str) -> None:
        """The next file; characters that names of files should not have become underscores."""
        path = self._folder / f"{self._count:03}-{_NAME.sub('_', name)}"
        self._count += 1
        try:
            write_atomically(path, lambda file: file.write(text.encode()))
        except OSError as error:
            raise self._refused(error) from None

    def module(self, name: str, module: ModuleOp) -> None:
        """The IR behind a pass."""
        self.write(f"{name}.mlir", print_ir(module, LONGEST))

    def kernel(self, layer: str, stream: Stream, program: Program, config: AcceleratorConfig) -> None:
        """A kernel's loops, and its program: as IR if it is short enough to be written out, otherwise disassembled."""
        if stream.nest is not None:
            self.write(f"{layer}.te.mlir", print_ir(ModuleOp([function_of(stream.nest, "kernel")])))
        if stream.nest is not None and len(program.instructions) <= MOST:
            self.write(f"{layer}.accel.mlir", print_ir(ModuleOp([function_of_stream(stream, "kernel")])))
        lines = [*disassemble(program.instructions, config), "micro-ops", *disassemble_uops(program.uops, config)]
        self.write(f"{layer}.disassembly.txt", "\n".join(lines) + "\n")

    def host(self, functions: Sequence[FuncOp]) -> None:
        """The host's functions as IR, as LLVM IR, and as code for x86-64."""
        if functions:
            both = [*functions, *declarations(functions)]
            self.write("host.mlir", print_ir(ModuleOp([function.clone() for function in both])))
            self.write("host.ll", lower(functions))
            self.write("host.s", assembly(functions, X86_64))
