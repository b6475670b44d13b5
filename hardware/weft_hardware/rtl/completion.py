"""What the store queue's running instructions still wait for: acknowledgements, counted in order, or their LOAD."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
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
        oldest = WORK_LAYOUT(works.r_data)
        # Acknowledged ranges of instructions that are not over. Those of the next may arrive before the oldest's turn.
        acknowledged, failed, written = Signal(18), Signal(), Signal()
        counts = self.acknowledged & ~self.error & ~failed
        m.d.comb += [
            works.w_data.eq(self.work),
            works.w_en.eq(self.accepted),
            works.r_en.eq(self.completed),
            written.eq(acknowledged >= oldest.ranges),
            self.completed.eq(works.r_rdy & Mux(oldest.load, self.loaded, written)),
            self.storing.eq(works.r_rdy & (oldest.ranges != 0)),
            self.loading.eq(works.r_rdy & oldest.load),
            self.failed.eq(self.storing & failed & ~written),
        ]
        with m.If(counts | self.completed):
            m.d.sync += acknowledged.eq(acknowledged - Mux(self.completed, oldest.ranges, 0) + counts)
        with m.If(self.acknowledged & self.error):
            m.d.sync += failed.eq(1)
        return m
