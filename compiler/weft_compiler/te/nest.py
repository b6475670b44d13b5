"""Loop nests: what a schedule becomes, before anything is made of them for a host or an accelerator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from .expr import Axis, Const, Expr

if TYPE_CHECKING:
    from .intrinsic import Intrinsic

SCOPES = ("global", "inp", "wgt", "acc", "out", "param", "table", "local")
"""Where a buffer lies: DRAM or host memory, the scratchpads, or registers and cache of a host."""

KINDS = ("serial", "parallel", "vectorize", "unroll", "vthread", "pipeline")
"""How the iterations of a loop run. The result is that of running them one after another."""


@dataclass(frozen=True, eq=False)
class Buffer:
    """Memory of a static shape.

    Parameters
    ----------
    slots : int
        Copies that successive runs of the loop around its `Allocate` use in turn; each run writes before it reads.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scope: str = "global"
    slots: int = 1


@dataclass(frozen=True)
class Region:
    """One tile of a buffer: ``offsets`` are its leading indices, the remaining dimensions are the tile's own."""

    buffer: Buffer
    offsets: tuple[Expr, ...]


@dataclass(frozen=True)
class Block:
    """Statements one after another."""

    statements: tuple[Statement, ...]


@dataclass(frozen=True)
class Allocate:
    """A buffer that lives as long as the body."""

    buffer: Buffer
    body: Statement


@dataclass(frozen=True)
class For:
    """``for axis in range(axis.extent)``."""

    axis: Axis
    kind: str
    body: Statement


@dataclass(frozen=True)
class Guard:
    """The body, where the condition holds."""

    condition: Expr
    body: Statement


@dataclass(frozen=True)
class Assign:
    """``buffer[indices] = value``; reads in the value name buffers.

    Parameters
    ----------
    reassociable : bool
        It is one step of a reduction whose order may change: a float product may be fused with the sum, too.
    """

    buffer: Buffer
    indices: tuple[Expr, ...]
    value: Expr
    reassociable: bool = False


@dataclass(frozen=True)
class Invoke:
    """One run of a hardware intrinsic on tiles.

    Parameters
    ----------
    output, inputs : Region
        The tiles, in the order of the intrinsic's operands.
    predicate, otherwise : Expr, Const, optional
        Where the predicate is false the output is filled with ``otherwise``, and the inputs need not exist: padding.
    fill : bool
        Write the intrinsic's initial value; the inputs are none.
    """

    intrinsic: Intrinsic
    output: Region
    inputs: tuple[Region, ...]
    predicate: Expr | None = None
    otherwise: Const | None = None
    fill: bool = False


Statement: TypeAlias = Block | Allocate | For | Guard | Assign | Invoke


@dataclass(frozen=True)
class Nest:
    """A function of buffers: first those it reads, then those it writes.

    Parameters
    ----------
    inputs, outputs : tuple of Buffer
        The parameters, all in ``"global"``.
    """

    inputs: tuple[Buffer, ...]
    outputs: tuple[Buffer, ...]
    body: Statement

    @property
    def buffers(self) -> tuple[Buffer, ...]:
        return self.inputs + self.outputs

    def __str__(self) -> str:
        from .nest_text import nest_text

        return nest_text(self)


def bodies(statement: Statement) -> tuple[Statement, ...]:
    """The statements directly inside one."""
    match statement:
        case Block(statements):
            return statements
        case Allocate(_, body) | For(_, _, body) | Guard(_, body):
            return (body,)
        case _:
            return ()


def walk(statement: Statement) -> Iterator[Statement]:
    """A statement and all inside it, in the order of the text."""
    yield statement
    for inner in bodies(statement):
        yield from walk(inner)
