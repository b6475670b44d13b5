"""LLVM IR to an object, through llvmlite."""

from __future__ import annotations

from dataclasses import dataclass

import llvmlite.binding as llvm
from weft_runtime.module_model import HostCode


@dataclass(frozen=True)
class Target:
    """A host that modules carry an object for: any CPU with these features runs it, others compile the IR."""

    triple: str
    cpu: str
    features: tuple[str, ...]


X86_64 = Target(
    "x86_64-unknown-linux-gnu", "x86-64-v3", ("avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe")
)
"""Every x86-64 since 2013. FMA is present, never used: no contraction is allowed, so each step rounds as written."""


def compile_ir(text: str, target: Target = X86_64) -> HostCode:
    """Optimise and compile a module's text."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, opt=3, reloc="pic", codemodel="small"
    )
    module = llvm.parse_assembly(text)
    module.triple = target.triple
    module.data_layout = str(machine.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    return HostCode(target.triple, target.cpu, target.features, text.encode(), machine.emit_object(module))
