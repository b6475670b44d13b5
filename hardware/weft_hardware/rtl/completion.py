"""What the store queue's running instructions still wait for: acknowledgements, counted in order, or their LOAD."""

from __future__ import annotations

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, fifo, wiring
from amaranth.lib.wiring import In, Out

WORK_LAYOUT = data.StructLayout({"ranges": 16, "load": 1})
"""Of one instruction: the byte ranges that it writes, 0 for all but a STORE; whether it is a LOAD."""


class Completion(wiring.Component):
    """Tells when the oldest instruction of the store queue is over.

    Ranges are acknowledged in the order in which they were announced, so counting tells whose an acknowledgement is,
    however far the announcements are ahead. An instruction is over at the earliest in the cycle after it was accepted;
    a STORE in the cycle after its last acknowledgement; a LOAD when it is ``loaded``; all after those before.

    After a failed range no acknowledgement counts: the STORE that it belongs to is never over, those before are.

    Parameters
    ----------
    in_flight : int
        Instructions that may run at once.

    Attributes
    ----------
    accepted, work : In(1), In(WORK_LAYOUT)
    acknowledged, error : In(1)
        A range is, and was not written as it should.
    loaded : In(1)
        The oldest instruction's LOAD has run.
    completed : Out(1)
        The oldest instruction is over.
    storing, loading : Out(1)
        The oldest is a STORE that writes something; is a LOAD.
    failed : Out(1)
        A range of the oldest instruction failed; stays.
    """

    def __init__(self, in_flight: int) -> None:
        self._in_flight = in_flight
        super().__init__(
            {
                "accepted": In(1),
                "work": In(WORK_LAYOUT),
                "acknowledged": In(1),
                "error": In(1),
                "loaded": In(1),
                "completed": Out(1),
                "storing": Out(1),
                "loading": Out(1),
                "failed": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.works = works = fifo.SyncFIFO(width=WORK_LAYOUT.size, depth=self._in_flight)
        oldest, present = Signal(WORK_LAYOUT), Signal()
        next_, has_next, follows = WORK_LAYOUT(Mux(works.r_rdy, works.r_data, self.work)), Signal(), Signal()
        # Ranges of the oldest that are not acknowledged, less one: so its sign says when there are none. Less than -1
        # are those of the next, which may be acknowledged before its turn.
        missing, failed, written = Signal(signed(18), init=-1), Signal(), Signal()
        counts = self.acknowledged & ~self.error & ~failed
        m.d.comb += [
            has_next.eq(works.r_rdy | self.accepted),
            follows.eq(~present | self.completed),
            works.w_data.eq(self.work),
            works.w_en.eq(self.accepted & ~(follows & ~works.r_rdy)),
            works.r_en.eq(follows),
            written.eq(missing[-1]),
            self.completed.eq(present & Mux(oldest.load, self.loaded, written)),
            self.storing.eq(present & (oldest.ranges != 0)),
            self.loading.eq(present & oldest.load),
            self.failed.eq(self.storing & failed & ~written),
        ]
        with m.If(follows):
            m.d.sync += present.eq(has_next)
            with m.If(has_next):
                m.d.sync += oldest.eq(next_)
        with m.If(counts | (follows & has_next)):
            m.d.sync += missing.eq(missing + Mux(follows & has_next, next_.ranges, 0) - counts)
        with m.If(self.acknowledged & self.error):
            m.d.sync += failed.eq(1)
        return m
