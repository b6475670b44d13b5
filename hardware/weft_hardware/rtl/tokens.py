"""Dependency-token queues: tokens carry nothing, so a queue is a counter."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .signatures import MOST_ROOM


class TokenQueue(wiring.Component):
    """The tokens from one module to a neighbour.

    A token pushed in one cycle can be popped from the next cycle on. A full queue takes no token, not even while one
    is popped.

    Parameters
    ----------
    depth : int
        Tokens it holds.

    Attributes
    ----------
    push, pop : streams without payload
    level : Out(32)
        Tokens waiting.
    room : Out
        Tokens that it will take for certain, `signatures.MOST_ROOM` at most: only a push makes them fewer.
    clear : In(1)
        Empties the queue; nobody may push or pop in that cycle.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        super().__init__(
            {
                "push": In(stream.Signature(0)),
                "pop": Out(stream.Signature(0)),
                "level": Out(32),
                "room": Out(range(MOST_ROOM + 1)),
                "clear": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        level = Signal(range(self._depth + 1))
        pushed = self.push.valid & self.push.ready
        popped = self.pop.valid & self.pop.ready
        free = (self._depth - level)[: len(level)]
        m.d.comb += [
            self.push.ready.eq(level != self._depth),
            self.pop.valid.eq(level != 0),
            self.level.eq(level),
            self.room.eq(Mux(free < MOST_ROOM, free, MOST_ROOM)),
        ]
        with m.If(self.clear):
            m.d.sync += level.eq(0)
        with m.Elif(pushed & ~popped):
            m.d.sync += level.eq(level + 1)
        with m.Elif(popped & ~pushed):
            m.d.sync += level.eq(level - 1)
        return m
