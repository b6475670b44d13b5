"""Token queues neither lose nor duplicate a token, and hold no more than their depth."""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Assume, Cover, Module, Signal
from support.formal import Properties, run
from weft_hardware.rtl.signatures import MOST_ROOM
from weft_hardware.rtl.tokens import TokenQueue

pytestmark = pytest.mark.formal

COUNT_BITS = 16
"""Of the ghost counters; they wrap, which is no matter since only their difference counts."""


class TokenProperties(Properties):
    """A queue between two modules that push and pop whenever they like."""

    def __init__(self, queue: TokenQueue, depth: int) -> None:
        super().__init__()
        self._queue = queue
        self._depth = depth

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = queue = self._queue
        push, pop, clear = self.free(1, "push"), self.free(1, "pop"), self.free(1, "clear")
        pushed, popped, filled = Signal(COUNT_BITS), Signal(COUNT_BITS), Signal()
        pushes, pops = push & queue.push.ready, pop & queue.pop.valid
        m.d.comb += [
            queue.push.valid.eq(push),
            queue.pop.ready.eq(pop),
            queue.clear.eq(clear),
            Assume(~(clear & (pushes | pops))),
        ]
        m.d.sync += [pushed.eq(pushed + pushes), popped.eq(popped + pops)]
        with m.If(queue.level == self._depth):
            m.d.sync += filled.eq(1)
        with m.If(clear):
            m.d.sync += [pushed.eq(0), popped.eq(0)]
        m.d.comb += [
            Assert((pushed - popped)[:COUNT_BITS] == queue.level),
            Assert(queue.level <= self._depth),
            Assert(queue.pop.valid == (queue.level != 0)),
            Assert(queue.push.ready == (queue.level != self._depth)),
            Assert(queue.room <= self._depth - queue.level),
            Assert((queue.room == MOST_ROOM) | (queue.room == self._depth - queue.level)),
            Cover(filled & (popped == self._depth + 1)),
        ]
        return m


class TakesWhenFull(TokenQueue):
    """A queue that takes a token while it is full and one leaves, but does not count it."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.inner = inner = TokenQueue(self._depth)
        m.d.comb += [
            self.push.ready.eq(inner.push.ready | self.pop.ready),
            inner.push.valid.eq(self.push.valid),
            self.pop.valid.eq(inner.pop.valid),
            inner.pop.ready.eq(self.pop.ready),
            self.level.eq(inner.level),
            inner.clear.eq(self.clear),
        ]
        return m


@pytest.mark.parametrize("depth", [1, 3, 255])
def test_tokens_are_conserved(depth):
    assert run(TokenProperties(TokenQueue(depth), depth), "prove", 3) == "PASS"


def test_a_queue_fills_and_drains():
    assert run(TokenProperties(TokenQueue(3), 3), "cover", 12) == "PASS"


def test_a_lost_token_is_found():
    assert run(TokenProperties(TakesWhenFull(3), 3), "prove", 8) == "FAIL"


def test_a_queue_that_is_too_deep_is_found():
    assert run(TokenProperties(TokenQueue(4), 3), "prove", 8) == "FAIL"
