"""Register slices keep the stream's rule and everything that passes; splitters make bursts that AXI allows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from amaranth.hdl import Assert, Assume, Cover, Module, Mux, Signal
from support.formal import Properties, hold_stable, mutated, run
from weft_hardware.presets import PRESETS
from weft_hardware.rtl import bursts, slices
from weft_hardware.rtl.axi import PAGE_BYTES
from weft_hardware.rtl.bursts import BurstSplitter
from weft_hardware.rtl.slices import RegisterSlice

pytestmark = pytest.mark.formal

CONFIG = replace(PRESETS["tiny4"], max_burst=16)
LONGEST = 16
COUNT_BITS = 4
PATIENCE = 2
"""In the induction nobody waits longer, so that what an unreachable state hides comes out within its depth."""


class Slice(Properties):
    """Payloads are numbered as they go in; the slice holds two at most and shows them in their order."""

    def __init__(self, slice_: RegisterSlice) -> None:
        super().__init__()
        self._slice = slice_

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.slice = slice_ = self._slice
        sink, source = slice_.sink, slice_.source
        entered, left, waited = Signal(COUNT_BITS), Signal(COUNT_BITS), Signal(range(PATIENCE + 1))
        m.d.comb += [
            sink.valid.eq(self.free(1, "valid")),
            sink.payload.eq(entered),
            source.ready.eq(self.free(1, "ready")),
            Assume(source.ready | (waited < PATIENCE)),
        ]
        m.d.sync += [
            entered.eq(entered + (sink.valid & sink.ready)),
            left.eq(left + (source.valid & source.ready)),
            waited.eq(Mux(source.ready, 0, waited + 1)),
        ]
        held = (entered - left)[:COUNT_BITS]
        m.d.comb += [
            Assert(hold_stable(m, source.valid, source.ready, source.payload)),
            Assert(~source.valid | (source.payload == left)),
            Assert(held <= 2),
            Assert(source.valid == (held != 0)),
            Assert(sink.ready == (held != 2)),
            Cover((left == 3) & (held == 2)),
        ]
        return m


class Splitter(Properties):
    """Any range in; every burst ends with its page at the latest, is no longer than allowed, and starts on a beat."""

    def __init__(self, splitter: BurstSplitter) -> None:
        super().__init__()
        self._splitter = splitter

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.splitter = splitter = self._splitter
        ranges, out = splitter.ranges, splitter.bursts
        waited = Signal(range(PATIENCE + 1))
        m.d.comb += [
            ranges.valid.eq(self.free(1, "valid")),
            ranges.payload.as_value().eq(self.free(len(ranges.payload.as_value()), "range")),
            out.ready.eq(self.free(1, "ready")),
            Assume(ranges.payload.nbytes != 0),
            Assume(out.ready | (waited < PATIENCE)),
        ]
        m.d.sync += waited.eq(Mux(out.ready, 0, waited + 1))
        burst = out.payload
        end = (burst.address & (PAGE_BYTES - 1)) + ((burst.length + 1) << 3)
        m.d.comb += [
            Assert(hold_stable(m, out.valid, out.ready, burst.as_value())),
            Assert(~out.valid | (end <= PAGE_BYTES)),
            Assert(~out.valid | (burst.length < LONGEST)),
            Assert(~out.valid | (burst.address[:3] == 0)),
            # What is found out a burst ahead is what the burst says: without this, induction begins anywhere.
            Assert(~out.valid | (splitter._room == LONGEST - ((burst.address >> 3) & (LONGEST - 1)))),
            Assert(~out.valid | (burst.last == (splitter._beats_left <= splitter._room))),
            Cover(out.valid & out.ready & ~burst.last & (end == PAGE_BYTES)),
        ]
        return m


def test_slices_keep_everything():
    assert run(Slice(RegisterSlice(COUNT_BITS)), "prove", 6) == "PASS"
    assert run(Slice(RegisterSlice(COUNT_BITS)), "cover", 10) == "PASS"


def test_a_slice_that_overwrites_its_spare_is_found():
    broken = mutated(slices, "self.sink.ready.eq(~spare_valid)", "self.sink.ready.eq(1)")
    assert run(Slice(broken.RegisterSlice(COUNT_BITS)), "bmc", 10) == "FAIL"


def test_splitters_respect_pages():
    assert run(Splitter(BurstSplitter(CONFIG, LONGEST)), "prove", 6) == "PASS"
    assert run(Splitter(BurstSplitter(CONFIG, LONGEST)), "cover", 8) == "PASS"


def test_a_splitter_that_forgets_pages_is_found():
    broken = mutated(bursts, "self._longest - ((start >> lane_bits) & (self._longest - 1))", "self._longest")
    assert run(Splitter(broken.BurstSplitter(CONFIG, LONGEST)), "bmc", 6) == "FAIL"
