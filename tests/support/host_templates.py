"""Call a kernel template on numpy arrays, at a level of this machine."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from numpy.typing import NDArray
from weft_compiler.host.codegen import optimised
from weft_compiler.host.targets import LEVELS, Level, this_machine
from weft_compiler.host.templates.template import Template

HERE = [level for level in LEVELS if this_machine().has(level)]
"""Levels that this CPU runs."""

GUARD = 64
"""Bytes around every array that must not change."""


class Compiled:
    """A template for one level."""

    def __init__(self, template: Template, level: Level):
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        declarations, text = template.define([level])
        parameters = ", ".join(f"{kind} %{name}" for kind, name in template.parameters)
        entry = f'define void @entry({parameters}) {{\n  call void @"{template.name}"({parameters})\n  ret void\n}}\n'
        machine = llvm.Target.from_default_triple().create_target_machine(cpu="x86-64-v3", opt=3, jit=True)
        module = optimised("\n".join([*declarations, text, entry]), machine)
        module.verify()
        self.assembly = machine.emit_assembly(module)
        self._engine = llvm.create_mcjit_compiler(module, machine)
        self._engine.finalize_object()
        kinds = [ctypes.c_void_p if kind == "ptr" else ctypes.c_int64 for kind, _ in template.parameters]
        self._function = ctypes.CFUNCTYPE(None, *kinds)(self._engine.get_function_address("entry"))

    def __call__(self, *arguments: NDArray[Any] | int) -> None:
        """Run on arrays, which it may change, and counts; what lies around an array stays as it was."""
        fenced = [_fenced(x) if isinstance(x, np.ndarray) else None for x in arguments]
        passed = [
            int(x) if raw is None else raw.ctypes.data + GUARD  # type: ignore[arg-type]
            for x, raw in zip(arguments, fenced, strict=True)
        ]
        self._function(*passed)
        for x, raw in zip(arguments, fenced, strict=True):
            if raw is not None:
                assert isinstance(x, np.ndarray)
                assert (raw[:GUARD] == 0xA5).all()
                assert (raw[-GUARD:] == 0xA5).all()
                x[...] = raw[GUARD:-GUARD].view(x.dtype).reshape(x.shape)


def _fenced(values: NDArray[Any]) -> NDArray[np.uint8]:
    memory = np.full(values.nbytes + 2 * GUARD + 64, 0xA5, np.uint8)
    start = -memory.ctypes.data % 64
    fenced = memory[start : start + values.nbytes + 2 * GUARD]
    fenced[GUARD:-GUARD] = np.ascontiguousarray(values).view(np.uint8).reshape(-1)
    return fenced


def grouped(matrix: NDArray[Any], group: int = 4) -> NDArray[Any]:
    """A matrix (depth, columns) as (depth / group, columns, group)."""
    depth, columns = matrix.shape
    return np.ascontiguousarray(matrix.reshape(depth // group, group, columns).transpose(0, 2, 1))


def extremes(dtype: str, shape: Sequence[int]) -> list[NDArray[Any]]:
    """Arrays of the smallest and of the largest value of a type."""
    info = np.iinfo(dtype)
    return [np.full(shape, value, dtype) for value in (info.min, info.max)]
