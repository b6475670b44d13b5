"""Write LLVM IR as text: expressions, counted loops and early returns of one function.

No optimisation pass over the IR runs afterwards (instcombine would take the multiply-add patterns apart that the code
generator recognises), so values live in registers and phis from the start; nothing is kept in allocas.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Loop:
    """One counted loop while its body is written; afterwards ``carried`` are the values after the last iteration."""

    index: str
    carried: list[str]
    following: list[str] = field(default_factory=list)
    """Values of ``carried`` for the next iteration; the body sets them."""


class Function:
    """One function under construction; values are named by the strings its methods return.

    Parameters
    ----------
    signature : str
        For example ``i64 @gemm(ptr %state, ptr %row)``.
    linkage : str
        Empty, or ``internal``.
    """

    def __init__(self, signature: str, linkage: str = "") -> None:
        self._head = f"define {linkage} {signature} {{"
        self._lines: list[str] = ["entry:"]
        self._block = "entry"
        self._count = 0

    def text(self) -> str:
        return "\n".join([self._head, *self._lines, "}", ""])

    def _fresh(self, stem: str) -> str:
        self._count += 1
        return f"{stem}{self._count}"

    def do(self, statement: str) -> None:
        self._lines.append(f"  {statement}")

    def op(self, expression: str) -> str:
        """Emit an instruction with a result; returns the result's name."""
        name = self._fresh("%v")
        self.do(f"{name} = {expression}")
        return name

    def _begin(self, label: str) -> None:
        self._lines.append(f"{label}:")
        self._block = label

    def at(self, pointer: str, index: str | int, unit: str) -> str:
        """Address of ``pointer[index]`` in elements of type ``unit``."""
        return self.op(f"getelementptr {unit}, ptr {pointer}, i64 {index}")

    def load(self, kind: str, pointer: str, align: int = 1) -> str:
        return self.op(f"load {kind}, ptr {pointer}, align {align}")

    def store(self, kind: str, value: str, pointer: str, align: int = 1) -> None:
        self.do(f"store {kind} {value}, ptr {pointer}, align {align}")

    def return_if(self, condition: str, value: int) -> None:
        then, rest = self._fresh("return"), self._fresh("rest")
        self.do(f"br i1 {condition}, label %{then}, label %{rest}")
        self._begin(then)
        self.do(f"ret i64 {value}")
        self._begin(rest)

    @contextmanager
    def loop(self, count: str | int, carried: Sequence[tuple[str, str]] = ()) -> Iterator[Loop]:
        """``for index in range(count)`` (i64); ``carried`` are (type, initial value) pairs kept in registers."""
        before = self._block
        head, body, latch, done = (self._fresh(stem) for stem in ("head", "body", "latch", "done"))
        names = [self._fresh("%c") for _ in carried]
        loop = Loop(self._fresh("%i"), names)
        self.do(f"br label %{head}")
        self._begin(head)
        place = len(self._lines)
        goes_on = self._fresh("%go")
        self.do(f"{goes_on} = icmp slt i64 {loop.index}, {count}")
        self.do(f"br i1 {goes_on}, label %{body}, label %{done}")
        self._begin(body)
        yield loop
        self.do(f"br label %{latch}")
        self._begin(latch)
        stepped = self.op(f"add nuw nsw i64 {loop.index}, 1")
        self.do(f"br label %{head}")
        phis = [f"  {loop.index} = phi i64 [0, %{before}], [{stepped}, %{latch}]"]
        for name, (kind, first), then in zip(names, carried, loop.following, strict=True):
            phis.append(f"  {name} = phi {kind} [{first}, %{before}], [{then}, %{latch}]")
        self._lines[place:place] = phis
        self._begin(done)
