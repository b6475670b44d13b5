"""A float32 matrix product of one tile, its sums in registers.

The product is reassociable: multiplication and addition are fused where the CPU can.
"""

from __future__ import annotations

from ..targets import Level
from .writer import Writer


def pass_size(level: Level, rows: int, columns: int) -> tuple[int, int]:
    """Rows and vectors of the part of a tile that is computed at once.

    Two thirds of the registers hold sums; the rest is for one row of the right operand and what is broadcast.
    """
    lanes = level.vector_bytes // 4
    vectors = _divisor(columns // lanes, 4 if level.registers > 16 and lanes == 4 else 2)
    return _divisor(rows, level.registers * 3 // 4 // vectors), vectors


def _divisor(number: int, most: int) -> int:
    return max(k for k in range(1, max(1, min(number, most)) + 1) if number % k == 0)


def write(f: Writer, level: Level, rows: int, columns: int, depth: int | str) -> None:
    """``c[i, j] += Σₖ a[i, k] · b[k, j]`` for dense tiles ``%c``, ``%a``, ``%b``."""
    lanes = level.vector_bytes // 4
    if columns % lanes:
        lanes = max(n for n in (1, 2, 4, 8, 16) if columns % n == 0 and n <= lanes)
    kind = f"<{lanes} x float>"
    high, vectors = pass_size(level, rows, columns)
    while columns // lanes % vectors:
        vectors -= 1
    wide = vectors * lanes
    fma = f"llvm.fmuladd.v{lanes}f32" if lanes > 1 else "llvm.fmuladd.v1f32"
    with f.loop(columns // wide) as across:
        first = f.mul(across.index, wide)
        with f.loop(rows // high) as down:
            row = f.mul(down.index, high)
            left = [f.at("%a", f.mul(f.add(row, i), depth), "float") for i in range(high)]
            corner = f.at("%c", f.add(f.mul(row, columns), first), "float")
            places = [f.at(corner, i * columns + v * lanes, "float") for i in range(high) for v in range(vectors)]
            right = f.at("%b", first, "float")
            with f.loop(depth, [(kind, f.load(kind, place, 4)) for place in places]) as k:
                line = f.at(right, f.mul(k.index, columns), "float")
                operands = [f.load(kind, f.at(line, v * lanes, "float"), 4) for v in range(vectors)]
                for i in range(high):
                    value = f.splat("float", lanes, f.load("float", f.at(left[i], k.index, "float"), 4))
                    for v in range(vectors):
                        total = k.carried[i * vectors + v]
                        k.following.append(f.call(kind, fma, (kind, value), (kind, operands[v]), (kind, total)))
            for place, total in zip(places, k.carried, strict=True):
                f.store(kind, total, place, 4)
