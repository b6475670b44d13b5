"""Steps of float32 arithmetic on fixed-point numbers.

The epilogue's operands and results are small integers, so its sums and products are kept as integers times a known
power of two. What float32 adds to them is *where it rounds*: to 24 significant bits, after each operation. Neither a
normalising shift nor an exponent is needed for that, and two roundings in a row are decided at once
(`TwiceRounded`). ``docs/decisions/0008`` tells why each step is exact.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Mux, Value

from .stages import Stages

MANTISSA_BITS = 24
"""Significant bits of a float32, the hidden one included."""

FRACTION_BITS = 26
"""Binary places that `TwiceRounded` looks at; below them it only matters whether anything is left."""

INTEGER_BITS = 10
"""Bits of the integer part, sign included, that `TwiceRounded` takes: results beyond are clamped anyway."""

WINDOW_BITS = INTEGER_BITS + FRACTION_BITS

_LEAST_D = FRACTION_BITS - INTEGER_BITS
"""Binary places that all numbers near a tie have in common with it."""

_GROUP = 6
"""Bits that one look-up table combines: chains over many bits go by groups."""


def mantissa(number: Value) -> Value:
    """The 24 significant bits of a float32; the hidden bit is 1 whatever the exponent field holds."""
    return Cat(number[:23], Const(1, 1))


def rounding_mask(number: Value) -> Value:
    """Which low bits of a signed number float32 cannot hold, as a mask.

    Bit ``k`` is set if a bit at ``k + 24`` or above differs from the sign. For a negative power of two that is one bit
    too few, which is harmless: the bits below are zeros.
    """
    top = number[MANTISSA_BITS:-1] ^ number[-1].replicate(len(number) - 1 - MANTISSA_BITS)
    groups = [top[k : k + _GROUP].any() for k in range(0, len(top), _GROUP)]
    return Cat(
        top[k : (k // _GROUP + 1) * _GROUP].any() | Cat(groups[k // _GROUP + 1 :]).any() for k in range(len(top))
    )


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

    def chosen(low: int, high: int) -> Value:
        # A chain of comparisons, not a tree: of the same depth once mapped to LUTs, and a seventh smaller.
        bits = extended[low:high]
        for choice in range(1, choices):
            bits = Mux(digit == choice, extended[choice * step + low : choice * step + high], bits)
        return bits

    # The ends apart, for those who look at them too: a model skips what goes nowhere but into an idle register.
    window = Cat(chosen(0, 1), chosen(1, kept - 1), chosen(kept - 1, kept))
    overflow, sticky = [], []
    for choice in range(choices - 1):
        group = number[kept + choice * step : min(kept + (choice + 1) * step, len(number))]
        overflow.append((group ^ negative.replicate(len(group))).any() & (digit <= choice))
        sticky.append(number[choice * step : (choice + 1) * step].any() & (digit > choice))
    # What the largest shift leaves out above, every shift does.
    group = number[kept + (choices - 1) * step :]
    overflow.append((group ^ negative.replicate(len(group))).any())
    return window, Cat(overflow).any(), Cat(sticky).any()


class TwiceRounded:
    """A fixed-point number rounded to 24 significant bits, then to an integer, each to nearest with ties to even.

    Two pipeline stages, both made here.

    Parameters
    ----------
    at : Stages
    stage : int
        The first of the two.
    window : Value
        `WINDOW_BITS` bits, two's complement, `FRACTION_BITS` of them behind the point.
    sticky : Value
        Whether the exact number has a bit below.
    name : str
        For the registers.

    Attributes
    ----------
    floor, increment : Value
        The result is their sum; `INTEGER_BITS` bits and one.
    """

    def __init__(self, at: Stages, stage: int, window: Value, sticky: Value, name: str) -> None:
        # The tie in reach is t = floor + ½. Float32 rounds to t what is at most 2⁻ᵈ away, half a unit of its last
        # place; no other number changes sides. d is 24 less the exponent of |t|; below ½ the unit is half as large.
        floor, negative, half = window[FRACTION_BITS:], window[-1], window[FRACTION_BITS - 1]
        places = range(_LEAST_D, FRACTION_BITS + 1)
        magnitude = floor[:-1] ^ negative.replicate(INTEGER_BITS - 1)
        farther = [~magnitude[MANTISSA_BITS - i :].any() for i in range(_LEAST_D, MANTISSA_BITS + 1)]
        farther.append(~magnitude.any() & (half == negative))
        # 1 where a place of weight 2⁻ⁱ is not what it is at t: zeros above t, ones just below.
        differs = Cat(window[FRACTION_BITS - i] ^ ~half for i in range(FRACTION_BITS + 1))

        far = at(stage, differs[2:_LEAST_D].any(), f"{name}_far")
        low = at(stage, differs[_LEAST_D:], f"{name}_low")
        sticky = at(stage, sticky, f"{name}_sticky")
        farther = at(stage, Cat(farther), f"{name}_farther")
        half = at(stage, half, f"{name}_half")
        floor = at(stage, floor, f"{name}_floor_{stage}")

        # d > i, for each place from one before the first to the last.
        beyond = dict(zip((_LEAST_D - 1, *places), (Const(1, 1), *farther, Const(0, 1)), strict=True))
        above = Cat(low[k] & beyond[i] for k, i in enumerate(places)).any()
        # The place of weight 2⁻ᵈ may differ: exactly half a unit above t is near, if nothing follows.
        at_d = Cat(low[k] & beyond[i - 1] & ~beyond[i] for k, i in enumerate(places)).any()
        below = Cat((low[k] ^ ~half) & ~beyond[i - 1] for k, i in enumerate(places)).any() | sticky
        near = ~far & ~above & ~(at_d & (~half | below))
        self.floor = at(stage + 1, floor, f"{name}_floor_{stage + 1}")
        self.increment = at(stage + 1, Mux(near, floor[0], half), f"{name}_increment")


def clamped(value: Value, low: Value, high: Value, beyond: Value, negative: Value) -> Value:
    """``min(max(value, low), high)`` for ``low <= high``; a value ``beyond`` its bits is known by its sign alone."""
    too_high = Mux(beyond, ~negative, value > high)
    too_low = Mux(beyond, negative, value < low)
    return Mux(too_high, high, Mux(too_low, low, value))
