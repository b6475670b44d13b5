"""Whatever goes wrong, the engine stops; and a soft reset ends in an idle engine under a memory that answers."""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Assume, Cat, Cover, Fragment, Module, Signal
from support.formal import Properties, mutated, run
from weft_hardware.presets import PRESETS
from weft_hardware.registers import BY_NAME, Cause
from weft_hardware.rtl import control
from weft_hardware.rtl.control import UNITS, ControlUnit
from weft_hardware.rtl.windows import ROWS

pytestmark = [pytest.mark.formal, pytest.mark.slow]

CONFIG = PRESETS["tiny4"]
ANSWERED = 3
"""Cycles after ``stop`` in which the memory port gets empty: what the proofs of its two sides bound."""

CYCLES = ROWS + ANSWERED + 12
"""The host may write when the windows are opened, a row a cycle; then it launches, and resets."""


class Stops(Properties):
    """A host that writes what it likes to CONTROL, units that fault when they like, a memory that answers."""

    def __init__(self, unit: ControlUnit) -> None:
        super().__init__()
        self.unit = unit

    def elaborate(self, platform: object) -> Module:
        m = Module()
        unit = self.unit
        # Elaborated here, so that its state can be named below.
        m.submodules.unit = Fragment.get(unit, platform)
        host, free = unit.host, self.free
        m.d.comb += [
            host.awvalid.eq(free(1, "awvalid")),
            host.awaddr.eq(BY_NAME["CONTROL"].offset),
            host.wvalid.eq(free(1, "wvalid")),
            host.wdata.eq(free(2, "wdata")),
            host.wstrb.eq(0xF),
            host.bready.eq(1),
            unit.reads_missing.eq(free(1, "reads_missing")),
            unit.writes_missing.eq(free(1, "writes_missing")),
            unit.memory_busy.eq(unit.reads_missing | unit.writes_missing),
        ]
        faults = []
        for name in UNITS:
            fault = getattr(unit, f"fault_{name}")
            faults.append(free(1, f"raised_{name}"))
            m.d.comb += [fault.raised.eq(faults[-1]), fault.cause.eq(Cause.ILLEGAL_INSTRUCTION)]

        # The memory port is empty soon after it was stopped, and stays so until the reset is over.
        stopped = Signal(range(ANSWERED + 1))
        missing = unit.reads_missing | unit.writes_missing
        m.d.sync += stopped.eq(0)
        with m.If(unit.stop):
            m.d.sync += stopped.eq(stopped + (stopped != ANSWERED))
        m.d.comb += Assume((stopped != ANSWERED) | ~missing)

        resetting = Signal(range(CYCLES + 1))
        with m.If(unit._resetting):
            m.d.sync += resetting.eq(resetting + 1)
        with m.Else():
            m.d.sync += resetting.eq(0)
        was_reset, was_fault, cleared = Signal(), Signal(), Signal()
        m.d.sync += [
            was_reset.eq(unit._resetting),
            was_fault.eq(Cat(faults).any() & unit._busy & ~unit.start & ~unit._resetting),
            cleared.eq(unit.clear),
        ]
        seen_fault = Signal()
        m.d.sync += seen_fault.eq(seen_fault | (was_fault & unit.stop))
        m.d.comb += [
            # A fault stops the engine, unless a reset did in the same cycle.
            Assert(~was_fault | (unit.stop & ~unit._busy)),
            # No unit is cleared while the bus owes an answer.
            Assert(~unit.clear | (stopped != 0)),
            Assert(~(unit.clear & missing & (stopped == ANSWERED))),
            # A reset ends, and with an idle engine that is at no fault.
            Assert(resetting <= ANSWERED + 2),
            Assert(~was_reset | unit._resetting | cleared),
            Assert(~cleared | ~(unit._busy | unit._raised | unit._resetting | unit.stop)),
            Cover(seen_fault & cleared),
        ]
        return m


MUTANTS = {
    "a fault that does not stop": (
        "self.stop.eq(self._stopped | self._resetting)",
        "self.stop.eq(self._resetting)",
    ),
    "a reset that never ends": ("with m.If(~missing.any()):", "with m.If(~missing.any() & self._raised):"),
    "a fault that survives": (
        "                self._raised.eq(0),\n                self._stopped.eq(0),",
        "                self._stopped.eq(0),",
    ),
}


def test_faults_stop_and_resets_end():
    assert run(Stops(ControlUnit(CONFIG)), "bmc", CYCLES) == "PASS"


def test_an_engine_at_fault_is_reset():
    assert run(Stops(ControlUnit(CONFIG)), "cover", CYCLES) == "PASS"


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_found(name):
    assert run(Stops(mutated(control, *MUTANTS[name]).ControlUnit(CONFIG)), "bmc", CYCLES) == "FAIL"
