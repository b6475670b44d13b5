"""Text of one LLVM function: values, counted loops, vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Loop:
    """A counted loop while its body is written; afterwards ``carried`` are the values after the last iteration."""

    index: str
    carried: list[str]
    following: list[str] = field(default_factory=list)
    """What ``carried`` becomes; the body sets it."""


class Writer:
    """One function under construction; methods return the names of values.

    Parameters
    ----------
    name, parameters : str
        The symbol, and its parameters as LLVM writes them.
    """

    def __init__(self, name: str, parameters: str) -> None:
        self._name, self._parameters = name, parameters
        self._lines: list[str] = ["entry:"]
        self._block, self._count = "entry", 0
        self._declared: dict[str, None] = {}

    @property
    def declarations(self) -> tuple[str, ...]:
        return tuple(self._declared)

    def definition(self, attributes: str) -> str:
        head = f'define internal void @"{self._name}"({self._parameters}) {attributes} {{'
        return "\n".join([head, *self._lines, "  ret void", "}", ""])

    def do(self, statement: str) -> None:
        self._lines.append(f"  {statement}")

    def op(self, expression: str) -> str:
        name = self._fresh("%v")
        self.do(f"{name} = {expression}")
        return name

    def call(self, result: str, name: str, *arguments: tuple[str, str]) -> str:
        """Call a function, declared on the way; an argument is (type, value)."""
        self._declared[f"declare {result} @{name}({', '.join(kind for kind, _ in arguments)})"] = None
        return self.op(f"call {result} @{name}({', '.join(f'{kind} {value}' for kind, value in arguments)})")

    def at(self, pointer: str, index: str | int, unit: str = "i8") -> str:
        """Address of ``pointer[index]`` in elements of a type."""
        return self.op(f"getelementptr {unit}, ptr {pointer}, i64 {index}")

    def load(self, kind: str, pointer: str, align: int = 1) -> str:
        return self.op(f"load {kind}, ptr {pointer}, align {align}")

    def store(self, kind: str, value: str, pointer: str, align: int = 1) -> None:
        self.do(f"store {kind} {value}, ptr {pointer}, align {align}")

    def add(self, a: str | int, b: str | int) -> str:
        """Sum of addresses or counts."""
        return self.op(f"add i64 {a}, {b}")

    def mul(self, a: str | int, b: str | int) -> str:
        """Product of addresses or counts."""
        return self.op(f"mul i64 {a}, {b}")

    def splat(self, kind: str, lanes: int, value: str) -> str:
        """A vector of one value."""
        single = self.op(f"insertelement <{lanes} x {kind}> poison, {kind} {value}, i32 0")
        return self.shuffle(f"<{lanes} x {kind}>", single, single, [0] * lanes)

    def shuffle(self, kind: str, a: str, b: str, lanes: Sequence[int]) -> str:
        """Lanes of two vectors of one type, those of the second counted after those of the first."""
        mask = ", ".join(f"i32 {lane}" for lane in lanes)
        return self.op(f"shufflevector {kind} {a}, {kind} {b}, <{len(lanes)} x i32> <{mask}>")

    def join(self, kind: str, lanes: int, parts: Sequence[str]) -> str:
        """Vectors of equally many lanes, one after another."""
        values = list(parts)
        while len(values) > 1:
            pairs = zip(values[::2], values[1::2], strict=True)
            values = [self.shuffle(f"<{lanes} x {kind}>", a, b, range(2 * lanes)) for a, b in pairs]
            lanes *= 2
        return values[0]

    @contextmanager
    def loop(self, count: str | int, carried: Sequence[tuple[str, str]] = ()) -> Iterator[Loop]:
        """``for index in range(count)``; ``carried`` are (type, first value)."""
        before = self._block
        head, body, done = (self._fresh(stem) for stem in ("head", "body", "done"))
        loop = Loop(self._fresh("%i"), [self._fresh("%c") for _ in carried])
        self.do(f"br label %{head}")
        self._begin(head)
        place = len(self._lines)
        more = self.op(f"icmp slt i64 {loop.index}, {count}")
        self.do(f"br i1 {more}, label %{body}, label %{done}")
        self._begin(body)
        yield loop
        following = self.op(f"add nuw nsw i64 {loop.index}, 1")
        latch = self._block
        self.do(f"br label %{head}")
        phis = [f"  {loop.index} = phi i64 [0, %{before}], [{following}, %{latch}]"]
        for name, (kind, first), then in zip(loop.carried, carried, loop.following, strict=True):
            phis.append(f"  {name} = phi {kind} [{first}, %{before}], [{then}, %{latch}]")
        self._lines[place:place] = phis
        self._begin(done)

    def _fresh(self, stem: str) -> str:
        self._count += 1
        return f"{stem}{self._count}"

    def _begin(self, label: str) -> None:
        self._lines.append(f"{label}:")
        self._block = label

    def return_after(self, statement: str, condition: str) -> None:
        """Where a condition holds, run a statement and return."""
        then, rest = self._fresh("then"), self._fresh("rest")
        self.do(f"br i1 {condition}, label %{then}, label %{rest}")
        self._begin(then)
        self.do(statement)
        self.do("ret void")
        self._begin(rest)
