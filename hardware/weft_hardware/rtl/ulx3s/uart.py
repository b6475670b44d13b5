"""A serial line: 8 data bits, no parity, one stop bit."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out


class UartReceiver(wiring.Component):
    """Bytes from a line; whoever takes them must take each at once.

    Parameters
    ----------
    divisor : int
        Clock cycles of a bit, at least 4.

    Attributes
    ----------
    rx : In(1)
        The line, asynchronous.
    data : Out(8)
        While ``valid``, for one cycle in the middle of a stop bit. A stop bit of 0 drops the byte.
    """

    def __init__(self, divisor: int) -> None:
        assert divisor >= 4
        self._divisor = divisor
        super().__init__({"rx": In(1, init=1), "data": Out(8), "valid": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rx = Signal(init=1)
        m.submodules.synchronise = FFSynchronizer(self.rx, rx, init=1)
        left, bits, shift = Signal(range(2 * self._divisor)), Signal(range(10)), Signal(8)
        m.d.comb += self.data.eq(shift)
        m.d.sync += self.valid.eq(0)
        with m.If(bits == 0), m.If(~rx):
            # To the middle of the first data bit.
            m.d.sync += [bits.eq(9), left.eq(self._divisor + self._divisor // 2 - 2)]
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.Else():
            m.d.sync += [bits.eq(bits - 1), left.eq(self._divisor - 1)]
            with m.If(bits == 1):
                m.d.sync += self.valid.eq(rx)
            with m.Else():
                m.d.sync += shift.eq(Cat(shift[1:], rx))
        return m


class UartTransmitter(wiring.Component):
    """Bytes to a line.

    Parameters
    ----------
    divisor : int
        Clock cycles of a bit.

    Attributes
    ----------
    tx : Out(1)
        The line, registered.
    data : In(8)
        Taken in a cycle with ``valid`` and ``ready``.
    """

    def __init__(self, divisor: int) -> None:
        self._divisor = divisor
        super().__init__({"tx": Out(1, init=1), "data": In(8), "valid": In(1), "ready": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        left, bits, shift = Signal(range(self._divisor)), Signal(range(11)), Signal(10, init=0x3FF)
        m.d.comb += self.ready.eq(bits == 0)
        m.d.sync += self.tx.eq(shift[0])
        with m.If(bits == 0), m.If(self.valid):
            m.d.sync += [
                shift.eq(Cat(Const(0, 1), self.data, Const(1, 1))),
                bits.eq(10),
                left.eq(self._divisor - 1),
            ]
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.Else():
            m.d.sync += [bits.eq(bits - 1), left.eq(self._divisor - 1), shift.eq(Cat(shift[1:], Const(1, 1)))]
        return m
