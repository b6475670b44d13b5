"""LLVM IR to an object, through llvmlite."""

from __future__ import annotations

from collections.abc import Sequence

import llvmlite.binding as llvm
from weft_runtime import host_targets
from weft_runtime.module_model import HostCode
from xdsl.dialects.func import FuncOp

from .llvm_ir import lower
from .targets import X86_64, Target


def compile_functions(functions: Sequence[FuncOp], target: Target = X86_64) -> HostCode:
    """Host functions for a target, beside their IR for any CPU."""
    return compile_ir(lower(functions), target, lower(functions, target))


def compile_ir(text: str, target: Target = X86_64, for_target: str | None = None) -> HostCode:
    """Optimise and compile a module's text.

    Parameters
    ----------
    for_target : str, optional
        What the object is made of, if that is another text.
    """
    machine = machine_of(target)
    module = optimised(for_target or text, machine)
    return HostCode(target.triple, target.cpu, target.features, text.encode(), machine.emit_object(module))


def assembly(functions: Sequence[FuncOp], target: Target) -> str:
    """What a target's CPU runs, to be read."""
    machine = machine_of(target)
    return machine.emit_assembly(optimised(lower(functions, target), machine))


def machine_of(target: Target) -> llvm.TargetMachine:
    """LLVM's code generator for a target."""
    return host_targets.machine_of(target, llvm)


def optimised(text: str, machine: llvm.TargetMachine) -> llvm.ModuleRef:
    """A module's text after LLVM's passes."""
    return host_targets.optimised(text, machine, llvm)
