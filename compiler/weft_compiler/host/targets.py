"""CPUs that host code is compiled for, and the levels of vector instructions that kernel templates are written for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import llvmlite.binding as llvm
from weft_runtime.host_functions import CPU_FEATURES
from weft_runtime.host_targets import HOST_TARGETS, HostTarget

from ..errors import CompileError


@dataclass(frozen=True)
class Level:
    """Vector instructions that a template is written for.

    Parameters
    ----------
    name : str
        Suffix of the function's symbol.
    architecture : str
        First part of the target triple; empty for every one.
    features : tuple of str
        What the CPU must have, by LLVM's names.
    registers, vector_bytes : int
        Vector registers and the bytes of one.
    """

    name: str
    architecture: str
    features: tuple[str, ...]
    registers: int
    vector_bytes: int


GENERIC = Level("generic", "", (), 16, 16)
"""Plain vector operations, which LLVM lowers for any target."""

AVX2 = Level("avx2", "x86_64", ("avx2", "fma"), 16, 32)
VNNI = Level("vnni", "x86_64", ("avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni"), 32, 64)
NEON = Level("neon", "aarch64", ("neon",), 32, 16)
DOTPROD = Level("dotprod", "aarch64", ("neon", "dotprod"), 32, 16)
NEON32 = Level("neon32", "armv7", ("neon",), 16, 16)

LEVELS = (VNNI, AVX2, DOTPROD, NEON, NEON32, GENERIC)
"""The best first."""


class Target(HostTarget):
    """A host, and the levels of vector instructions that it has."""

    @classmethod
    def of(cls, host: HostTarget) -> Target:
        """The same host."""
        return cls(host.triple, host.cpu, host.features, host.abi, host.relocation)

    @property
    def levels(self) -> tuple[Level, ...]:
        """What a template is written for: levels to choose from at run time, the best first, then the one at hand."""
        here = next(level for level in LEVELS if self.has(level))
        reachable = [level for level in LEVELS if self.has(level, CPU_FEATURES)]
        return (*reachable[: reachable.index(here)], here)

    @property
    def architecture(self) -> str:
        return self.triple.split("-")[0]

    @property
    def level(self) -> Level:
        """The best level that every such CPU runs."""
        return self.levels[-1]

    def has(self, level: Level, extra: Iterable[str] = ()) -> bool:
        """Whether all such CPUs, if they also have ``extra`` features, have a level's instructions."""
        features = {*self.features, *extra}
        return level.architecture in ("", self.architecture) and features.issuperset(level.features)


TARGETS = {name: Target.of(host) for name, host in HOST_TARGETS.items()}
"""Hosts that a compilation can be asked for, by name."""

X86_64, AARCH64, ARMV7 = (TARGETS[name] for name in ("x86_64", "aarch64", "armv7"))
RISCV64, RISCV32, CORTEX_M = (TARGETS[name] for name in ("riscv64", "riscv32", "cortex-m4"))


def targets_named(names: str | Sequence[str]) -> tuple[Target, ...]:
    """Targets by their names or triples, each once.

    Raises
    ------
    CompileError
        If there is none of a name, or none at all is asked for.
    """
    asked = (names,) if isinstance(names, str) else names
    known = TARGETS | {target.triple: target for target in TARGETS.values()}
    for name in asked:
        if name not in known:
            raise CompileError(f"host target {name!r} does not exist; choose among {', '.join(TARGETS)}")
    if not asked:
        raise CompileError(f"no host target is named; choose among {', '.join(TARGETS)}")
    return tuple(dict.fromkeys(known[name] for name in asked))


@cache
def this_machine() -> Target:
    """The CPU that this process runs on, with all that it has."""
    features = tuple(name for name, has in llvm.get_host_cpu_features().items() if has)
    return Target(llvm.get_process_triple(), llvm.get_host_cpu_name(), features)
