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


def _offset(f: Writer, table: str, index: str) -> str:
    return f.op(f"sext i32 {f.load('i32', f.at(table, index, 'i32'), 4)} to i64")


def _write(f: Writer, level: Level, rows: int, columns: int) -> None:
    lanes = int8_product.columns_of(level, f)
    bounds = [f.op(f"sitofp i64 %{name} to float") for name in ("low", "high")]
    zero = f.op("trunc i64 %zero to i32")

    def row(top: str, i: int) -> str:
        return f.at("%x", _offset(f, "%rows", f.add(top, i)))

    def store(top: str, first: str, sums: list[list[str]]) -> None:
        wide = lanes * len(sums[0])
        ints, floats = f"<{wide} x i32>", f"<{wide} x float>"
        bias, scale = (f.load(kind, f.at(p, first, "i32"), 4) for kind, p in ((ints, "%bias"), (floats, "%scale")))
        low, high = (f.splat("float", wide, bound) for bound in bounds)
        magic = f.splat("float", wide, str(_ROUND))
        offset = f.splat("i32", wide, f.op(f"sub i32 {zero}, {_ROUND_BITS}"))
        for i, parts in enumerate(sums):
            total = f.op(f"add {ints} {f.join('i32', lanes, parts)}, {bias}")
            value = f.op(f"fmul {floats} {f.op(f'sitofp {ints} {total} to {floats}')}, {scale}")
            # What is no number becomes the lower bound.
            value = _chosen(f, wide, "ogt", value, low)
            value = f.op(f"fadd {floats} {_chosen(f, wide, 'olt', value, high)}, {magic}")
            moved = f.op(f"add {ints} {f.op(f'bitcast {floats} {value} to {ints}')}, {offset}")
            place = f.at("%y", f.add(f.mul(f.add(top, i), "%pitch"), first))
            f.store(f"<{wide} x i8>", f.op(f"trunc {ints} {moved} to <{wide} x i8>"), place)

    int8_product.write(
        f,
        level,
        rows=rows,
        columns=columns,
        groups="%groups",
        signed=False,
        row=row,
        store=store,
        taps=("%tap_count", lambda tap: _offset(f, "%taps", tap)),
    )


def _chosen(f: Writer, lanes: int, comparison: str, a: str, b: str) -> str:
    kind = f"<{lanes} x float>"
    condition = f.op(f"fcmp {comparison} {kind} {a}, {b}")
    return f.op(f"select <{lanes} x i1> {condition}, {kind} {a}, {kind} {b}")
