"""Where a module's cycles go: one counter for each `registers.Activity`, exact over a program."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from ..registers import Activity

COUNTER_BITS = 48
"""At 200 MHz a counter wraps after 16 days."""

SPAN_BITS = 14


class ActivityCounters(wiring.Component):
    """Counts one module's cycles by what it did in them.

    Nothing is added up while an activity lasts: when it ends, its length is added to the activity's counter, which
    lies in a small memory. So a module that does the same thing for long toggles nothing here, in hardware as in
    simulation, and there is one adder instead of one a counter. Long spans are cut where the low `SPAN_BITS` of the
    cycle count wrap, so that a span's length has no more bits. After the last counted cycle the counters are complete
    within 3 cycles; before, that of the present activity lacks what has passed of it since the last cut.

    Attributes
    ----------
    clear : In(1)
        Start from zero; not in a counted cycle, nor in the 3 after one.
    counted : In(1)
        This cycle counts, as an ``activity``.
    activity : In(3)
    now : In(SPAN_BITS)
        Cycles counted before this one, the low bits.
    read : In(1)
    read_activity : In(3)
        Which counter ``value`` shows from the next cycle on.
    value : Out(48)
    valid : Out(1)
        With ``value``: else the counter is zero, whatever ``value`` says. So its reader has one choice to make.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "clear": In(1),
                "counted": In(1),
                "activity": In(3),
                "now": In(SPAN_BITS),
                "read": In(1),
                "read_activity": In(3),
                "value": Out(COUNTER_BITS),
                "valid": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.counters = counters = memory.Memory(
            shape=COUNTER_BITS, depth=8, init=[], attrs={"ram_style": "distributed"}
        )
        write, shown = counters.write_port(), counters.read_port()
        old = counters.read_port(domain="comb")
        # Which counters were written since `clear`: the others' memory still holds the program before.
        written = Signal(len(Activity))

        # The present span of one activity, and the cycle in which it began; none (``open`` low) before the first. One
        # that begins with a wrap's cycle has its last cycle before the next wrap.
        lasting, begin, open_, changes = Signal(3), Signal(SPAN_BITS), Signal(), Signal()
        m.d.comb += changes.eq((self.activity != lasting) | (self.now == 0))
        ends = open_ & (~self.counted | changes)
        with m.If(self.counted & (~open_ | changes)):
            m.d.sync += [lasting.eq(self.activity), begin.eq(self.now), open_.eq(1)]
        with m.If(~self.counted):
            m.d.sync += open_.eq(0)

        # Its length is added in the cycle after.
        adding, added, length = Signal(), Signal(3), Signal(SPAN_BITS + 1)
        m.d.sync += adding.eq(ends)
        with m.If(ends):
            # One that a wrap ends is as long as what is left of the bits.
            m.d.sync += [length.eq(Cat(self.now, self.now == 0) - begin), added.eq(lasting)]
        m.d.comb += [
            old.addr.eq(added),
            write.en.eq(adding),
            write.addr.eq(added),
            # In this order the choice is part of the adder.
            write.data.eq(length + Mux(written.bit_select(added, 1), old.data, 0)),
        ]
        with m.If(self.clear):
            m.d.sync += written.eq(0)
        with m.Elif(adding):
            m.d.sync += written.bit_select(added, 1).eq(1)

        m.d.comb += [shown.en.eq(self.read), shown.addr.eq(self.read_activity), self.value.eq(shown.data)]
        with m.If(self.read):
            m.d.sync += self.valid.eq(written.bit_select(self.read_activity, 1))
        return m
