"""One tile of a quantised convolution or matrix product: byte products over all taps, requantised on the way out.

The arithmetic is onnxruntime's: each step of ``rne(float32(wrap32(sum + bias)) · scale) + zero`` rounds once.
"""

from __future__ import annotations

from ..targets import Level
from . import int8_product
from .template import Template
from .writer import Writer

PARAMETERS = (
    *(("ptr", name) for name in ("y", "x", "b", "bias", "scale", "rows", "taps")),
    *(("i64", name) for name in ("tap_count", "groups", "pitch", "zero", "low", "high")),
)
"""See `requantised_product`."""

_ROUND = 12582912.0
"""1.5 · 2²³. Added to a float of at most 22 bits, it leaves the nearest integer, ties to even, in the low bits."""

_ROUND_BITS = 0x4B400000


def requantised_product(rows: int, columns: int) -> Template:
    """``y[i, j] = clamp(rne(float32(bias[j] + sum) · scale[j])) + zero``.

    The sum is ``Σ x[rows[i] + taps[t] + k] · b[t, k / 4, j, k % 4]`` over t and k.
    x is uint8, b int8, y one byte, ``pitch`` bytes from row to row; ``rows`` and ``taps`` are int32 numbers of bytes.
    ``4 · groups`` values of k. ``low`` and ``high`` are the clamp's bounds less the zero point, at most 22 bits.
    """

    def write(f: Writer, level: Level) -> None:
        _write(f, level, rows, columns)

    return Template(f"weft.requantised.{rows}x{columns}", PARAMETERS, write)


def _write(f: Writer, level: Level, rows: int, columns: int) -> None:
    lanes = int8_product.columns_of(level, f)
    requantise = Requantiser(f)

    def row(top: str, i: int) -> str:
        return f.at("%x", offset(f, "%rows", f.add(top, i)))

    def store(top: str, first: str, sums: list[list[str]]) -> None:
        requantise.columns(lanes * len(sums[0]), first)
        for i, parts in enumerate(sums):
            requantise.store(f.join("i32", lanes, parts), f.add(top, i))

    int8_product.write(
        f,
        level,
        rows=rows,
        columns=columns,
        groups="%groups",
        signed=False,
        row=row,
        store=store,
        taps=("%tap_count", lambda tap: offset(f, "%taps", tap)),
    )


def offset(f: Writer, table: str, index: str) -> str:
    """An element of an int32 table, as a number of bytes."""
    return f.op(f"sext i32 {f.load('i32', f.at(table, index, 'i32'), 4)} to i64")


class Requantiser:
    """Writes sums as bytes; the function has the parameters y, bias, scale, pitch, zero, low and high."""

    def __init__(self, f: Writer) -> None:
        self._f = f
        self._bounds = [f.op(f"sitofp i64 %{name} to float") for name in ("low", "high")]
        self._zero = f.op(f"sub i32 {f.op('trunc i64 %zero to i32')}, {_ROUND_BITS}")

    def columns(self, lanes: int, first: str) -> None:
        """What the columns from ``first`` on need."""
        f, self._lanes, self._first = self._f, lanes, first
        self._ints, self._floats = f"<{lanes} x i32>", f"<{lanes} x float>"
        self._bias = f.load(self._ints, f.at("%bias", first, "i32"), 4)
        self._scale = f.load(self._floats, f.at("%scale", first, "i32"), 4)
        self._low, self._high = (f.splat("float", lanes, bound) for bound in self._bounds)
        self._round = f.splat("float", lanes, str(_ROUND))
        self._offset = f.splat("i32", lanes, self._zero)

    def store(self, sums: str, row: str) -> None:
        """Finish the sums of a row, ``<lanes x i32>``."""
        f, ints, floats = self._f, self._ints, self._floats
        total = f.op(f"add {ints} {sums}, {self._bias}")
        value = f.op(f"fmul {floats} {f.op(f'sitofp {ints} {total} to {floats}')}, {self._scale}")
        # What is no number becomes the lower bound.
        value = self._chosen("ogt", value, self._low)
        value = f.op(f"fadd {floats} {self._chosen('olt', value, self._high)}, {self._round}")
        moved = f.op(f"add {ints} {f.op(f'bitcast {floats} {value} to {ints}')}, {self._offset}")
        place = f.at("%y", f.add(f.mul(row, "%pitch"), self._first))
        kind = f"<{self._lanes} x i8>"
        f.store(kind, f.op(f"trunc {ints} {moved} to {kind}"), place)

    def _chosen(self, comparison: str, a: str, b: str) -> str:
        f, floats = self._f, self._floats
        condition = f.op(f"fcmp {comparison} {floats} {a}, {b}")
        return f.op(f"select <{self._lanes} x i1> {condition}, {floats} {a}, {floats} {b}")
