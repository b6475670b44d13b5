"""From the accelerator's AXI4 manager to the SDRAM, beside the host link: 64-bit beats, INCR bursts."""

from __future__ import annotations

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from ...config import AcceleratorConfig
from ..axi import ID_BITS, axi4
from .words import MAX_READS, WORD_BITS, words

OKAY = 0
PATIENCE = 31
"""Words that one client gets in a row while another waits."""


class AxiReads(wiring.Component):
    """AR and R: one burst after another, its words asked for ahead."""

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__({"axi": In(axi4(config)), "port": Out(words())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        axi, port = self.axi, self.port
        m.submodules.data = data = SyncFIFOBuffered(width=WORD_BITS, depth=MAX_READS)
        m.submodules.marks = marks = SyncFIFOBuffered(width=ID_BITS + 1, depth=MAX_READS)
        left, burst_id = Signal(9), Signal(ID_BITS)
        room = Signal(range(MAX_READS + 1), init=MAX_READS)
        asked, given = port.valid & port.ready, axi.rvalid & axi.rready
        m.d.comb += [
            axi.arready.eq(left == 0),
            port.valid.eq((left != 0) & (room != 0) & marks.w_rdy),
            marks.w_data.eq(Cat(burst_id, left == 1)),
            marks.w_en.eq(asked),
            data.w_data.eq(port.answer_data),
            data.w_en.eq(port.answer),
            axi.rvalid.eq(data.r_rdy & marks.r_rdy),
            axi.rdata.eq(data.r_data),
            Cat(axi.rid, axi.rlast).eq(marks.r_data),
            axi.rresp.eq(OKAY),
            data.r_en.eq(given),
            marks.r_en.eq(given),
        ]
        with m.If(axi.arvalid & axi.arready):
            m.d.sync += [port.address.eq(axi.araddr[3:]), left.eq(axi.arlen + 1), burst_id.eq(axi.arid)]
        with m.Elif(asked):
            m.d.sync += [port.address.eq(port.address + 1), left.eq(left - 1)]
        with m.If(asked & ~given):
            m.d.sync += room.eq(room - 1)
        with m.Elif(given & ~asked):
            m.d.sync += room.eq(room + 1)
        return m


class AxiWrites(wiring.Component):
    """AW, W and B: one burst after another, acknowledged when the controller took its last word."""

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__({"axi": In(axi4(config)), "port": Out(words())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        axi, port = self.axi, self.port
        active = Signal()
        m.d.comb += [
            axi.awready.eq(~active & ~axi.bvalid),
            axi.bresp.eq(OKAY),
            port.write.eq(1),
            port.valid.eq(active & axi.wvalid),
            port.data.eq(axi.wdata),
            port.strobe.eq(axi.wstrb),
            axi.wready.eq(active & port.ready),
        ]
        with m.If(axi.awvalid & axi.awready):
            m.d.sync += [port.address.eq(axi.awaddr[3:]), axi.bid.eq(axi.awid), active.eq(1)]
        with m.If(port.valid & port.ready):
            m.d.sync += port.address.eq(port.address + 1)
            with m.If(axi.wlast):
                m.d.sync += [active.eq(0), axi.bvalid.eq(1)]
        with m.If(axi.bvalid & axi.bready):
            m.d.sync += axi.bvalid.eq(0)
        return m


class WordArbiter(wiring.Component):
    """Several clients of one controller; whoever has the turn keeps it while it asks, but not for ever.

    Attributes
    ----------
    client_0, client_1, … : In(words)
    memory : Out(words)
    """

    def __init__(self, clients: int) -> None:
        self._clients = clients
        super().__init__({**{f"client_{n}": In(words()) for n in range(clients)}, "memory": Out(words())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        memory = self.memory
        clients = [getattr(self, f"client_{n}") for n in range(self._clients)]
        turn, used = Signal(range(self._clients)), Signal(range(PATIENCE + 1))
        m.submodules.owners = owners = SyncFIFOBuffered(width=len(turn), depth=4 * MAX_READS)
        asked = memory.valid & memory.ready
        m.d.comb += [
            owners.w_data.eq(turn),
            owners.w_en.eq(asked & ~memory.write),
            owners.r_en.eq(memory.answer),
        ]
        for n, client in enumerate(clients):
            m.d.comb += [
                client.answer.eq(memory.answer & (owners.r_data == n)),
                client.answer_data.eq(memory.answer_data),
            ]
            with m.If(turn == n):
                m.d.comb += [
                    memory.valid.eq(client.valid & owners.w_rdy),
                    client.ready.eq(memory.ready & owners.w_rdy),
                    memory.write.eq(client.write),
                    memory.address.eq(client.address),
                    memory.data.eq(client.data),
                    memory.strobe.eq(client.strobe),
                ]
                others = [other.valid for k, other in enumerate(clients) if k != n]
                with m.If((~client.valid | (asked & (used == PATIENCE))) & Cat(*others).any()):
                    m.d.sync += used.eq(0)
                    # The next in a circle that asks.
                    for distance in reversed(range(1, self._clients)):
                        with m.If(clients[(n + distance) % self._clients].valid):
                            m.d.sync += turn.eq((n + distance) % self._clients)
                with m.Elif(asked & (used != PATIENCE)):
                    m.d.sync += used.eq(used + 1)
        return m
