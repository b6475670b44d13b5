"""One lane of the requantising store: accumulator to 8 or 9 bits, in onnxruntime's float32 arithmetic."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..latencies import REQUANTISE_LATENCY
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

MAX_SHIFT = 42
_NO_SHIFT_EXPONENT = 136
_LOW_BITS = 17
"""Bits of the multiplicand that the first of two DSP blocks takes; the other one takes the signed rest."""


def shift_of(scale: Value) -> Value:
    """How far the product moves right to have its point at `FRACTION_BITS`, 0..`MAX_SHIFT`.

    Exponent fields above 136 shift like 136: a scale of 512 or more takes every number but 0 beyond the clamp bounds.
    Fields below 94 shift like 94: the product is less than ½ and rounds to 0.
    """
    exponent = scale[23:31]
    shift = (_NO_SHIFT_EXPONENT - exponent)[:6]
    nothing_left = exponent < _NO_SHIFT_EXPONENT - MAX_SHIFT
    return Mux(exponent > _NO_SHIFT_EXPONENT, Const(0, 6), Mux(nothing_left, Const(MAX_SHIFT, 6), shift))


class RequantiseLane(wiring.Component):
    """``min(max(rne(float32(wrap32(acc + bias)) ×₍f32₎ scale) + zero_point, clamp_lo), clamp_hi)``.

    A free-running pipeline of `REQUANTISE_LATENCY` stages, one value a cycle. Stage ``k`` moves on when ``enables[k]``
    is high: whoever feeds it shifts a valid bit along, so that nothing toggles without values.

    Attributes
    ----------
    enables : In(REQUANTISE_LATENCY)
        Bit 0 comes with the operands.
    acc, bias : In(signed(32))
    scale : In(32)
        float32, read as an ordinary number whatever its exponent field.
    zero_point, clamp_hi : In(signed(9))
    clamp_lo : In(signed(9))
        At most ``clamp_hi``. All three are static while values are under way.
    result : Out(signed(9))
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "enables": In(REQUANTISE_LATENCY),
                "acc": In(signed(32)),
                "bias": In(signed(32)),
                "scale": In(32),
                "zero_point": In(signed(9)),
                "clamp_lo": In(signed(9)),
                "clamp_hi": In(signed(9)),
                "result": Out(signed(9)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        at = Stages(m, self.enables)

        # 0: the biased accumulator.
        total = at(0, (self.acc + self.bias)[:32], "total")
        factor = at(0, mantissa(self.scale), "factor_0")
        shift = at(0, shift_of(self.scale), "shift_0")
        flip = at(0, self.scale[31], "flip_0")

        # 1, 2: rounded to float32, still an integer.
        mask_now = at.wire(rounding_mask(total))
        mask = at(1, mask_now, "mask")
        sum_ = at(1, rounding_sum(total, mask_now), "rounding_sum")
        rounded = at(2, Cat(sum_[: len(mask)] & ~mask, sum_[len(mask) :]), "rounded")
        factor = at.delayed(1, 2, factor, "factor")

        # 3, 4: the exact product, 57 bits.
        low = at(3, factor * rounded[:_LOW_BITS], "product_low")
        high = at(3, factor * rounded[_LOW_BITS:].as_signed(), "product_high")
        upper = (high + low[_LOW_BITS:])[: len(high) + 1]
        product = at(4, Cat(low[:_LOW_BITS], upper), "product")
        shift = at.delayed(1, 4, shift, "shift")

        # 5, 6: its point moved to a fixed place.
        number, negative = Cat(Const(0, FRACTION_BITS - 14), product), product[-1]
        stage = narrowed(number, negative, shift[4:6], step=16, choices=3, kept=WINDOW_BITS + 15)
        coarse, overflow, sticky = (
            at(5, value, name) for value, name in zip(stage, ("coarse", "overflow_5", "sticky_5"), strict=True)
        )
        negative, shift = at(5, negative, "negative_5"), at(5, shift[:4], "shift_5")
        middle, lost_high, lost = narrowed(coarse, negative, shift[2:4], step=4, choices=4, kept=WINDOW_BITS + 3)
        middle = at.wire(middle)
        fine, lost_higher, lost_lower = narrowed(middle, negative, shift[:2], step=1, choices=4, kept=WINDOW_BITS)
        window = at(6, fine, "window")
        overflow = at(6, overflow | lost_high | lost_higher | (fine[-1] ^ negative), "overflow_6")
        sticky = at(6, sticky | lost | lost_lower, "sticky_6")
        negative = at(6, negative, "negative_6")

        # 7, 8: rounded to float32 and to an integer.
        rounded = TwiceRounded(at, 7, window, sticky, "product")
        overflow, negative = at.delayed(7, 8, overflow, "overflow"), at.delayed(7, 8, negative, "negative")
        flip = at.delayed(1, 8, flip, "flip")

        # 9, 10: the scale's sign, -(f + i) = ~f + (1 - i), and the zero point; the bounds.
        signed_floor = (rounded.floor ^ flip.replicate(len(rounded.floor))).as_signed()
        value = at(9, plus(signed_floor, self.zero_point, rounded.increment ^ flip).as_signed(), "value")
        overflow, negative = at(9, overflow, "overflow_9"), at(9, negative ^ flip, "negative_9")
        result = at(10, clamped(value, self.clamp_lo, self.clamp_hi, overflow, negative), "clamped")
        m.d.comb += self.result.eq(result)
        return m
