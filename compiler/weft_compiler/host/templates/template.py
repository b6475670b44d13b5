"""A kernel as text of LLVM IR for each level of vector instructions, and how one of them is chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from weft_runtime.host_functions import CPU_FEATURES, CPU_SYMBOL

from ..targets import GENERIC, Level
from .writer import Writer


@dataclass(frozen=True, eq=False)
class Template:
    """A function of pointers and counts that is written by hand, once for each level.

    Parameters
    ----------
    name : str
        The symbol that loop nests call.
    parameters : tuple of (str, str)
        LLVM type, ``"ptr"`` or ``"i64"``, and name of each. In the IR before LLVM a pointer is a memref and the
        position of its first element in it, counted in elements.
    write : callable
        Writes the body for a level; every level is possible.
    """

    name: str
    parameters: tuple[tuple[str, str], ...]
    write: Callable[[Writer, Level], None]

    def define(self, levels: Sequence[Level]) -> tuple[list[str], str]:
        """Declarations and definition; of several levels the first that the CPU has is chosen at each call."""
        declarations: list[str] = []
        parts = []
        for level in levels:
            name = self.name if len(levels) == 1 else f"{self.name}.{level.name}"
            f = Writer(name, self._typed)
            self.write(f, level)
            declarations += f.declarations
            parts.append(f.definition(_attributes(level)))
        if len(levels) > 1:
            declarations.append(f"@{CPU_SYMBOL} = global i32 0")
            parts.append(self._dispatch(levels))
        return declarations, "\n".join(parts)

    @property
    def _typed(self) -> str:
        return ", ".join(f"{kind} %{name}" for kind, name in self.parameters)

    def _dispatch(self, levels: Sequence[Level]) -> str:
        f = Writer(self.name, self._typed)
        cpu = f.load("i32", f"@{CPU_SYMBOL}", 4)
        for k, level in enumerate(levels):
            call = f'call void @"{self.name}.{level.name}"({self._typed})'
            if k + 1 == len(levels):
                f.do(call)
                break
            mask = sum(1 << CPU_FEATURES.index(name) for name in level.features if name in CPU_FEATURES)
            f.return_after(call, f.op(f"icmp eq i32 {f.op(f'and i32 {cpu}, {mask}')}, {mask}"))
        return f.definition("nounwind")


def _attributes(level: Level) -> str:
    if level is GENERIC:
        return "nounwind noinline"
    features = ",".join(f"+{name}" for name in level.features)
    # Otherwise LLVM splits 64-byte vectors on CPUs that it thinks prefer smaller ones.
    return f'nounwind noinline "target-features"="{features}" "min-legal-vector-width"="{8 * level.vector_bytes}"'
