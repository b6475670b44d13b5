"""16 rows of 16 bytes as columns: what lies between the layout of a network and that of a tile."""

from __future__ import annotations

from ..targets import Level
from .template import Template
from .writer import Writer

SIZE = 16
"""Rows and columns."""

_BYTES = f"<{SIZE} x i8>"


def transpose() -> Template:
    """``to[j · to_pitch + i] = from[i · from_pitch + j] ^ flip`` of bytes, for i and j below 16."""
    pointers, counts = ("to", "from"), ("to_pitch", "from_pitch", "flip")
    return Template("weft.transpose", (*(("ptr", x) for x in pointers), *(("i64", x) for x in counts)), _write)


def _write(f: Writer, level: Level) -> None:
    flip = f.splat("i8", SIZE, f.op("trunc i64 %flip to i8"))
    rows = [f.load(_BYTES, f.at("%from", f.mul(i, "%from_pitch"))) for i in range(SIZE)]
    half = SIZE // 2
    # Each round interleaves row i with row i + 8: four of them bring the columns' bits of an index before the rows'.
    for _ in range(4):
        low = [k // 2 + SIZE * (k % 2) for k in range(SIZE)]
        pairs = [(rows[i], rows[i + half]) for i in range(half)]
        rows = [f.shuffle(_BYTES, a, b, [lane + first for lane in low]) for a, b in pairs for first in (0, half)]
    for j, row in enumerate(rows):
        f.store(_BYTES, f.op(f"xor {_BYTES} {row}, {flip}"), f.at("%to", f.mul(j, "%to_pitch")))
