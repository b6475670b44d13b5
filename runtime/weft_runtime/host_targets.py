"""CPUs that host code is compiled for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class HostTarget:
    """A host that modules carry an object for: any CPU with these features runs it, others compile the IR.

    Parameters
    ----------
    triple, cpu : str
        By LLVM's names.
    features : tuple of str
        What the object's instructions ask of the CPU.
    abi : str
        How floats are passed, where the triple does not say it.
    relocation : str
        ``"pic"`` for shared libraries, ``"static"`` for programs without an operating system.
    """

    triple: str
    cpu: str
    features: tuple[str, ...]
    abi: str = ""
    relocation: str = "pic"


X86_64 = HostTarget(
    "x86_64-unknown-linux-gnu", "x86-64-v3", ("avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe")
)
"""Every x86-64 since 2013. Only templates whose sums are reassociable fuse a product with an addition."""

AARCH64 = HostTarget("aarch64-unknown-linux-gnu", "generic", ("neon",))
"""Every 64-bit ARM; what has 8-bit dot products uses them."""

ARMV7 = HostTarget("armv7-unknown-linux-gnueabihf", "cortex-a9", ("neon",))
"""The processors of a Zynq-7000. Without *unknown* in its name, LLVM would pass floats in integer registers."""

RISCV64 = HostTarget("riscv64-unknown-linux-gnu", "generic-rv64", ("m", "a", "f", "d", "c"), "lp64d")
"""Every 64-bit RISC-V that runs a Linux distribution (RV64GC)."""

RISCV32 = HostTarget("riscv32-unknown-elf", "generic-rv32", ("m",), "ilp32", "static")
"""Small soft cores: RV32IM, floats in software."""

CORTEX_M = HostTarget("thumbv7em-none-eabi", "cortex-m4", ("thumb2", "dsp", "fp16", "vfp4d16sp"), "", "static")
"""Cortex-M4 with its unit for single precision, and whatever follows it; floats are passed in integer registers."""

HOST_TARGETS = {
    "x86_64": X86_64,
    "aarch64": AARCH64,
    "armv7": ARMV7,
    "riscv64": RISCV64,
    "riscv32": RISCV32,
    "cortex-m4": CORTEX_M,
}
"""Hosts that a compilation can be asked for, by name."""

BARE_TARGETS = tuple(name for name, target in HOST_TARGETS.items() if target.relocation == "static")
"""Those without an operating system."""


def machine_of(target: HostTarget, llvm: Any) -> Any:
    """LLVM's code generator for a target; ``llvm`` is `llvmlite.binding`."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu,
        features=",".join(f"+{name}" for name in target.features),
        opt=3,
        reloc=target.relocation,
        codemodel="small",
        abiname=target.abi,
    )


def optimised(text: str, machine: Any, llvm: Any) -> Any:
    """A module's text after LLVM's passes, for a machine of `machine_of`."""
    module = llvm.parse_assembly(text)
    module.triple = machine.triple
    module.data_layout = str(machine.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    return module
