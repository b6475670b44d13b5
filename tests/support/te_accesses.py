"""What a loop nest touches, point by point: inside its buffers, written before it is read, no race between iterations.

Values are not computed: subscripts, guards and conditions are made of loop variables alone in what is checked here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from weft_compiler.te.expr import Axis, Binary, Compare, Const, Expr, Read, Select
from weft_compiler.te.nest import Allocate, Assign, Block, Buffer, For, Guard, Nest, Statement
from weft_compiler.te.rewrite import children, walk

Env = dict[Axis, int]
Cell = tuple[Buffer, tuple[int, ...]]

UNORDERED = ("parallel", "vectorize", "vthread")


class AccessError(AssertionError):
    """What is wrong with a nest."""


@dataclass
class _Running:
    """A loop whose iterations may run in any order: who wrote and who read which cell of memory that they share."""

    loop: For
    now: int = 0
    wrote: dict[Cell, int] = field(default_factory=dict)
    read: dict[Cell, set[int]] = field(default_factory=dict)
    own: set[Buffer] = field(default_factory=set)


class Accesses:
    """Runs a nest of no intrinsics; `AccessError` if an access is wrong."""

    def __init__(self, nest: Nest):
        self._written: dict[Buffer, set[tuple[int, ...]] | None] = dict.fromkeys(nest.inputs)
        for buffer in nest.outputs:
            self._written[buffer] = set()
        self._running: list[_Running] = []
        self._compiled: dict[int, Callable[[Env], int]] = {}
        self._kept: list[Expr] = []
        self._statement(nest.body, {})
        for buffer in nest.outputs:
            size = 1
            for extent in buffer.shape:
                size *= extent
            if len(self._written[buffer] or ()) != size:
                raise AccessError(f"{len(self._written[buffer] or ())} of {size} elements of {buffer.name} are written")

    def _statement(self, statement: Statement, env: Env) -> None:
        match statement:
            case Block(statements):
                for inner in statements:
                    self._statement(inner, env)
            case Allocate(buffer, body):
                self._written[buffer] = set()
                for running in self._running:
                    running.own.add(buffer)
                self._statement(body, env)
                del self._written[buffer]
            case For(axis, kind, body):
                running = _Running(statement)
                if kind in UNORDERED:
                    self._running.append(running)
                for k in range(axis.extent):
                    running.now = k
                    self._statement(body, {**env, axis: k})
                if kind in UNORDERED:
                    self._running.pop()
            case Guard(condition, body):
                if self._index(condition, env):
                    self._statement(body, env)
            case Assign(buffer, indices, value):
                self._reads(value, env)
                self._write((buffer, tuple(self._index(i, env) for i in indices)))
            case _:
                raise AssertionError(type(statement))

    def _inside(self, cell: Cell) -> None:
        buffer, at = cell
        if buffer not in self._written:
            raise AccessError(f"{buffer.name} is used outside its allocation")
        if not all(0 <= k < size for k, size in zip(at, buffer.shape, strict=True)):
            raise AccessError(f"{buffer.name}{list(at)} is outside {list(buffer.shape)}")

    def _write(self, cell: Cell) -> None:
        self._inside(cell)
        written = self._written[cell[0]]
        if written is None:
            raise AccessError(f"input {cell[0].name} is written")
        written.add(cell[1])
        for running in self._running:
            if cell[0] not in running.own:
                others = running.read.get(cell, set()) | {running.wrote.get(cell, running.now)}
                if others - {running.now}:
                    raise AccessError(f"iterations of {running.loop.axis.name} share {cell[0].name}{list(cell[1])}")
                running.wrote[cell] = running.now

    def _read(self, cell: Cell) -> None:
        self._inside(cell)
        written = self._written[cell[0]]
        if written is not None and cell[1] not in written:
            raise AccessError(f"{cell[0].name}{list(cell[1])} is read before it is written")
        for running in self._running:
            if cell[0] not in running.own and written is not None:
                if running.wrote.get(cell, running.now) != running.now:
                    raise AccessError(f"iterations of {running.loop.axis.name} share {cell[0].name}{list(cell[1])}")
                running.read.setdefault(cell, set()).add(running.now)

    def _reads(self, value: Expr, env: Env) -> None:
        """Every read that somebody uses."""
        if isinstance(value, Select) and not any(isinstance(part, Read) for part in walk(value.condition)):
            self._reads(value.a if self._index(value.condition, env) else value.b, env)
            return
        for child in children(value):
            self._reads(child, env)
        if isinstance(value, Read):
            assert isinstance(value.tensor, Buffer)
            self._read((value.tensor, tuple(self._index(i, env) for i in value.indices)))

    def _index(self, expr: Expr, env: Env) -> int:
        if id(expr) not in self._compiled:
            self._kept.append(expr)
            self._compiled[id(expr)] = _compile(expr)
        return self._compiled[id(expr)](env)


def _compile(expr: Expr) -> Callable[[Env], int]:
    """An index expression as a Python function."""
    names: dict[Axis, str] = {}

    def text(part: Expr) -> str:
        match part:
            case Const(number, _):
                return f"({number})"
            case Axis():
                return f"env[{names.setdefault(part, f'a{len(names)}')}]"
            case Binary("min" | "max", a, b):
                return f"{part.op}({text(a)}, {text(b)})"
            case Binary(op, a, b):
                signs = {"add": "+", "sub": "-", "mul": "*", "floordiv": "//", "mod": "%", "and": "and", "or": "or"}
                return f"({text(a)} {signs[op]} {text(b)})"
            case Compare(op, a, b):
                signs = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
                return f"({text(a)} {signs[op]} {text(b)})"
            case Select(condition, a, b):
                return f"({text(a)} if {text(condition)} else {text(b)})"
        raise AssertionError(f"no index: {part}")

    source = text(expr)
    return eval(f"lambda env: {source}", {name: axis for axis, name in names.items()})
