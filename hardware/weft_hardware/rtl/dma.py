"""The memory port: byte ranges of several clients become AXI4 bursts, and beats find their way back.

Bursts are at most ``max_burst`` beats long and end at multiples of that, so that none crosses a 4 KiB boundary. All
beats are full-width and aligned; a range that starts or ends inside a beat gets (or strobes) that whole beat.
"""

from __future__ import annotations

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from .axi import BURST_INCR, CACHE_BUFFERABLE, PAGE_BYTES, PROT_DATA, axi4_read, axi4_write
from .signatures import RANGE_BYTES_BITS, range_layout, read_port, write_port


def burst_layout(config: AcceleratorConfig) -> data.StructLayout:
    """One burst: its aligned byte address, its beats less one, and whether it is the last of its range."""
    return data.StructLayout({"address": config.axi_addr_bits, "length": 8, "last": 1})


class BurstSplitter(wiring.Component):
    """Cuts byte ranges into bursts, one a cycle, without a gap between ranges.

    Attributes
    ----------
    ranges : In stream of range_layout
        ``nbytes`` is not zero.
    bursts : Out stream of burst_layout
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "ranges": In(stream.Signature(range_layout(config))),
                "bursts": Out(stream.Signature(burst_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        axi_bytes = self._config.axi_bytes
        lane_bits = axi_bytes.bit_length() - 1
        longest = min(self._config.max_burst, PAGE_BYTES // axi_bytes)

        # Everything in beats from here on.
        beat = Signal(self._config.axi_addr_bits - lane_bits)
        beats_left = Signal(RANGE_BYTES_BITS - lane_bits + 1)
        active, last = Signal(), Signal()
        room, length = Signal(9), Signal(9)
        burst = self.bursts.payload
        m.d.comb += [
            room.eq(longest - (beat & (longest - 1))),
            last.eq(beats_left <= room),
            length.eq(Mux(last, beats_left, room)),
            burst.address.eq(beat << lane_bits),
            burst.length.eq(length - 1),
            burst.last.eq(last),
            self.bursts.valid.eq(active),
            self.ranges.ready.eq(~active | (self.bursts.ready & last)),
        ]
        with m.If(self.bursts.valid & self.bursts.ready):
            m.d.sync += [beat.eq(beat + length), beats_left.eq(beats_left - length), active.eq(~last)]
        with m.If(self.ranges.valid & self.ranges.ready):
            start = self.ranges.payload.address
            m.d.sync += [
                beat.eq(start >> lane_bits),
                beats_left.eq((start[:lane_bits] + self.ranges.payload.nbytes + (axi_bytes - 1)) >> lane_bits),
                active.eq(1),
            ]
        return m


def _drive_address(m: Module, bus: wiring.PureInterface, prefix: str, config: AcceleratorConfig) -> None:
    """The fields of an address channel that never change."""
    size = config.axi_bytes.bit_length() - 1
    for name, value in (("size", size), ("burst", BURST_INCR), ("cache", CACHE_BUFFERABLE), ("prot", PROT_DATA)):
        m.d.comb += getattr(bus, f"{prefix}{name}").eq(value)


class ReadEngine(wiring.Component):
    """Shares the read channels among clients.

    Bursts are granted round-robin, one a cycle; a burst's ID is its client's number, and beats go back by it. So the
    memory may answer different clients in any order.

    Parameters
    ----------
    config : AcceleratorConfig
    clients : int
        Number of clients, at most 16.

    Attributes
    ----------
    client_<n> : In(read_port)
    bus : Out(axi4_read)
    busy : Out(1)
        A range is not fully answered.
    failed_<n>, failed_address_<n> : Out(1), Out(32)
        A burst of client ``n`` was answered with an error, and the low 32 bits of the first such burst's address;
        from the cycle after the failing beat until reset.
    """

    def __init__(self, config: AcceleratorConfig, clients: int) -> None:
        self._config = config
        self._clients = clients
        members: dict[str, In | Out] = {"bus": Out(axi4_read(config)), "busy": Out(1)}
        for n in range(clients):
            members[f"client_{n}"] = In(read_port(config))
            members[f"failed_{n}"] = Out(1)
            members[f"failed_address_{n}"] = Out(32)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus, limit = self.bus, self._config.reads_in_flight
        _drive_address(m, bus, "ar", self._config)

        splitters = []
        for n in range(self._clients):
            m.submodules[f"splitter_{n}"] = splitter = BurstSplitter(self._config)
            wiring.connect(m, wiring.flipped(getattr(self, f"client_{n}").request), splitter.ranges)
            splitters.append(splitter)

        in_flight = Signal(range(limit + 1))
        free, granted, answered = Signal(), Signal(), Signal()
        choice, burst = self._arbitrate(m, [s.bursts for s in splitters])
        m.d.comb += [
            free.eq((~bus.arvalid | bus.arready) & (in_flight != limit)),
            granted.eq(free & Cat(s.bursts.valid for s in splitters).any()),
            answered.eq(bus.rvalid & bus.rready & bus.rlast),
            self.busy.eq((in_flight != 0) | Cat(s.bursts.valid for s in splitters).any()),
        ]
        m.d.sync += in_flight.eq(in_flight + granted - answered)
        with m.If(granted):
            m.d.sync += [
                bus.arvalid.eq(1),
                bus.arid.eq(choice),
                bus.araddr.eq(burst.address),
                bus.arlen.eq(burst.length),
            ]
        with m.Elif(bus.arready):
            m.d.sync += bus.arvalid.eq(0)

        takes = []
        for n, splitter in enumerate(splitters):
            chosen = granted & (choice == n)
            m.d.comb += splitter.bursts.ready.eq(free & (choice == n))
            takes.append(self._return_beats(m, n, chosen, burst))
        m.d.comb += bus.rready.eq(Array(takes)[bus.rid])
        return m

    def _arbitrate(self, m: Module, requests: list[stream.Interface]) -> tuple[Value, data.View]:
        """Number and burst of the next requester after the one granted last."""
        count = len(requests)
        layout = burst_layout(self._config)
        choice, last_choice = Signal(4), Signal(4)
        burst = Signal(layout)
        with m.Switch(last_choice):
            for last in range(count):
                with m.Case(last):
                    # Later assignments win: the nearest follower of the last one is assigned last.
                    for distance in range(count, 0, -1):
                        n = (last + distance) % count
                        with m.If(requests[n].valid):
                            m.d.comb += [choice.eq(n), burst.eq(requests[n].payload)]
        with m.If(Cat(r.valid & r.ready for r in requests).any()):
            m.d.sync += last_choice.eq(choice)
        return choice, burst

    def _return_beats(self, m: Module, n: int, chosen: Value, burst: data.View) -> Value:
        """Hand client ``n`` its beats; returns whether it takes one now."""
        bus = self.bus
        beats = getattr(self, f"client_{n}").beats
        failed, failed_address = getattr(self, f"failed_{n}"), getattr(self, f"failed_address_{n}")
        queue = fifo.SyncFIFO(width=33, depth=self._config.reads_in_flight)
        m.submodules[f"in_flight_{n}"] = queue
        error = bus.rresp[1]
        m.d.comb += [
            queue.w_data.eq(Cat(burst.last, burst.address[:32])),
            queue.w_en.eq(chosen),
            beats.valid.eq(bus.rvalid & (bus.rid == n)),
            beats.payload.data.eq(bus.rdata),
            beats.payload.error.eq(error),
            beats.payload.last.eq(bus.rlast & queue.r_data[0]),
            queue.r_en.eq(beats.valid & beats.ready & bus.rlast),
        ]
        with m.If(beats.valid & beats.ready & error & ~failed):
            m.d.sync += [failed.eq(1), failed_address.eq(queue.r_data[1:])]
        return beats.ready


class WriteEngine(wiring.Component):
    """Writes one client's byte ranges.

    A burst's data leave once its address was accepted, because simple memories expect them in that order.

    Attributes
    ----------
    client : In(write_port)
    bus : Out(axi4_write)
    busy : Out(1)
        A range is not acknowledged.
    failed, failed_address : Out(1), Out(32)
        A burst was answered with an error, and the low 32 bits of the first such burst's address; until reset.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "client": In(write_port(config)),
                "bus": Out(axi4_write(config)),
                "busy": Out(1),
                "failed": Out(1),
                "failed_address": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus, limit = self.bus, self._config.writes_in_flight
        _drive_address(m, bus, "aw", self._config)
        m.submodules.splitter = splitter = BurstSplitter(self._config)
        # Bursts whose address is on the bus or accepted: their data, then their answer.
        m.submodules.lengths = lengths = fifo.SyncFIFO(width=8, depth=limit)
        m.submodules.in_flight = answers = fifo.SyncFIFO(width=33, depth=limit)
        wiring.connect(m, wiring.flipped(self.client.request), splitter.ranges)

        burst = splitter.bursts
        granted = Signal()
        m.d.comb += [
            burst.ready.eq((~bus.awvalid | bus.awready) & answers.w_rdy),
            granted.eq(burst.valid & burst.ready),
            answers.w_data.eq(Cat(burst.payload.last, burst.payload.address[:32])),
            answers.w_en.eq(granted),
            lengths.w_data.eq(bus.awlen),
            lengths.w_en.eq(bus.awvalid & bus.awready),
            self.busy.eq(burst.valid | answers.r_rdy),
        ]
        with m.If(granted):
            m.d.sync += [bus.awvalid.eq(1), bus.awaddr.eq(burst.payload.address), bus.awlen.eq(burst.payload.length)]
        with m.Elif(bus.awready):
            m.d.sync += bus.awvalid.eq(0)

        self._send_data(m, lengths)
        self._acknowledge(m, answers)
        return m

    def _send_data(self, m: Module, lengths: fifo.SyncFIFO) -> None:
        bus, beats = self.bus, self.client.beats
        sent = Signal(8)
        last, taken = Signal(), Signal()
        m.d.comb += [
            last.eq(sent == lengths.r_data),
            beats.ready.eq(lengths.r_rdy & (~bus.wvalid | bus.wready)),
            taken.eq(beats.valid & beats.ready),
            lengths.r_en.eq(taken & last),
        ]
        with m.If(taken):
            m.d.sync += [
                bus.wvalid.eq(1),
                bus.wdata.eq(beats.payload.data),
                bus.wstrb.eq(beats.payload.strobe),
                bus.wlast.eq(last),
                sent.eq(Mux(last, 0, sent + 1)),
            ]
        with m.Elif(bus.wready):
            m.d.sync += bus.wvalid.eq(0)

    def _acknowledge(self, m: Module, answers: fifo.SyncFIFO) -> None:
        bus = self.bus
        answered, error, range_failed = Signal(), Signal(), Signal()
        last = answers.r_data[0]
        m.d.comb += [
            bus.bready.eq(1),
            answered.eq(bus.bvalid & answers.r_rdy),
            answers.r_en.eq(answered),
            error.eq(bus.bresp[1]),
            self.client.acknowledged.eq(answered & last),
            self.client.error.eq(error | range_failed),
        ]
        with m.If(answered):
            m.d.sync += range_failed.eq(Mux(last, Const(0), error | range_failed))
            with m.If(error & ~self.failed):
                m.d.sync += [self.failed.eq(1), self.failed_address.eq(answers.r_data[1:])]
