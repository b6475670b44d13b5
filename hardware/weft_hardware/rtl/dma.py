"""The memory port: bursts of several readers and byte ranges of one writer on an AXI4 bus, and what comes back.

All beats are full-width and aligned; a range that starts or ends inside a beat gets (or strobes) that whole beat. The
bus sees registers only, and none of its inputs reaches an output but through one.
"""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from .axi import BURST_INCR, CACHE_BUFFERABLE, PROT_DATA, axi4_read, axi4_write
from .bursts import BurstSplitter, longest_burst
from .signatures import burst_layout, read_port, write_beat_layout, write_port
from .slices import RegisterSlice


def _drive_address(m: Module, bus: wiring.PureInterface, prefix: str, config: AcceleratorConfig) -> None:
    """The fields of an address channel that never change."""
    size = config.axi_bytes.bit_length() - 1
    for name, value in (("size", size), ("burst", BURST_INCR), ("cache", CACHE_BUFFERABLE), ("prot", PROT_DATA)):
        m.d.comb += getattr(bus, f"{prefix}{name}").eq(value)


class ReadEngine(wiring.Component):
    """Shares the read channels among clients.

    Bursts are granted round-robin, one a cycle, and appear on the bus in the next; a burst's ID is its client's number,
    and beats go back by it. So the memory may answer different clients in any order. Clients take every beat at once
    (`signatures.read_port`), so RREADY is always high.

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
        A burst is requested or not fully answered.
    stop : In(1)
        Ask for nothing more.
    missing : Out(1)
        The memory owes an answer to what was asked of it.
    moves : Out(1)
        A transfer on the bus.
    failed_<n>, failed_address_<n> : Out(1), Out(axi_addr_bits)
        A burst of client ``n`` was answered with an error, and the first such burst's address; from the cycle after
        the failing beat until reset.
    """

    def __init__(self, config: AcceleratorConfig, clients: int) -> None:
        self._config = config
        self._clients = clients
        members: dict[str, In | Out] = {"bus": Out(axi4_read(config)), "busy": Out(1)}
        members |= {"stop": In(1), "missing": Out(1), "moves": Out(1)}
        for n in range(clients):
            members[f"client_{n}"] = In(read_port(config))
            members[f"failed_{n}"] = Out(1)
            members[f"failed_address_{n}"] = Out(config.axi_addr_bits)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, bus, limit = self._config, self.bus, self._config.reads_in_flight
        _drive_address(m, bus, "ar", config)
        ports = [getattr(self, f"client_{n}") for n in range(self._clients)]
        requests = [port.request for port in ports]

        m.submodules.address = address = RegisterSlice(
            data.StructLayout({"burst": burst_layout(config), "id": len(bus.arid)})
        )
        in_flight, below_limit = Signal(range(limit + 1)), Signal(init=1)
        free, requested, granted, answered = Signal(), Signal(), Signal(), Signal()
        chosen, burst = self._arbitrate(m, requests)
        choice = Cat(Cat(chosen[n] for n in range(self._clients) if n >> bit & 1).any() for bit in range(len(bus.arid)))
        m.d.comb += [
            free.eq(address.sink.ready & below_limit & ~self.stop),
            requested.eq(Cat(r.valid for r in requests).any()),
            granted.eq(free & requested),
            address.sink.valid.eq(granted),
            address.sink.payload.burst.eq(burst),
            address.sink.payload.id.eq(choice),
            address.source.ready.eq(bus.arready),
            bus.arvalid.eq(address.source.valid),
            bus.arid.eq(address.source.payload.id),
            bus.araddr.eq(address.source.payload.burst.address),
            bus.arlen.eq(address.source.payload.burst.length),
            bus.rready.eq(1),
            answered.eq(bus.rvalid & bus.rlast),
            self.busy.eq((in_flight != 0) | requested),
            self.missing.eq(in_flight != 0),
            self.moves.eq((bus.arvalid & bus.arready) | bus.rvalid),
        ]
        with m.If(granted != answered):
            m.d.sync += in_flight.eq(Mux(granted, in_flight + 1, in_flight - 1))
            m.d.sync += below_limit.eq(~granted | (in_flight != limit - 1))
        for n, request in enumerate(requests):
            m.d.comb += request.ready.eq(free & chosen[n])
            self._return_beats(m, n, free & chosen[n], burst)
        return m

    def _arbitrate(self, m: Module, requests: list[stream.Interface]) -> tuple[Signal, data.View]:
        """Which requester is the next after the one granted last, one bit each, and its burst."""
        count = len(requests)
        # One bit each as well: whose turn it is follows in one step.
        chosen, last = Signal(count), Signal(count, init=1)
        valid = [request.valid for request in requests]
        for n in range(count):
            # Those that come between the last one and this one.
            nearer = [
                last[k] & Cat(valid[(k + distance) % count] for distance in range(1, (n - k - 1) % count + 1)).any()
                for k in range(count)
            ]
            m.d.comb += chosen[n].eq(valid[n] & ~Cat(nearer).any())
        words = [
            request.payload.as_value() & chosen[n].replicate(len(request.payload.as_value()))
            for n, request in enumerate(requests)
        ]
        burst = Signal(burst_layout(self._config))
        m.d.comb += burst.eq(reduce(or_, words))
        with m.If(Cat(r.valid & r.ready for r in requests).any()):
            m.d.sync += last.eq(chosen)
        return chosen, burst

    def _return_beats(self, m: Module, n: int, chosen: Value, burst: data.View) -> None:
        """Hand client ``n`` its beats; remember its bursts' addresses until they are answered."""
        bus = self.bus
        beats = getattr(self, f"client_{n}").beats
        failed, failed_address = getattr(self, f"failed_{n}"), getattr(self, f"failed_address_{n}")
        queue = fifo.SyncFIFO(width=len(burst.address), depth=self._config.reads_in_flight)
        m.submodules[f"in_flight_{n}"] = queue
        error = bus.rresp[1]
        m.d.comb += [
            queue.w_data.eq(burst.address),
            queue.w_en.eq(chosen),
            beats.valid.eq(bus.rvalid & (bus.rid == n)),
            beats.payload.data.eq(bus.rdata),
            beats.payload.error.eq(error),
            queue.r_en.eq(beats.valid & bus.rlast),
        ]
        with m.If(beats.valid & error & ~failed):
            m.d.sync += [failed.eq(1), failed_address.eq(queue.r_data)]


class WriteEngine(wiring.Component):
    """Writes one client's byte ranges.

    A burst's first beat may be on the bus from the cycle after its address; neither waits for the other to be accepted,
    as AXI demands (A3.3.1).

    Attributes
    ----------
    client : In(write_port)
    bus : Out(axi4_write)
    busy : Out(1)
        A range is not acknowledged.
    stop : In(1)
        Announce nothing more; the bursts that were get beats without strobes, and the client gets no acknowledgement;
        until reset.
    missing : Out(1)
        The memory owes an answer to what was asked of it.
    moves : Out(1)
        A transfer on the bus.
    failed, failed_address : Out(1), Out(axi_addr_bits)
        A burst was answered with an error, and the first such burst's address; until reset.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "client": In(write_port(config)),
                "bus": Out(axi4_write(config)),
                "busy": Out(1),
                "stop": In(1),
                "missing": Out(1),
                "moves": Out(1),
                "failed": Out(1),
                "failed_address": Out(config.axi_addr_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, bus, limit = self._config, self.bus, self._config.writes_in_flight
        _drive_address(m, bus, "aw", config)
        m.submodules.splitter = splitter = BurstSplitter(config, longest_burst(config))
        m.submodules.address = address = RegisterSlice(burst_layout(config))
        # Granted bursts: their data, then their answer.
        m.submodules.lengths = lengths = fifo.SyncFIFO(width=8, depth=limit)
        m.submodules.in_flight = answers = fifo.SyncFIFO(width=1 + len(bus.awaddr), depth=limit)
        wiring.connect(m, wiring.flipped(self.client.request), splitter.ranges)

        burst = splitter.bursts
        granted = Signal()
        m.d.comb += [
            # A burst leaves `lengths` before it leaves `answers`.
            burst.ready.eq(address.sink.ready & answers.w_rdy & ~self.stop),
            granted.eq(burst.valid & burst.ready),
            address.sink.valid.eq(granted),
            address.sink.payload.address.eq(burst.payload.address),
            address.sink.payload.length.eq(burst.payload.length),
            address.source.ready.eq(bus.awready),
            bus.awvalid.eq(address.source.valid),
            bus.awaddr.eq(address.source.payload.address),
            bus.awlen.eq(address.source.payload.length),
            answers.w_data.eq(Cat(burst.payload.last, burst.payload.address)),
            answers.w_en.eq(granted),
            lengths.w_data.eq(burst.payload.length),
            lengths.w_en.eq(granted),
            self.busy.eq(burst.valid | answers.r_rdy),
            self.missing.eq(answers.r_rdy),
            self.moves.eq((bus.awvalid & bus.awready) | (bus.wvalid & bus.wready) | bus.bvalid),
        ]
        self._send_data(m, lengths)
        self._acknowledge(m, answers)
        return m

    def _send_data(self, m: Module, lengths: fifo.SyncFIFO) -> None:
        bus, beats = self.bus, self.client.beats
        m.submodules.data = slice_ = RegisterSlice(write_beat_layout(self._config))
        sent = Signal(8)
        last, taken, room = Signal(), Signal(), Signal()
        m.d.comb += [
            last.eq(sent == lengths.r_data),
            room.eq(lengths.r_rdy & slice_.sink.ready),
            beats.ready.eq(room & ~self.stop),
            taken.eq(room & (beats.valid | self.stop)),
            lengths.r_en.eq(taken & last),
            slice_.sink.valid.eq(taken),
            slice_.sink.payload.data.eq(beats.payload.data),
            slice_.sink.payload.strobe.eq(Mux(self.stop, 0, beats.payload.strobe)),
            slice_.sink.payload.last.eq(last),
            slice_.source.ready.eq(bus.wready),
            bus.wvalid.eq(slice_.source.valid),
            bus.wdata.eq(slice_.source.payload.data),
            bus.wstrb.eq(slice_.source.payload.strobe),
            bus.wlast.eq(slice_.source.payload.last),
        ]
        with m.If(taken):
            m.d.sync += sent.eq(Mux(last, 0, sent + 1))

    def _acknowledge(self, m: Module, answers: fifo.SyncFIFO) -> None:
        bus = self.bus
        answered, error, range_failed = Signal(), Signal(), Signal()
        last = answers.r_data[0]
        m.d.comb += [
            bus.bready.eq(1),
            answered.eq(bus.bvalid & answers.r_rdy),
            answers.r_en.eq(answered),
            error.eq(bus.bresp[1]),
            self.client.acknowledged.eq(answered & last & ~self.stop),
            self.client.error.eq(error | range_failed),
        ]
        with m.If(answered):
            m.d.sync += range_failed.eq(Mux(last, Const(0), error | range_failed))
            with m.If(error & ~self.failed):
                m.d.sync += [self.failed.eq(1), self.failed_address.eq(answers.r_data[1:])]
