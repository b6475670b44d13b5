"""A register slice: one cycle between two streams, and no combinational path between them in either direction."""

from __future__ import annotations

from amaranth import Module, Signal
from amaranth.hdl import ShapeLike
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class RegisterSlice(wiring.Component):
    """Passes one payload a cycle; ``source`` shows it in the cycle after ``sink`` took it.

    A second register keeps what arrives while ``source`` waits, so that ``sink.ready`` is a register as well.

    Attributes
    ----------
    sink : In stream
    source : Out stream
    """

    def __init__(self, shape: ShapeLike) -> None:
        super().__init__({"sink": In(stream.Signature(shape)), "source": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spare = Signal.like(self.sink.payload, reset_less=True)
        spare_valid, moves = Signal(), Signal()
        m.d.comb += [self.sink.ready.eq(~spare_valid), moves.eq(~self.source.valid | self.source.ready)]
        with m.If(moves):
            m.d.sync += [self.source.valid.eq(self.sink.valid | spare_valid), spare_valid.eq(0)]
            with m.If(spare_valid):
                m.d.sync += self.source.payload.eq(spare)
            with m.Elif(self.sink.valid):
                m.d.sync += self.source.payload.eq(self.sink.payload)
        with m.Elif(self.sink.valid & self.sink.ready):
            m.d.sync += [spare.eq(self.sink.payload), spare_valid.eq(1)]
        return m
