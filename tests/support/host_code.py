"""Call one host kernel on numpy arrays."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray
from weft_compiler.host.calls import declarations
from weft_compiler.host.codegen import compile_functions
from weft_runtime.host_functions import HostFunctions
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp

GUARD = 64
"""Bytes before and behind every result that must not change."""


def call(function: FuncOp, inputs: list[NDArray[Any]], shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Verify, compile and run a kernel; its last buffer is the result, fenced by guard bytes."""
    ModuleOp([function, *declarations([function])]).verify()
    name = function.sym_name.data
    functions = HostFunctions((compile_functions([function]),), [name])
    nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = [_aligned(np.ascontiguousarray(values).view(np.uint8).reshape(-1)) for values in inputs]
    fenced = _aligned(np.full(nbytes + 2 * GUARD, 0xA5, np.uint8))
    addresses = [values.ctypes.data for values in memory] + [fenced.ctypes.data + GUARD]
    functions[name]((ctypes.c_void_p * len(addresses))(*addresses))
    assert (fenced[:GUARD] == 0xA5).all()
    assert (fenced[GUARD + nbytes :] == 0xA5).all()
    return fenced[GUARD : GUARD + nbytes].view(dtype).reshape(shape).copy()


def _aligned(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    memory = np.zeros(values.size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    memory[start : start + values.size] = values
    return memory[start : start + values.size]
