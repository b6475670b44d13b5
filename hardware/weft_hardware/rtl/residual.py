"""The residual addition of the requantising store: two fused multiply-adds in float32, rounded to an integer."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..latencies import RESIDUAL_LATENCY
from .floats import (
    FRACTION_BITS,
    WINDOW_BITS,
    TwiceRounded,
    clamped,
    mantissa,
    narrowed,
    plus,
    rounding_mask,
    rounding_sum,
)
from .stages import Stages

EXPONENT_BIAS = 150
"""A float32 is its mantissa, a 24-bit integer, times 2 to its exponent field less this."""

GUARD_BITS = 3
"""Places of the inner sum below the last place of its product."""

FAR = 34
"""With the addend's last place so far above the product's, the inner sum rounds to the addend."""

INNER_BITS = 24 + (FAR - 1) + GUARD_BITS + 2
"""Of the inner sum: the farthest addend, its guard bits, a carry and the sign."""

LOWEST = -34
"""Exponent of the outer sum's last place, into which everything below is jammed."""

HIGHEST = 43
"""Exponent of its sign; a larger addend decides the result by its own sign."""

OUTER_BITS = HIGHEST - LOWEST + 1

PRODUCT_BITS = 34
MAX_FACTOR_EXPONENT = 10
"""Exponent above which the outer product is taken as if it had this one, together with its addend."""

_INNER_LEFT = OUTER_BITS - 1
_PRODUCT_LEFT = MAX_FACTOR_EXPONENT - LOWEST
_COARSE = 16

AMOUNT = unsigned(8)

CONSTANTS = data.StructLayout(
    {
        "outer": signed(25),
        "inner": signed(25),
        "addend": signed(25),
        "aligned": signed(INNER_BITS),
        "addend_only": 1,
        "outer_shift": AMOUNT,
        "shifts": data.ArrayLayout(AMOUNT, 4),
    }
)
"""What the lanes need of the three float32 operands, see `ResidualConstants`."""


def _clamped_difference(high: int, value: Value, bits: int, limit: int) -> Value:
    """``high - value``, at least 0 and at most ``limit``."""
    difference = (Const(high, signed(bits)) - value).as_signed()
    return Mux(difference < 0, 0, Mux(difference > limit, limit, difference))[:8]


class ResidualConstants(wiring.Component):
    """Prepares the static operands of all lanes: signs, alignments and shift amounts, in two register stages.

    Attributes
    ----------
    enables : In(2)
        As those of the lanes: the constants are those of the value that comes with bit 0.
    outer, inner, addend : In(32)
        float32 operands of ``fma(a, outer, fma(b, inner, addend))``.
    constants : Out
        2 cycles after that.
    """

    def __init__(self) -> None:
        operands = {name: In(32) for name in ("outer", "inner", "addend")}
        super().__init__({"enables": In(2), **operands, "constants": Out(CONSTANTS)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        at = Stages(m, self.enables)
        fields = {name: getattr(self, name)[23:31] for name in ("outer", "inner", "addend")}
        out = self.constants
        factors = {}
        for name, field in fields.items():
            number = getattr(self, name)
            magnitude = Mux(field == 0, 0, mantissa(number))
            factors[name] = at(0, Mux(number[31], -magnitude, magnitude), f"factor_{name}")
            m.d.comb += out[name].eq(at(1, factors[name], name))

        # The addend in the inner sum's places. Right by 0 for an addend FAR - 1 places up, by more for lower ones.
        distance = Signal(signed(10))
        m.d.comb += distance.eq(fields["addend"] - fields["inner"])
        right = at(0, _clamped_difference(FAR - 1, distance, 11, 63), "right")[:6]
        m.d.comb += out.addend_only.eq(at(1, distance >= FAR, "addend_only"))
        number = Cat(Const(0, FAR - 1 + GUARD_BITS), factors["addend"])
        negative = factors["addend"][-1]
        coarse, _, lost = narrowed(number, negative, right[4:], step=16, choices=4, kept=INNER_BITS + 15)
        fine, _, lost_lower = narrowed(at.wire(coarse), negative, right[:4], step=1, choices=16, kept=INNER_BITS)
        m.d.comb += out.aligned.eq(at(1, Cat(fine[0] | lost | lost_lower, fine[1:]), "aligned"))

        # Shift amounts into the outer sum; of the inner sum or the addend alone, with a = 0 or without.
        excess = Signal(7)
        scaled_down = fields["outer"] - (EXPONENT_BIAS + MAX_FACTOR_EXPONENT)
        m.d.comb += excess.eq(Mux(scaled_down > 0, scaled_down, 0))
        shift = _clamped_difference(EXPONENT_BIAS + MAX_FACTOR_EXPONENT, fields["outer"], 10, 5 * _COARSE - 1)
        m.d.comb += out.outer_shift.eq(at(1, shift, "outer_shift"))
        for alone in (0, 1):
            field = fields["addend"] if alone else fields["inner"]
            at_left = EXPONENT_BIAS + LOWEST + _INNER_LEFT + (0 if alone else GUARD_BITS)
            for is_zero in (0, 1):
                exponent = Signal(signed(10), name=f"exponent_{alone}{is_zero}")
                m.d.comb += exponent.eq(field if is_zero else field - excess)
                shift = _clamped_difference(at_left, exponent, 11, 9 * _COARSE - 1)
                m.d.comb += out.shifts[2 * alone + is_zero].eq(at(1, shift, f"shift_{alone}{is_zero}"))
        return m


class ResidualLane(wiring.Component):
    """``min(max(rne(fma(a, outer, fma(b, inner, addend))), sum_lo), sum_hi)``, rounding where float32 rounds.

    A free-running pipeline of `RESIDUAL_LATENCY` stages like `requantise.RequantiseLane`.

    Attributes
    ----------
    enables : In(RESIDUAL_LATENCY)
        Bit 0 comes with the operands.
    a, b : In(signed(9))
    constants : In(CONSTANTS)
    sum_lo : In(signed(9))
        At most ``sum_hi``.
    sum_hi : In(signed(9))
    result : Out(signed(9))
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "enables": In(RESIDUAL_LATENCY),
                "a": In(signed(9)),
                "b": In(signed(9)),
                "constants": In(CONSTANTS),
                "sum_lo": In(signed(9)),
                "sum_hi": In(signed(9)),
                "result": Out(signed(9)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        at = Stages(m, self.enables)
        constants = self.constants

        # 0, 1, 2: operands; the inner product; the inner sum.
        a, b = at(0, self.a, "a_0"), at(0, self.b, "b_0")
        product = at(1, b * constants.inner, "inner_product")
        alone = at(1, (b == 0) | constants.addend_only, "alone_1")
        upper = plus(product, constants.aligned[GUARD_BITS:].as_signed(), Const(0, 1))[: INNER_BITS - GUARD_BITS]
        inner = at(2, Cat(constants.aligned[:GUARD_BITS], upper), "inner_sum")

        # 3, 4, 5: rounded to float32 in its place, or the addend alone.
        mask = at(3, rounding_mask(inner), "mask_3")
        sum_ = at(4, rounding_sum(at(3, inner, "inner_3"), mask)[:INNER_BITS], "rounding_sum")
        mask = at(4, mask, "mask_4")
        alone = at.delayed(2, 4, alone, "alone")
        rounded = Cat(sum_[: len(mask)] & ~mask, sum_[len(mask) :])
        addend = Cat(constants.addend, constants.addend[-1].replicate(INNER_BITS - 25))
        addend = at(5, Mux(alone, addend, rounded), "addend_5")
        is_zero = at.delayed(2, 4, at(1, a == 0, "zero_1"), "zero")
        a = at.delayed(1, 4, a, "a")
        outer = at(5, a * constants.outer, "outer_product")
        amount = at(5, constants.shifts[Cat(is_zero, alone)], "amount_5")

        # 6, 7: both in the outer sum's places.
        negative = addend[-1]
        small = at(6, _finely_shifted(at, addend, amount), "addend_6")
        small_product = at(6, _finely_shifted(at, outer, constants.outer_shift), "product_6")
        coarse = at(6, amount[4:], "amount_6")
        negative = at(6, negative, "negative_6")
        addend, overflow = _placed(small, _INNER_LEFT - (_COARSE - 1), coarse, choices=9)
        product, _ = _placed(small_product, _PRODUCT_LEFT - (_COARSE - 1), constants.outer_shift[4:7], choices=5)
        overflow = at(7, overflow, "overflow_7")
        addend, product = at(7, addend, "addend_7"), at(7, product, "product_7")
        negative = at(7, negative, "negative_7")

        # 8, 9: the outer sum, and what of it matters.
        total = at(8, plus(product.as_signed(), addend.as_signed(), Const(0, 1)), "outer_sum")
        overflow, negative = at(8, overflow, "overflow_8"), at(8, negative, "negative_8")
        low = -LOWEST - FRACTION_BITS
        top = total[low + WINDOW_BITS - 1 :]
        window = at(9, total[low : low + WINDOW_BITS], "window")
        sticky = at(9, total[:low].any(), "sticky")
        beyond = at(9, overflow | (top.any() & ~top.all()), "beyond_9")
        negative = at(9, Mux(overflow, negative, total[-1]), "negative_9")

        # 10, 11: rounded to float32 and to an integer.
        rounded = TwiceRounded(at, 10, window, sticky, "sum")
        beyond, negative = at.delayed(10, 12, beyond, "beyond"), at.delayed(10, 12, negative, "negative")

        # 12, 13: the increment; the bounds.
        value = at(12, plus(rounded.floor.as_signed(), Const(0, 1), rounded.increment).as_signed(), "value")
        m.d.comb += self.result.eq(at(13, clamped(value, self.sum_lo, self.sum_hi, beyond, negative), "clamped"))
        return m


def _finely_shifted(at: Stages, number: Value, amount: Value) -> Value:
    """``number`` left by 15 less the amount's low four bits."""
    wide = Cat(Const(0, _COARSE - 1), number)
    for digit, step in ((amount[2:4], 4), (amount[:2], 1)):
        shifted, _, _ = narrowed(wide, number[-1], digit, step=step, choices=4, kept=len(wide))
        wide = at.wire(shifted)
    return wide


def _placed(number: Value, left: int, coarse: Value, choices: int) -> tuple[Value, Value]:
    """``number`` left by ``left`` and right by ``16 · coarse``; what falls off is jammed into the last place.

    Returns
    -------
    placed, overflow : Value
        `OUTER_BITS` bits; whether the number needs more.
    """
    negative = number[-1]
    wide = Cat(Const(0, left), number)
    placed, overflow, sticky = narrowed(wide, negative, coarse, step=_COARSE, choices=choices, kept=OUTER_BITS)
    return Cat(placed[0] | sticky, placed[1:]), overflow | (placed[-1] ^ negative)
