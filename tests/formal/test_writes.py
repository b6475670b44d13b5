"""The write side of the memory port obeys AXI4: addresses, data and their counts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from amaranth.hdl import Assert, Assume, Cat, Cover, Module, Mux, Signal
from support.formal import Properties, hold_stable, mutated, run
from weft_hardware.presets import PRESETS
from weft_hardware.rtl import bursts, dma
from weft_hardware.rtl.axi import PAGE_BYTES
from weft_hardware.rtl.dma import WriteEngine

pytestmark = pytest.mark.formal

CONFIG = replace(PRESETS["tiny4"], max_burst=4, writes_in_flight=2)
DEPTH = 10
COUNT_BITS = 5
DRAIN = 9
"""Cycles: two bursts of two beats, their way through the registers, and the answers."""


class Writes(Properties):
    """A writer of any ranges, and a memory that takes addresses and data when it likes and answers what it got."""

    def __init__(self, engine: WriteEngine) -> None:
        super().__init__()
        self.engine = engine

    def environment(self, m: Module) -> None:
        m.submodules.engine = engine = self.engine
        bus, client, free = engine.bus, engine.client, self.free
        stop, stopped = free(1, "stop"), Signal()
        m.d.sync += stopped.eq(stop)
        ranges, beats = client.request.payload, client.beats.payload.as_value()
        m.d.comb += [
            client.request.valid.eq(free(1, "request_valid")),
            ranges.as_value().eq(free(len(ranges.as_value()), "range")),
            client.beats.valid.eq(free(1, "beats_valid")),
            beats.eq(free(len(beats), "beat")),
            bus.awready.eq(free(1, "awready")),
            bus.wready.eq(free(1, "wready")),
            bus.bvalid.eq(free(1, "bvalid")),
            bus.bresp.eq(free(2, "bresp")),
            # Once stopped, always: until the reset that ends the proof's time.
            engine.stop.eq(stop),
            Assume(stop | ~stopped),
            Assume(ranges.nbytes != 0),
        ]


class Channels(Writes):
    """What is offered on AW and W stays until it is taken, and every burst is one that AXI allows."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self.environment(m)
        bus = self.engine.bus
        end = (bus.awaddr & (PAGE_BYTES - 1)) + ((bus.awlen + 1) << 3)
        m.d.comb += [
            Assert(hold_stable(m, bus.awvalid, bus.awready, Cat(bus.awaddr, bus.awlen))),
            Assert(hold_stable(m, bus.wvalid, bus.wready, Cat(bus.wdata, bus.wstrb, bus.wlast))),
            Assert(~bus.awvalid | (end <= PAGE_BYTES)),
            Assert(~bus.awvalid | (bus.awlen < CONFIG.max_burst)),
            Assert(~bus.awvalid | (bus.awaddr[:3] == 0)),
            Cover(bus.awvalid & bus.awready & (end == PAGE_BYTES) & (bus.awlen == 2)),
        ]
        return m


class Counts(Writes):
    """The data of the ``watched``-th burst are as many as its address said, and no more bursts wait than may.

    Whichever of the burst's address and its last beat comes later finds that the other agrees.
    """

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self.environment(m)
        bus, ranges = self.engine.bus, self.engine.client.request.payload
        watched = self.free(COUNT_BITS, "watched")
        kept, started = Signal(COUNT_BITS), Signal()
        m.d.sync += [kept.eq(watched), started.eq(1)]
        # Small ranges around a page's end: the counts do not depend on where.
        m.d.comb += [
            Assume(~started | (watched == kept)),
            Assume(ranges.nbytes <= 48),
            Assume(ranges.address[6:] == (PAGE_BYTES >> 6) - 1),
            Assume(self.engine.client.beats.payload.data == 0),
        ]
        addressed, sent, answered = Signal(COUNT_BITS), Signal(COUNT_BITS), Signal(COUNT_BITS)
        address_taken, beat_taken = bus.awvalid & bus.awready, bus.wvalid & bus.wready
        last_taken = beat_taken & bus.wlast
        m.d.sync += [
            addressed.eq(addressed + address_taken),
            sent.eq(sent + last_taken),
            answered.eq(answered + bus.bvalid),
        ]
        # The memory answers bursts whose address and data it has, each once.
        m.d.comb += Assume(~bus.bvalid | ((answered < addressed) & (answered < sent)))

        beats = Signal(4)
        m.d.sync += beats.eq(Mux(last_taken, 0, beats + beat_taken))
        length, length_known, counted, count_known = Signal(4), Signal(), Signal(4), Signal()
        this_address = address_taken & (addressed == watched)
        this_last = last_taken & (sent == watched)
        with m.If(this_address):
            m.d.sync += [length.eq(bus.awlen), length_known.eq(1)]
        with m.If(this_last):
            m.d.sync += [counted.eq(beats), count_known.eq(1)]
        m.d.comb += [
            Assert(~(this_last & length_known) | (beats == length)),
            Assert(~(this_address & count_known) | (bus.awlen == counted)),
            Assert((addressed - answered)[:COUNT_BITS] <= CONFIG.writes_in_flight),
            Cover(count_known & length_known & (watched == 1) & (counted == 2)),
        ]
        return m


class Drains(Writes):
    """Once stopped, and under a memory that answers, the port is idle after `DRAIN` cycles; nothing is written then."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self.environment(m)
        engine, bus = self.engine, self.engine.bus
        addressed, sent, answered = Signal(COUNT_BITS), Signal(COUNT_BITS), Signal(COUNT_BITS)
        m.d.sync += [
            addressed.eq(addressed + bus.awvalid),
            sent.eq(sent + (bus.wvalid & bus.wlast)),
            answered.eq(answered + bus.bvalid),
        ]
        since = Signal(range(DRAIN + 1))
        with m.If(engine.stop & (since != DRAIN)):
            m.d.sync += since.eq(since + 1)
        m.d.comb += [
            Assume(bus.awready & bus.wready),
            Assume(bus.bvalid == ((answered < addressed) & (answered < sent))),
            Assume(engine.client.request.payload.address[6:] == (PAGE_BYTES >> 6) - 1),
            Assert((since != DRAIN) | ~(engine.missing | bus.awvalid | bus.wvalid)),
            # What left before the stop may still be in the register in its first cycle.
            Assert((since < 2) | ~bus.wvalid | (bus.wstrb == 0)),
            Cover((since == 4) & bus.wvalid & (answered == 1)),
        ]
        return m


def test_channels_obey_the_protocol():
    assert run(Channels(WriteEngine(CONFIG)), "bmc", DEPTH) == "PASS"


def test_a_burst_may_end_a_page():
    assert run(Channels(WriteEngine(CONFIG)), "cover", 8) == "PASS"


def test_a_burst_over_a_page_is_found(monkeypatch):
    splitter = mutated(bursts, "self._longest - ((start >> lane_bits) & (self._longest - 1))", "self._longest")
    monkeypatch.setattr(dma, "BurstSplitter", splitter.BurstSplitter)
    assert run(Channels(WriteEngine(CONFIG)), "bmc", 6) == "FAIL"


SHORT = replace(CONFIG, max_burst=2)


def test_a_stopped_port_drains():
    assert run(Drains(WriteEngine(SHORT)), "bmc", DRAIN + 7) == "PASS"
    assert run(Drains(WriteEngine(SHORT)), "cover", 14) == "PASS"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("taken.eq(room & (beats.valid | self.stop))", "taken.eq(room & beats.valid)"),
        ("strobe.eq(Mux(self.stop, 0, beats.payload.strobe))", "strobe.eq(beats.payload.strobe)"),
        ("answers.w_rdy & ~self.stop)", "answers.w_rdy)"),
    ],
    ids=["waits for the client", "strobes stay on", "new bursts"],
)
def test_a_port_that_does_not_drain_is_found(before, after):
    engine = mutated(dma, before, after).WriteEngine(SHORT)
    assert run(Drains(engine), "bmc", DRAIN + 7) == "FAIL"


@pytest.mark.slow
def test_data_are_as_many_as_their_address_says():
    assert run(Counts(WriteEngine(CONFIG)), "bmc", DEPTH) == "PASS"


def test_two_bursts_complete():
    assert run(Counts(WriteEngine(CONFIG)), "cover", 12) == "PASS"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("last.eq(sent == lengths.r_data)", "last.eq(sent + 1 == lengths.r_data)"),
        ("burst.ready.eq(address.sink.ready & answers.w_rdy & ~self.stop)", "burst.ready.eq(address.sink.ready)"),
    ],
    ids=["last beat early", "more bursts than counted"],
)
def test_a_miscounting_mutant_is_found(before, after):
    engine = mutated(dma, before, after).WriteEngine(CONFIG)
    assert run(Counts(engine), "bmc", DEPTH) == "FAIL"
