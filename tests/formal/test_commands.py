"""Command queues keep their order, hold no more than their depth, and offer nothing once stopped."""

from __future__ import annotations

from dataclasses import replace

import pytest
from amaranth.hdl import Assert, Assume, Cover, Module, Signal
from support.formal import Properties, hold_stable, mutated, run
from weft_hardware.presets import PRESETS
from weft_hardware.rtl import commands
from weft_hardware.rtl.commands import CommandQueue

pytestmark = pytest.mark.formal

DEPTH = 3
CONFIG = replace(PRESETS["tiny4"], command_queue_depth=DEPTH)
CYCLES = 8
"""Bound of the proof; the cover, which is quick, takes more."""
COUNT_BITS = 5


class InOrder(Properties):
    """Fetch and a module that give and take when they like; instruction ``n`` carries the number ``n``."""

    def __init__(self, queue: CommandQueue) -> None:
        super().__init__()
        self.queue = queue

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = queue = self.queue
        given, taken, retired = (Signal(COUNT_BITS, name=name) for name in ("given", "taken", "retired"))
        retire, stop, was_full = self.free(1, "retire"), self.free(1, "stop"), Signal()
        gives = queue.dispatch.valid & queue.dispatch.ready
        takes = queue.instruction.valid & queue.instruction.ready
        m.d.comb += [
            queue.dispatch.payload.eq(given),
            queue.dispatch.valid.eq(self.free(1, "dispatch_valid")),
            queue.instruction.ready.eq(self.free(1, "instruction_ready")),
            queue.retire.eq(retire),
            queue.stop.eq(stop),
            Assume(~retire | (retired != taken)),
        ]
        m.d.sync += [given.eq(given + gives), taken.eq(taken + takes), retired.eq(retired + retire)]
        present = (given - retired)[:COUNT_BITS]
        with m.If(present == DEPTH):
            m.d.sync += was_full.eq(1)
        stable = hold_stable(m, queue.instruction.valid, queue.instruction.ready, queue.instruction.payload)
        m.d.comb += [
            Assert(present <= DEPTH),
            Assert(queue.dispatch.ready == (present != DEPTH)),
            Assert(~takes | (queue.instruction.payload == taken)),
            Assert(~takes | (taken != given)),
            Assert(~(stop & queue.instruction.valid)),
            Assert(stable | stop),
            Cover(was_full & (retired == DEPTH + 2)),
        ]
        return m


MUTANTS = {
    "a place too many": ("present != self._depth", "present <= self._depth"),
    "lost when the head is free": ("dispatched & ~(take & (waiting.level == 0))", "dispatched & ~take"),
    "twice when the head is free": ("dispatched & ~(take & (waiting.level == 0))", "dispatched"),
    "offered after a fault": ("filled & ~self.stop", "filled"),
}


def test_instructions_keep_their_order():
    assert run(InOrder(CommandQueue(CONFIG)), "bmc", CYCLES) == "PASS"


def test_a_queue_fills_and_drains():
    assert run(InOrder(CommandQueue(CONFIG)), "cover", 14) == "PASS"


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_found(name):
    assert run(InOrder(mutated(commands, *MUTANTS[name]).CommandQueue(CONFIG)), "bmc", CYCLES) == "FAIL"
