"""The read side of the memory port: legal bursts, no more than may be under way, no beat without room, and draining."""

from __future__ import annotations

from dataclasses import replace

import pytest
from amaranth.hdl import Assert, Assume, Cat, Cover, Module, Signal
from amaranth.lib import wiring
from support.formal import Properties, hold_stable, mutated, run
from weft_hardware.presets import PRESETS
from weft_hardware.rtl import dma, reader
from weft_hardware.rtl.axi import PAGE_BYTES
from weft_hardware.rtl.dma import ReadEngine
from weft_hardware.rtl.reader import BufferedReader

pytestmark = pytest.mark.formal

CONFIG = replace(PRESETS["tiny4"], max_burst=2, reads_in_flight=2)
BUFFER_BEATS = 4
COUNT_BITS = 6
DEPTH = 10
DRAIN = 9
"""Cycles: two bursts of two beats, requested and answered one after another."""


class Reads(Properties):
    """One buffered reader of any ranges on the port, and a memory that answers in order, when it likes."""

    def __init__(self, engine: ReadEngine, client: BufferedReader) -> None:
        super().__init__()
        self.engine = engine
        self.client = client

    def environment(self, m: Module) -> None:
        m.submodules.engine = engine = self.engine
        m.submodules.client = client = self.client
        wiring.connect(m, client.read, engine.client_0)
        bus, free = engine.bus, self.free
        stop, stopped = free(1, "stop"), Signal()
        m.d.sync += stopped.eq(stop)
        ranges = client.ranges.payload
        m.d.comb += [
            client.ranges.valid.eq(free(1, "range_valid")),
            ranges.as_value().eq(free(len(ranges.as_value()), "range")),
            client.beats.ready.eq(free(1, "beats_ready")),
            engine.stop.eq(stop),
            bus.arready.eq(free(1, "arready")),
            bus.rvalid.eq(free(1, "rvalid")),
            bus.rlast.eq(free(1, "rlast")),
            bus.rresp.eq(free(2, "rresp")),
            Assume(ranges.nbytes != 0),
            Assume(ranges.nbytes <= 48),
            Assume(ranges.address[6:] == (PAGE_BYTES >> 6) - 1),
            Assume(stop | ~stopped),
        ]
        # What the memory owes: the bursts whose address it took, oldest first, and the beats of the oldest given.
        self.bursts, self.beats_taken = Signal(COUNT_BITS), Signal(COUNT_BITS)
        lengths = Signal(8 * 2)  # of the two that may be under way
        given = Signal(4)
        accepted, answered = bus.arvalid & bus.arready, bus.rvalid & bus.rlast
        first = lengths[:8]
        shifted = Signal(8 * 2)
        m.d.comb += shifted.eq(lengths)
        left = Signal(COUNT_BITS)
        m.d.comb += left.eq(self.bursts - answered)
        with m.If(answered):
            m.d.comb += shifted.eq(lengths[8:])
        m.d.sync += [self.bursts.eq(left + accepted), lengths.eq(shifted)]
        with m.If(accepted):
            m.d.sync += lengths.word_select(left[0], 8).eq(bus.arlen)
        m.d.sync += self.beats_taken.eq(self.beats_taken + bus.rvalid)
        with m.If(bus.rvalid):
            m.d.sync += given.eq(given + 1)
            with m.If(bus.rlast):
                m.d.sync += given.eq(0)
        m.d.comb += [
            Assume(~bus.rvalid | ((self.bursts != 0) & (bus.rlast == (given == first)))),
        ]


class Channel(Reads):
    """AR obeys the protocol; what is requested has room in the buffer; every beat comes out, in order."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self.environment(m)
        bus, beats = self.engine.bus, self.client.beats
        requested, given, taken = Signal(COUNT_BITS), Signal(4), Signal(4)
        m.d.sync += [
            requested.eq(requested + ((bus.arvalid & bus.arready).replicate(COUNT_BITS) & (bus.arlen + 1))),
            given.eq(given + bus.rvalid),
            taken.eq(taken + (beats.valid & beats.ready)),
        ]
        m.d.comb += bus.rdata.eq(given)  # beats are numbered
        end = (bus.araddr & (PAGE_BYTES - 1)) + ((bus.arlen + 1) << 3)
        m.d.comb += [
            Assert(hold_stable(m, bus.arvalid, bus.arready, Cat(bus.araddr, bus.arlen, bus.arid))),
            Assert(~bus.arvalid | ((end <= PAGE_BYTES) & (bus.arlen < CONFIG.max_burst) & (bus.araddr[:3] == 0))),
            Assert(bus.rready),
            Assert(self.bursts <= CONFIG.reads_in_flight),
            Assert((requested - taken)[:COUNT_BITS] <= BUFFER_BEATS),
            Assert(~beats.valid | (beats.payload.data == taken)),
            Assert((given - taken)[:4] <= BUFFER_BEATS),
            Cover((taken == 3) & (requested == 6)),
        ]
        return m


class Drains(Reads):
    """Once stopped, and under a memory that answers, nothing is under way after `DRAIN` cycles."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self.environment(m)
        engine, bus = self.engine, self.engine.bus
        since = Signal(range(DRAIN + 1))
        with m.If(engine.stop & (since != DRAIN)):
            m.d.sync += since.eq(since + 1)
        m.d.comb += [
            Assume(bus.arready),
            Assume(bus.rvalid == (self.bursts != 0)),
            Assert((since != DRAIN) | ~(engine.missing | bus.arvalid)),
            Cover((since == 3) & bus.rvalid),
        ]
        return m


def parts(engine_module=dma, reader_module=reader):
    return (
        engine_module.ReadEngine(CONFIG, 1),
        reader_module.BufferedReader(CONFIG, buffer_beats=BUFFER_BEATS, longest=2),
    )


def test_the_channel_obeys_the_protocol():
    assert run(Channel(*parts()), "bmc", DEPTH) == "PASS"


def test_six_beats_are_requested_and_three_taken():
    assert run(Channel(*parts()), "cover", 14) == "PASS"


@pytest.mark.parametrize(
    ("engine", "client"),
    [
        (("below_limit & ~self.stop", "~self.stop"), None),
        (None, ("released.eq(self.beats.valid & self.beats.ready)", "released.eq(self.beats.ready)")),
        (None, ("taken.eq(self.source.valid & self.source.ready)", "taken.eq(self.source.ready)")),
    ],
    ids=["more bursts than may be", "room twice", "a beat lost"],
)
def test_a_mutant_is_found(engine, client):
    changed = parts(mutated(dma, *engine) if engine else dma, mutated(reader, *client) if client else reader)
    assert run(Channel(*changed), "bmc", DEPTH + 2) == "FAIL"


def test_a_stopped_port_drains():
    assert run(Drains(*parts()), "bmc", DRAIN + 7) == "PASS"
    assert run(Drains(*parts()), "cover", 12) == "PASS"
