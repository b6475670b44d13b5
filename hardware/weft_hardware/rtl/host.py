"""The host port: AXI4-Lite accesses, one at a time, as strobes on a plain register bus."""

from __future__ import annotations

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..registers import ADDRESS_BITS
from .axi import axi4_lite

OKAY = 0


class HostPort(wiring.Component):
    """Answers every access with OKAY: a write in the cycle after it was taken, a read likewise.

    Attributes
    ----------
    host : In(axi4_lite)
    ready : In(1)
        Writes may be taken.
    write : Out(1)
        A word is written in this cycle: ``write_word`` (its number), ``write_data``, ``write_strobe``.
    read : Out(1)
        ``read_word`` is asked for; ``read_data`` must hold it from the next cycle on, until the next ``read``.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "host": In(axi4_lite(ADDRESS_BITS)),
                "ready": In(1),
                "write": Out(1),
                "write_word": Out(ADDRESS_BITS - 2),
                "write_data": Out(32),
                "write_strobe": Out(4),
                "read": Out(1),
                "read_word": Out(ADDRESS_BITS - 2),
                "read_data": In(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        host = self.host
        answering, reading = Signal(), Signal()
        m.d.comb += [
            self.write.eq(host.awvalid & host.wvalid & ~answering & self.ready),
            self.write_word.eq(host.awaddr[2:]),
            self.write_data.eq(host.wdata),
            self.write_strobe.eq(host.wstrb),
            host.awready.eq(self.write),
            host.wready.eq(self.write),
            host.bvalid.eq(answering),
            host.bresp.eq(OKAY),
        ]
        with m.If(self.write):
            m.d.sync += answering.eq(1)
        with m.Elif(host.bready):
            m.d.sync += answering.eq(0)

        m.d.comb += [
            host.arready.eq(~reading),
            self.read.eq(host.arvalid & host.arready),
            self.read_word.eq(host.araddr[2:]),
            host.rvalid.eq(reading),
            host.rdata.eq(self.read_data),
            host.rresp.eq(OKAY),
        ]
        with m.If(self.read):
            m.d.sync += reading.eq(1)
        with m.Elif(host.rready):
            m.d.sync += reading.eq(0)
        return m
