"""A tiny design with the accelerator's ports: it issues bursts and notes at which cycle each handshake happened.

Registers, by byte offset; all but STATUS and the results are writable.
"""

from __future__ import annotations

from enum import IntEnum

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from weft_hardware.config import AcceleratorConfig
from weft_hardware.registers import ADDRESS_BITS
from weft_hardware.rtl.axi import axi4, axi4_lite

DONE = 1


class Reg(IntEnum):
    """Byte offsets."""

    STATUS = 0x00
    """Bit 0: the bursts asked for are over."""
    GO = 0x04
    """Writing 1 reads, 2 writes; ``Fault << 4`` misbehaves."""
    ADDRESS = 0x08
    COUNT = 0x0C
    """Bursts, one after another in memory, issued as fast as the bus takes them."""
    LENGTH = 0x10
    """Beats of each, less one."""
    FIRST_ADDRESS = 0x14
    """Cycle of the first address handshake; cycles count from GO."""
    LAST_DATA = 0x18
    """Cycle of the last W handshake."""
    FIRST_ANSWER = 0x1C
    """Cycle of the first R (or B) handshake."""
    LAST_ANSWER = 0x20
    HASH = 0x24
    """Of the low halves of the beats read, in order: h = 5 h + beat."""
    RESPONSE = 0x28
    """All responses, ORed."""
    ORDER = 0x2C
    """Ids of the last 8 bursts answered, 4 bits each, the latest lowest."""


class Fault(IntEnum):
    """How the probe breaks AXI on demand."""

    NONE = 0
    DROP_VALID = 1
    """ARVALID falls whenever ARREADY is low."""
    EARLY_LAST = 2
    """WLAST with the first beat."""
    NARROW = 3
    """AxSIZE of one byte."""
    CHANGING = 4
    """ARADDR counts up whatever happens."""


class AxiProbe(wiring.Component):
    """Bursts on the memory port, on the host's command; burst k has id k mod 4."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__({"host": In(axi4_lite(ADDRESS_BITS)), "mem": Out(axi4(config))})

    def elaborate(self, platform):
        m = Module()
        mem = self.mem
        registers = {reg: Signal(32, name=reg.name) for reg in Reg}
        reg = registers
        go = Signal()
        self._host(m, registers, go)

        time, sent, taken, beat, answered = (Signal(32) for _ in range(5))
        running = Signal()
        reading, writing, fault = running & reg[Reg.GO][0], running & reg[Reg.GO][1], reg[Reg.GO][4:8]
        address = Signal(self.config.axi_addr_bits)
        issuing = Signal()
        m.d.comb += issuing.eq(sent < reg[Reg.COUNT])
        m.d.sync += time.eq(time + 1)
        for prefix, active in (("ar", reading), ("aw", writing)):
            self._address(m, prefix, active & issuing, address, sent, fault)
        with m.If((mem.arvalid & mem.arready) | (mem.awvalid & mem.awready)):
            m.d.sync += [sent.eq(sent + 1), address.eq(address + (reg[Reg.LENGTH] + 1) * self.config.axi_bytes)]
            with m.If(sent == 0):
                m.d.sync += reg[Reg.FIRST_ADDRESS].eq(time)
        with m.If((fault == Fault.CHANGING) & mem.arvalid):
            m.d.sync += address.eq(address + self.config.axi_bytes)

        last = beat == reg[Reg.LENGTH]
        m.d.comb += [
            mem.wvalid.eq(writing & (taken < reg[Reg.COUNT])),
            mem.wdata.eq(Cat(beat, taken)),
            mem.wstrb.eq(-1),
            mem.wlast.eq(Mux(fault == Fault.EARLY_LAST, 1, last)),
            mem.rready.eq(1),
            mem.bready.eq(1),
        ]
        with m.If(mem.wvalid & mem.wready):
            m.d.sync += [beat.eq(Mux(last, 0, beat + 1)), taken.eq(taken + last), reg[Reg.LAST_DATA].eq(time)]
        with m.If(mem.rvalid | mem.bvalid):
            final, response = mem.bvalid | mem.rlast, Mux(mem.bvalid, mem.bresp, mem.rresp)
            m.d.sync += [
                reg[Reg.LAST_ANSWER].eq(time),
                reg[Reg.RESPONSE].eq(reg[Reg.RESPONSE] | response),
                reg[Reg.HASH].eq((reg[Reg.HASH] * 5 + mem.rdata[:32])[:32]),
                answered.eq(answered + final),
            ]
            with m.If(reg[Reg.FIRST_ANSWER] == 0):
                m.d.sync += reg[Reg.FIRST_ANSWER].eq(time)
            with m.If(final):
                m.d.sync += reg[Reg.ORDER].eq(Cat(Mux(mem.bvalid, mem.bid, mem.rid), reg[Reg.ORDER][:28]))
        with m.If(running & (answered == reg[Reg.COUNT])):
            m.d.sync += [running.eq(0), reg[Reg.STATUS].eq(DONE)]
        with m.If(go):
            m.d.sync += [running.eq(1), reg[Reg.STATUS].eq(0)]
            results = [Reg.FIRST_ADDRESS, Reg.LAST_DATA, Reg.FIRST_ANSWER, Reg.LAST_ANSWER, Reg.HASH, Reg.RESPONSE]
            m.d.sync += [reg[name].eq(0) for name in (*results, Reg.ORDER)]
            m.d.sync += [value.eq(0) for value in (time, sent, taken, beat, answered)]
            m.d.sync += address.eq(reg[Reg.ADDRESS])
        return m

    def _address(self, m, prefix, active, address, sent, fault):
        def port(name):
            return getattr(self.mem, prefix + name)

        beat_size = (self.config.axi_bytes - 1).bit_length()
        m.d.comb += [
            port("id").eq(sent[:2]),
            port("addr").eq(address),
            port("len").eq(self.length),
            port("size").eq(Mux(fault == Fault.NARROW, 0, beat_size)),
            port("burst").eq(1),
            port("valid").eq(active),
        ]
        if prefix == "ar":
            refused = Signal()
            m.d.sync += refused.eq(port("valid") & ~port("ready"))
            with m.If((fault == Fault.DROP_VALID) & refused):
                m.d.comb += port("valid").eq(0)

    def _host(self, m, registers, go):
        host = self.host
        self.length = registers[Reg.LENGTH][:8]
        writable = (Reg.GO, Reg.ADDRESS, Reg.COUNT, Reg.LENGTH)
        m.d.comb += [
            host.awready.eq(host.awvalid & host.wvalid & ~host.bvalid),
            host.wready.eq(host.awready),
            host.arready.eq(~host.rvalid),
        ]
        m.d.sync += go.eq(0)
        with m.If(host.bready):
            m.d.sync += host.bvalid.eq(0)
        with m.If(host.awready):
            m.d.sync += host.bvalid.eq(1)
            with m.Switch(host.awaddr):
                for name in writable:
                    with m.Case(name):
                        m.d.sync += registers[name].eq(host.wdata)
                        if name is Reg.GO:
                            m.d.sync += go.eq(1)
        with m.If(host.rready):
            m.d.sync += host.rvalid.eq(0)
        with m.If(host.arvalid & host.arready):
            m.d.sync += host.rvalid.eq(1)
            with m.Switch(host.araddr):
                for name, register in registers.items():
                    with m.Case(name):
                        m.d.sync += host.rdata.eq(register)
