"""Host functions of a module as callables: its library or object where this CPU can run it, its IR otherwise."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import host_cpu
from .errors import ModuleError
from .host_library import HostLibrary
from .module_model import HostCode

Function = Callable[[Any], None]
"""Takes a C array of buffer addresses."""

_SIGNATURE = ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_void_p))

CPU_FEATURES = ("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni", "dotprod")
"""What host code may ask for at run time, by LLVM's names: bit k of `CPU_SYMBOL` says whether the CPU has that."""

CPU_SYMBOL = "weft_cpu"
"""A 32-bit variable of the object, 0 until a loader sets it."""

ALIGNMENT = 64
"""Bytes at whose multiples the buffers of host functions begin."""


def aligned_bytes(nbytes: int) -> NDArray[np.uint8]:
    """Zeroed memory that starts at a multiple of `ALIGNMENT`."""
    memory = np.zeros(nbytes + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + nbytes]


def _import_llvm() -> Any:
    try:
        import llvmlite.binding as llvm
    except ImportError:
        raise ModuleError(
            f"module has host code, but not linked for this {host_cpu.architecture() or 'machine'}, and llvmlite, "
            "which would load it, is not installed; compile the model with --host-target for it, or pip install "
            "'weft[compiler]'"
        ) from None
    return llvm


def native_machine(llvm: Any, optimise: int = 3) -> Any:
    """LLVM's code generator for this CPU, AVX-512 left out: there LLVM 22.1 writes behind buffers (decision 14)."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().items()
    chosen = ",".join(f"{'+' if on and not name.startswith('avx512') else '-'}{name}" for name, on in features)
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=chosen, opt=optimise, jit=True
    )


class HostFunctions:
    """The functions of one module, compiled in this process and alive as long as this object.

    Parameters
    ----------
    codes : tuple of HostCode
        One for each target the module was compiled for.
    names : iterable of str
        The functions that its steps call.

    Raises
    ------
    ModuleError
        If the module has no host code, llvmlite is missing where it has no library for this CPU, or a function is not
        in it.
    """

    def __init__(self, codes: tuple[HostCode, ...], names: Iterable[str]):
        self._functions: dict[str, Function] = {}
        wanted = sorted(set(names))
        if not wanted:
            return
        if not codes:
            raise ModuleError("module has host steps but no host code; compile the model again")
        usable = [code for code in codes if _runs_here(code)]
        linked = next((code for code in usable if code.library), None)
        find = self._load(linked) if linked else self._compile(codes, usable)
        if variable := find(CPU_SYMBOL):
            has = host_cpu.features()
            bits = sum(1 << k for k, name in enumerate(CPU_FEATURES) if name in has)
            ctypes.c_uint32.from_address(variable).value = bits
        for name in wanted:
            address = find(name)
            if not address:
                raise ModuleError(f"module has no host function {name!r}; compile the model again")
            self._functions[name] = _SIGNATURE(address)

    def __getitem__(self, name: str) -> Function:
        return self._functions[name]

    def _load(self, code: HostCode) -> Callable[[str], int]:
        """By the system's loader."""
        self._library = HostLibrary(code.library)
        return self._library.address

    def _compile(self, codes: tuple[HostCode, ...], usable: list[HostCode]) -> Callable[[str], int]:
        """By LLVM's: an object, or else the IR."""
        llvm = _import_llvm()
        machine = native_machine(llvm)
        try:
            if usable:
                self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
                self._engine.add_object_file(llvm.ObjectFileRef.from_data(usable[0].object))
            else:
                self._engine = llvm.create_mcjit_compiler(_optimised(codes[0], llvm, machine), machine)
            self._engine.finalize_object()
        except RuntimeError as error:
            first = str(error).strip().splitlines()[0]
            raise ModuleError(f"module's host code does not compile ({first}); compile the model again") from None
        return lambda name: self._engine.get_function_address(name) or self._engine.get_global_value_address(name)


def _runs_here(code: HostCode) -> bool:
    """Whether this process can run an object: same architecture, Linux, all its features present."""
    return code.triple.split("-")[0] == host_cpu.architecture() and host_cpu.features().issuperset(code.features)


def _optimised(code: HostCode, llvm: Any, machine: Any) -> Any:
    """Parse and optimise the IR for this machine."""
    try:
        text = code.ir.decode("ascii")
    except UnicodeDecodeError:
        raise ModuleError("module's host code is not LLVM IR; compile the model again") from None
    module = llvm.parse_assembly(text)
    module.triple = machine.triple
    module.data_layout = str(machine.target_data)
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    passes.getModulePassManager().run(module, passes)
    return module
