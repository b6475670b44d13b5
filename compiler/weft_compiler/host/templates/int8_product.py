"""An int8 matrix product of one tile, its sums in registers: rows of bytes by a right operand in groups of four."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..targets import Level
from .int8_units import GROUP, Unit, unit
from .writer import Writer

Store = Callable[[str, str, list[list[str]]], None]
"""Takes the first row and column of a part of the tile, and its sums: rows of ``<columns x i32>`` of the unit."""


def _divisor(number: int, most: int) -> int:
    return max(k for k in range(1, max(1, min(number, most)) + 1) if number % k == 0)


def pass_size(level: Level, used: Unit, rows: int, columns: int) -> tuple[int, int]:
    """Rows and vectors of the part of a tile that is computed at once: three quarters of the registers hold sums."""
    vectors = _divisor(columns // used.columns, 4 if level.registers > 16 and used.columns == 4 else 2)
    return _divisor(rows, level.registers * 3 // 4 // vectors), vectors


def write(
    f: Writer,
    level: Level,
    *,
    rows: int,
    columns: int,
    groups: int | str,
    signed: bool,
    row: Callable[[str, int], str],
    store: Store,
    pitch: int = 1,
    taps: tuple[str, Callable[[str], str]] | None = None,
) -> None:
    """Sums of ``a[i, k] · b[k, j]``, handed to ``store`` part by part.

    ``%b`` holds ``[taps][groups][columns][4]`` bytes.

    Parameters
    ----------
    groups : int or str
        Elements of a row by four, for each tap.
    row : callable
        The address of a row: of the first row of a part (a value), and the row in it.
    pitch : int
        From one group of a row to the next, counted in groups.
    taps : (str, callable), optional
        How many places each row is read at, and the bytes from the row's address to one of them.
    """
    used = unit(level, f, signed)
    high, vectors = pass_size(level, used, rows, columns)
    wide = vectors * used.columns
    zeros = [(used.sums, "zeroinitializer")] * (high * vectors + (vectors if used.corrects else 0))
    line = columns * GROUP
    with f.loop(columns // wide) as across:
        first = f.mul(across.index, wide)
        right = f.at("%b", f.mul(first, GROUP))
        with f.loop(rows // high) as down:
            top = f.mul(down.index, high)
            left = [row(top, i) for i in range(high)]
            if taps is None:
                totals = _groups(f, used, left, pitch, right, groups, zeros, line)
            else:
                count, place = taps
                with f.loop(count, zeros) as tap:
                    away = place(tap.index)
                    here = [f.at(pointer, away) for pointer in left]
                    at = f.at(right, f.mul(f.mul(tap.index, groups), line))
                    carried = [(used.sums, value) for value in tap.carried]
                    tap.following.extend(_groups(f, used, here, pitch, at, groups, carried, line))
                totals = tap.carried
            sums = []
            for i in range(high):
                of_row = totals[i * vectors : (i + 1) * vectors]
                if used.corrects:
                    of_row = [used.correct(t, r) for t, r in zip(of_row, totals[high * vectors :], strict=True)]
                sums.append([used.finished(total) for total in of_row])
            store(top, first, sums)


def _groups(
    f: Writer,
    used: Unit,
    left: Sequence[str],
    pitch: int,
    right: str,
    groups: int | str,
    sums: Sequence[tuple[str, str]],
    line: int,
) -> list[str]:
    """The loop over groups of four elements; gives the sums, then those of the right operand if it needs them."""
    vectors = len(sums) // (len(left) + used.corrects)
    with f.loop(groups, sums) as k:
        at = f.at(right, f.mul(k.index, line))
        operands = [used.right(f.at(at, v * used.columns * GROUP)) for v in range(vectors)]
        place = k.index if pitch == 1 else f.mul(k.index, pitch)
        for i, pointer in enumerate(left):
            value = used.left(f.load("i32", f.at(pointer, place, "i32")))
            for v in range(vectors):
                k.following.append(used.add(k.carried[i * vectors + v], value, operands[v]))
        if used.corrects:
            for v in range(vectors):
                k.following.append(used.sum_right(k.carried[len(left) * vectors + v], operands[v]))
    return k.carried


def write_accumulating(f: Writer, level: Level, rows: int, columns: int, depth: int, signed: bool) -> None:
    """``c[i, j] += Σₖ a[k / 4, i, k % 4] · b[k / 4, j, k % 4]`` for dense tiles ``%c`` (int32), ``%a`` and ``%b``."""
    lanes = columns_of(level, f)

    def row(top: str, i: int) -> str:
        return f.at("%a", f.add(top, i), "i32")

    def store(top: str, first: str, sums: list[list[str]]) -> None:
        for i, parts in enumerate(sums):
            kind, total = f"<{lanes * len(parts)} x i32>", f.join("i32", lanes, parts)
            place = f.at("%c", f.add(f.mul(f.add(top, i), columns), first), "i32")
            f.store(kind, f.op(f"add {kind} {f.load(kind, place, 4)}, {total}"), place, 4)

    groups = depth // GROUP
    write(f, level, rows=rows, columns=columns, groups=groups, signed=signed, row=row, pitch=rows, store=store)


def columns_of(level: Level, f: Writer) -> int:
    """Output elements of one of a level's vectors."""
    return unit(level, f, True).columns
