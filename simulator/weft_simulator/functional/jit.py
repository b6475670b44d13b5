"""Compile LLVM IR for this machine and call into it; the only place here that touches llvmlite."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from weft_runtime.errors import DeviceError


@lru_cache(maxsize=1)
def _binding() -> Any:
    try:
        import llvmlite.binding as binding
    except ImportError as error:
        raise DeviceError(
            "the functional device compiles its kernels with llvmlite, which is not installed; "
            "run pip install 'weft[compiler]'"
        ) from error
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding


def host_has(*names: str) -> bool:
    """Whether this CPU has all of some features, by LLVM's names."""
    features = _binding().get_host_cpu_features()
    return all(features.get(name, False) for name in names)


def host_has_vnni() -> bool:
    """Whether this CPU has 8-bit dot products on 512-bit, 256-bit and 128-bit vectors."""
    return host_has("avx512f", "avx512vl", "avx512vnni")


class _Kernels(dict[str, Callable[[int, int], int]]):
    """Callables by name; holds the engine, whose code they point into."""

    engine: Any


def compile_module(ir: str) -> dict[str, Callable[[int, int], int]]:
    """Compile a module; returns each external function of two pointers and an i64 result.

    Raises
    ------
    DeviceError
        If llvmlite is not installed.
    """
    binding = _binding()
    module = binding.parse_assembly(ir)
    module.verify()
    names = [f.name for f in module.functions if not f.is_declaration and f.linkage.name == "external"]
    target = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=binding.get_host_cpu_features().flatten(), opt=3
    )
    engine = binding.create_mcjit_compiler(module, target)
    engine.finalize_object()
    kind = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_size_t, ctypes.c_size_t)
    compiled = _Kernels({name: kind(engine.get_function_address(name)) for name in names})
    compiled.engine = engine
    return compiled
