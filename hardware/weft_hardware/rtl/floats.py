"""Steps of float32 arithmetic on fixed-point numbers.

The epilogue's operands and results are small integers, so its sums and products are kept as integers times a known
power of two. What float32 adds to them is *where it rounds*: to 24 significant bits, after each operation. Neither a
normalising shift nor an exponent is needed for that, and two roundings in a row are decided at once
(`round_twice`). ``docs/decisions/0008`` tells why each step is exact.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

MANTISSA_BITS = 24
"""Significant bits of a float32, the hidden one included."""

FRACTION_BITS = 26
"""Binary places that `round_twice` looks at; below them it only matters whether anything is left."""

INTEGER_BITS = 10
"""Bits of the integer part, sign included, that `round_twice` takes: results beyond are clamped anyway."""

WINDOW_BITS = INTEGER_BITS + FRACTION_BITS


def mantissa(number: Value) -> Value:
    """The 24 significant bits of a float32; the hidden bit is 1 whatever the exponent field holds."""
    return Cat(number[:23], Const(1, 1))


def rounding_mask(number: Value) -> Value:
    """Which low bits of a signed number float32 cannot hold, as a mask.

    Bit ``k`` is set if a bit at ``k + 24`` or above differs from the sign. For a negative power of two that is one bit
    too few, which is harmless: the bits below are zeros.
    """
    top = number[MANTISSA_BITS:-1] ^ number[-1].replicate(len(number) - 1 - MANTISSA_BITS)
    return Cat(top[k:].any() for k in range(len(top)))


def rounding_sum(number: Value, mask: Value) -> Value:
    """``number`` plus what makes clearing the masked bits a rounding to nearest, ties to even; one bit wider.

    Half a unit less one, plus the unit's own bit: the sum carries into the unit above half, and at half if it is odd.
    """
    lowest_kept = Cat(mask[k] & (~mask[k + 1] if k + 1 < len(mask) else 1) & number[k + 1] for k in range(len(mask)))
    return plus(number.as_signed(), mask[1:], lowest_kept.any())


def plus(a: Value, b: Value, carry: Value) -> Value:
    """``a + b + carry``, one bit wider than the wider operand: one adder, whose carry comes in below the lowest bit."""
    width = max(len(a), len(b)) + 1
    return (Cat(Const(1, 1), _extended(a, width)) + Cat(carry, _extended(b, width)))[1 : width + 1]


def _extended(value: Value, width: int) -> Value:
    top = value[-1] if value.shape().signed else Const(0, 1)
    return Cat(value, top.replicate(width - len(value)))


def narrowed(
    number: Value, negative: Value, digit: Value, step: int, choices: int, kept: int
) -> tuple[Value, Value, Value]:
    """The low ``kept`` bits of ``number >> digit · step``, one stage of a shifter.

    Parameters
    ----------
    number : Value
        Two's complement; above its top it goes on with ``negative``.
    digit : Value
        Less than ``choices``.

    Returns
    -------
    window, overflow, sticky : Value
        The bits; whether one dropped above differs from ``negative``; whether one dropped below is set.
    """
    extended = Cat(number, negative.replicate(max(0, kept + (choices - 1) * step - len(number))))
    window = _picked([extended[choice * step : choice * step + kept] for choice in range(choices)], digit)
    above = extended[kept:] ^ negative.replicate(len(extended) - kept)
    overflow, sticky = Const(0, 1), Const(0, 1)
    for choice in range(choices):
        end = len(above) if choice == choices - 1 else (choice + 1) * step
        group = above[choice * step : end]
        overflow |= (group.any() if len(group) else Const(0, 1)) & (digit <= choice)
        sticky |= number[choice * step : (choice + 1) * step].any() & (digit > choice)
    return window, overflow, sticky


def _picked(options: list[Value], digit: Value) -> Value:
    """``options[digit]``, as a tree of two-way choices."""
    if len(options) == 1:
        return options[0]
    return Mux(digit[0], _picked(options[1::2], digit[1:]), _picked(options[::2], digit[1:]))


def round_twice(m: Module, window: Value, sticky: Value, name: str) -> tuple[Value, Value]:
    """Round to 24 significant bits, then to an integer, each to nearest with ties to even.

    Parameters
    ----------
    window : Value
        `WINDOW_BITS` bits, two's complement, `FRACTION_BITS` of them behind the point.
    sticky : Value
        Whether the exact number has a bit below.

    Returns
    -------
    floor, increment : Value
        The result is their sum.
    """
    floor, negative = window[FRACTION_BITS:], window[-1]
    half = window[FRACTION_BITS - 1]

    def place(i: int) -> Value:
        """The bit of weight 2⁻ⁱ."""
        return window[FRACTION_BITS - i]

    # The tie in reach is t = floor + ½. Float32 rounds to t what is at most 2⁻ᵈ away, half a unit of its last place; no
    # other number changes sides. d is 24 less the exponent of |t|; below |t| = ½ the unit is half as large.
    magnitude = floor[:-1] ^ negative.replicate(INTEGER_BITS - 1)
    beyond = Signal(FRACTION_BITS + 1, name=f"{name}_beyond")  # bit i: d > i
    near = Signal(name=f"{name}_near")
    first = FRACTION_BITS - INTEGER_BITS
    m.d.comb += beyond[first - 1].eq(1)
    for i in range(first, FRACTION_BITS - 1):
        m.d.comb += beyond[i].eq(~magnitude[MANTISSA_BITS - i :].any())
    m.d.comb += beyond[FRACTION_BITS - 1].eq(~magnitude.any() & (half == negative))
    # Away from t: the bits below ½ differ from what they are at t (zeros above it, ones just below) …
    differs = [place(i) ^ ~half for i in range(FRACTION_BITS + 1)]
    always = Cat(differs[2:first]).any()
    sometimes = Cat(differs[i] & beyond[i] for i in range(first, FRACTION_BITS)).any()
    # … or reach 2⁻ᵈ, which from above is near if nothing follows.
    at = Cat(differs[i] & beyond[i - 1] & ~beyond[i] for i in range(first, FRACTION_BITS + 1)).any()
    below = Cat(place(i) & ~beyond[i - 1] for i in range(first + 1, FRACTION_BITS + 1)).any() | sticky
    m.d.comb += near.eq(~always & ~sometimes & ~(at & (~half | below)))
    return floor, Mux(near, floor[0], half)


def clamped(value: Value, low: Value, high: Value, beyond: Value, negative: Value) -> Value:
    """``min(max(value, low), high)`` for ``low <= high``; a value ``beyond`` its bits is known by its sign alone."""
    too_high = Mux(beyond, ~negative, value > high)
    too_low = Mux(beyond, negative, value < low)
    return Mux(too_high, high, Mux(too_low, low, value))
