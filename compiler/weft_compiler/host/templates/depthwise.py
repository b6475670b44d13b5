"""Pixels of a depthwise convolution: every channel by its own weights, requantised on the way out."""

from __future__ import annotations

from ..targets import Level
from .requantised_product import Requantiser, offset
from .template import Template
from .writer import Writer

CHANNELS = 16
"""That are computed at once."""

ROWS = 4
"""Pixels that are computed at once, with the same weights."""

PARAMETERS = (
    *(("ptr", name) for name in ("y", "x", "w", "bias", "scale", "rows", "taps")),
    *(("i64", name) for name in ("tap_count", "pitch", "zero", "low", "high")),
)


def depthwise() -> Template:
    """``y[i, c]`` as a requantised product has it, of the sum ``Σ x[rows[i] + taps[t] + c] · w[t, c]``.

    `ROWS` pixels of `CHANNELS`; x is uint8, w int8.
    """
    return Template("weft.depthwise", PARAMETERS, _write)


def _write(f: Writer, level: Level) -> None:
    bytes_, words, ints = (f"<{CHANNELS} x {kind}>" for kind in ("i8", "i16", "i32"))
    requantise = Requantiser(f)
    pixels = [f.at("%x", offset(f, "%rows", str(i))) for i in range(ROWS)]
    with f.loop("%tap_count", [(ints, "zeroinitializer")] * ROWS) as tap:
        away = offset(f, "%taps", tap.index)
        weights = f.load(bytes_, f.at("%w", f.mul(tap.index, CHANNELS)))
        weights = f.op(f"sext {bytes_} {weights} to {words}")
        for pixel, total in zip(pixels, tap.carried, strict=True):
            value = f.op(f"zext {bytes_} {f.load(bytes_, f.at(pixel, away))} to {words}")
            # A product of an unsigned and a signed byte fits 16 bits.
            product = f.op(f"sext {words} {f.op(f'mul {words} {value}, {weights}')} to {ints}")
            tap.following.append(f.op(f"add {ints} {total}, {product}"))
    requantise.columns(CHANNELS, "0")
    for i, total in enumerate(tap.carried):
        requantise.store(total, str(i))
