"""Scheduled tensor expressions as functions on numpy arrays, compiled for this machine."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from numpy.typing import NDArray
from weft_runtime.host_functions import ALIGNMENT, aligned_bytes, native_machine
from xdsl.dialects.builtin import ModuleOp

from ..errors import CompileError
from ..host.calls import declarations
from ..host.llvm_ir import lower as to_llvm
from ..host.targets import this_machine
from . import nest as n
from .schedule import Schedule
from .to_ir import HostFunctionIR, to_ir

Array = NDArray[Any]

_WHOLE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_PART = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


def build(schedule: Schedule, name: str = "kernel", threads: int | None = None) -> Kernel:
    """Compile a schedule.

    Parameters
    ----------
    threads : int, optional
        How many share the iterations of a parallel loop; as many as there are processors if left out.

    Returns
    -------
    Kernel
        Takes the inputs in the order of `Kernel.inputs`, gives the output, or a tuple of several.
    """
    return build_all({name: schedule.lower()}, threads)[name]


def build_all(nests: Mapping[str, n.Nest], threads: int | None = None, optimise: int = 3) -> dict[str, Kernel]:
    """Compile many nests as one module, which is faster than one by one.

    Parameters
    ----------
    optimise : int
        LLVM's level, 0 to 3.
    """
    functions = {name: to_ir(nest, name) for name, nest in nests.items()}
    operations = [piece.function for ir in functions.values() for piece in ir.pieces]
    templates = {template.name: template for ir in functions.values() for template in ir.templates}
    text = to_llvm(operations, this_machine(), templates)
    ModuleOp([*operations, *declarations(operations)]).verify()
    engine = _compile(text, optimise)
    count = threads or os.cpu_count() or 1
    return {name: Kernel(nest, functions[name], engine, count) for name, nest in nests.items()}


def _compile(text: str, optimise: int) -> llvm.ExecutionEngine:
    machine = native_machine(llvm, optimise)
    module = llvm.parse_assembly(text)
    module.triple = machine.triple
    module.data_layout = str(machine.target_data)
    if optimise:
        passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=optimise))
        passes.getModulePassManager().run(module, passes)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine


class Kernel:
    """A compiled schedule; calling it allocates its outputs."""

    def __init__(self, nest: n.Nest, ir: HostFunctionIR, engine: llvm.ExecutionEngine, threads: int):
        self._nest, self._ir, self._engine, self._threads = nest, ir, engine, threads
        addresses = [engine.get_function_address(piece.function.sym_name.data) for piece in ir.pieces]
        self._pieces = [
            (_WHOLE if piece.trips is None else _PART)(address)
            for piece, address in zip(ir.pieces, addresses, strict=True)
        ]

    @property
    def inputs(self) -> tuple[n.Buffer, ...]:
        return self._nest.inputs

    @property
    def outputs(self) -> tuple[n.Buffer, ...]:
        return self._nest.outputs

    def __call__(self, *inputs: Array) -> Any:
        """The outputs for given inputs.

        Raises
        ------
        CompileError
            If an input has another shape or type than its placeholder.
        """
        arguments = self._inputs(inputs)
        outputs = tuple(aligned(buffer) for buffer in self.outputs)
        self.run(*arguments, *outputs)
        return outputs[0] if len(outputs) == 1 else outputs

    def run(self, *arguments: Array) -> None:
        """Write into given outputs: ``arguments`` are the inputs, then the outputs.

        Each is contiguous, begins at a multiple of 64 bytes, and overlaps no other.
        """
        shared = [aligned(buffer) for buffer in self._ir.buffers[len(arguments) :]]
        memory = [*arguments, *shared]
        addresses = (ctypes.c_void_p * len(memory))(*(values.ctypes.data for values in memory))
        pointer = ctypes.cast(addresses, ctypes.c_void_p)
        for piece, function in zip(self._ir.pieces, self._pieces, strict=True):
            if piece.trips is None:
                function(pointer)
            else:
                self._share(function, pointer, piece.trips)

    def _share(self, function: Any, pointer: ctypes.c_void_p, trips: int) -> None:
        """Give each thread one run of iterations."""
        threads = min(self._threads, trips)
        if threads == 1:
            function(pointer, 0, trips)
            return
        ends = [trips * k // threads for k in range(threads + 1)]
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda k: function(pointer, ends[k], ends[k + 1]), range(threads)))

    def _inputs(self, inputs: Sequence[Array]) -> list[Array]:
        if len(inputs) != len(self.inputs):
            names = ", ".join(buffer.name for buffer in self.inputs)
            raise CompileError(f"{len(inputs)} inputs are given, it takes {len(self.inputs)}: {names}")
        memory = []
        for buffer, values in zip(self.inputs, inputs, strict=True):
            if values.shape != buffer.shape or values.dtype != np.dtype(buffer.dtype):
                raise CompileError(
                    f"{buffer.name} is {buffer.dtype}{list(buffer.shape)}, "
                    f"given is {values.dtype}{list(values.shape)}; convert it"
                )
            if not values.flags.c_contiguous or values.ctypes.data % ALIGNMENT:
                copy = aligned(buffer)
                copy[...] = values
                values = copy
            memory.append(values)
        return memory


def aligned(buffer: n.Buffer) -> Array:
    """Memory for a buffer, all zero, as `Kernel.run` wants it."""
    dtype = np.dtype(buffer.dtype)
    size = int(np.prod(buffer.shape)) * dtype.itemsize
    return aligned_bytes(size).view(dtype).reshape(buffer.shape)
