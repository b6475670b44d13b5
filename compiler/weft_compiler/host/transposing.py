"""Matrices of bytes turned over, 16 by 16 where they are large enough."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.ir import SSAValue

from .builder import HostFunction, Index
from .templates.transpose import SIZE, transpose


@dataclass(frozen=True)
class Matrix:
    """Bytes in a buffer of one dimension: its first one, and from one row to the next."""

    buffer: SSAValue
    first: Index
    pitch: int


def turn(f: HostFunction, to: Matrix, source: Matrix, shape: tuple[int, int], flip: int = 0) -> None:
    """``to[j, i] = source[i, j] ^ flip`` for a source of a shape; nothing else is written.

    The last block of a row or column goes over a part of the one before it again.
    """
    rows, columns = shape
    if min(shape) < SIZE:
        _one_by_one(f, to, source, shape, flip)
        return
    for row_blocks, row in _blocks(rows):
        for column_blocks, column in _blocks(columns):

            def block(at: list[SSAValue], row: int = row, column: int = column) -> None:
                i, j = f.add(f.mul(at[0], SIZE), row), f.add(f.mul(at[1], SIZE), column)
                place = f.add(f.add(f.mul(j, to.pitch), i), to.first)
                origin = f.add(f.add(f.mul(i, source.pitch), j), source.first)
                f.call(transpose(), (to.buffer, place), (source.buffer, origin), to.pitch, source.pitch, flip)

            f.nest((row_blocks, column_blocks), block)


def _blocks(size: int) -> list[tuple[int, int]]:
    """How many blocks, and where the first of them begins: whole ones, and one that ends where the size does."""
    whole, rest = divmod(size, SIZE)
    return [(whole, 0), (1, size - SIZE)] if rest else [(whole, 0)]


def _one_by_one(f: HostFunction, to: Matrix, source: Matrix, shape: tuple[int, int], flip: int) -> None:
    def element(at: list[SSAValue]) -> None:
        i, j = at
        value = f.load(source.buffer, [f.add(f.add(f.mul(i, source.pitch), j), source.first)])
        if flip:
            value = f.xor(value, f.int8(flip - 256 * (flip > 127)))
        f.store(value, to.buffer, [f.add(f.add(f.mul(j, to.pitch), i), to.first)])

    f.nest(shape, element)
