"""The loop nest of GEMM and ALU: micro-ops and loop offsets become scratchpad indices."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import QUEUE_REGISTERS, Gemm, OverwriteMask, SetRegister, layout
from ..registers import Cause
from .layouts import uop_layout
from .scratchpad import READ_LATENCY, scratchpad_read
from .signatures import fault_port


def loops_layout(config: AcceleratorConfig) -> data.StructLayout:
    """What one GEMM or ALU instruction asks of the sequencer.

    ``gemm`` says that ``src`` names input tiles and not accumulators; ``use_src`` that ``src`` (and the weights of a
    GEMM) are read at all, so that their indices count. Only with ``gemm_overwrite``: ``overwrite`` says that steps
    may overwrite, and ``mask`` is the register OVERWRITE.
    """
    widths = {name: position.width for name, position in layout(Gemm, config).items()}
    names = ("uop_bgn", "uop_end", "iter_out", "iter_in")
    steps = {f"{operand}_{loop}" for operand in ("dst", "src", "wgt") for loop in ("out", "in")}
    fields = {name: widths[name] for name in (*names, *sorted(steps))}
    fields["src_out"] = fields["src_in"] = config.src_index_bits
    if config.gemm_overwrite:
        fields |= {"overwrite": 1, "mask": QUEUE_REGISTERS[SetRegister.OVERWRITE].width}
    return data.StructLayout({**fields, "gemm": 1, "use_src": 1})


def access_layout(config: AcceleratorConfig) -> data.StructLayout:
    """The indices of one step; ``first`` marks the first of the two beats of a register-register ALU step.

    With ``gemm_overwrite``, ``overwrite`` marks a step whose sums replace the accumulator.
    """
    return data.StructLayout(
        {
            "dst": config.acc_index_bits,
            "src": config.src_index_bits,
            "wgt": config.wgt_index_bits,
            "first": 1,
            **({"overwrite": 1} if config.gemm_overwrite else {}),
        }
    )


class Sequencer(wiring.Component):
    """Runs ``for out: for in: for uop``, one step a cycle, two cycles a step for a register-register ALU operation.

    After ``start`` the first ``valid`` comes 4 cycles later; from then on there is no gap, whatever the loop counts and
    however short the body. There is no back-pressure. ``done`` pulses with the last step, or one cycle after
    ``start`` if nothing runs. A step's indices are exact sums (nothing wraps); the first *used* one outside its
    scratchpad, in the order dst, src, wgt, raises SCRATCHPAD_RANGE with its value instead of the step, and stops.
    So does a micro-op range that ends beyond the micro-op buffer, before any step, with the first micro-op outside.

    Offsets grow by additions, one register for each operand and loop; there is no multiplier.

    Attributes
    ----------
    start : In(1)
        Begin; only while no earlier instruction runs.
    loops : In(loops_layout)
        Held stable from ``start`` to ``done``.
    uop : scratchpad_read
        To the micro-op buffer.
    valid : Out(1)
    access : Out(access_layout)
        One step, with ``valid``.
    done : Out(1)
        Every step was issued and none faulted.
    fault : fault_port
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.uops = uop_layout(config)
        super().__init__(
            {
                "start": In(1),
                "loops": In(loops_layout(config)),
                "uop": Out(scratchpad_read(config.uop_index_bits, self.uops.size)),
                "valid": Out(1),
                "access": Out(access_layout(config)),
                "done": Out(1),
                "fault": Out(fault_port()),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        counters = self._count(m)
        self._index(m, counters)
        return m

    def _count(self, m: Module) -> data.View:
        """Step the three counters and return the loop flags beside the micro-op that they read."""
        loops = self.loops
        running, second = Signal(), Signal()
        uop = Signal(self.config.uop_index_bits)
        in_left, out_left = Signal.like(loops.iter_in), Signal.like(loops.iter_out)
        paired = ~loops.gemm & loops.use_src

        members = {"valid": 1, "first": 1, "body_end": 1, "inner_end": 1, "last": 1}
        flags = data.StructLayout({**members, **({"overwrite": 1} if self.config.gemm_overwrite else {})})
        now = Signal(flags)
        m.d.comb += [
            now.valid.eq(running & ~self.fault.raised),
            now.first.eq(paired & ~second),
            now.body_end.eq((uop + 1 == loops.uop_end) & ~now.first),
            now.inner_end.eq(now.body_end & (in_left == 0)),
            now.last.eq(now.inner_end & (out_left == 0)),
            self.uop.enable.eq(now.valid),
            self.uop.index.eq(uop),
        ]
        with m.If(running):
            m.d.sync += second.eq(now.first)
            with m.If(now.body_end):
                m.d.sync += [uop.eq(loops.uop_bgn), in_left.eq(in_left - 1)]
            with m.Elif(~now.first):
                m.d.sync += uop.eq(uop + 1)
            with m.If(now.inner_end):
                m.d.sync += [in_left.eq(loops.iter_in - 1), out_left.eq(out_left - 1)]
            with m.If(now.last):
                m.d.sync += running.eq(0)

        if self.config.gemm_overwrite:
            m.d.comb += now.overwrite.eq(loops.overwrite & self._at_first_values(m, running, now, uop))

        nothing = Signal()
        runs = (loops.uop_bgn < loops.uop_end) & (loops.iter_in != 0) & (loops.iter_out != 0)
        depth = self.config.uop_depth
        m.d.sync += nothing.eq(self.start & ~runs)
        with m.If(self.start & runs):
            m.d.sync += [
                uop.eq(loops.uop_bgn),
                in_left.eq(loops.iter_in - 1),
                out_left.eq(loops.iter_out - 1),
                second.eq(0),
            ]
            with m.If(loops.uop_end > depth):
                m.d.sync += self._raise(Mux(loops.uop_bgn > depth, loops.uop_bgn, depth))
            with m.Else():
                m.d.sync += running.eq(1)
        with m.If(nothing):
            m.d.comb += self.done.eq(1)

        for stage in range(READ_LATENCY):
            later = Signal(flags, name=f"flags{stage + 1}")
            m.d.sync += later.eq(now)
            now = later
        return now

    def _at_first_values(self, m: Module, running: Value, now: data.View, uop: Value) -> Value:
        """Whether each index that ``mask`` names is at its first value."""
        first_out, first_in = Signal(), Signal()
        with m.If(self.start):
            m.d.sync += [first_out.eq(1), first_in.eq(1)]
        with m.Elif(running & now.body_end):
            m.d.sync += first_in.eq(now.inner_end)
            with m.If(now.inner_end):
                m.d.sync += first_out.eq(0)
        at_first = {
            OverwriteMask.OUTER: first_out,
            OverwriteMask.INNER: first_in,
            OverwriteMask.UOP: uop == self.loops.uop_bgn,
        }
        mask = self.loops.mask
        return Cat(((mask & bit) == 0) | is_first for bit, is_first in at_first.items()).all()

    def _raise(self, value: Value) -> list:
        return [
            self.fault.raised.eq(1),
            self.fault.cause.eq(Cause.SCRATCHPAD_RANGE),
            self.fault.value.eq(value),
        ]

    def _index(self, m: Module, flags: data.View) -> None:
        """Add the offsets to the micro-op, then compare the sums with the depths."""
        loops = self.loops
        uop = data.View(self.uops, self.uop.tile)
        valid, first, last = Signal(), Signal(), Signal()
        m.d.sync += [valid.eq(flags.valid & ~self.fault.raised), first.eq(flags.first), last.eq(flags.last)]
        if self.config.gemm_overwrite:
            m.d.sync += self.access.overwrite.eq(flags.overwrite)

        sums = {}
        for operand in ("dst", "src", "wgt"):
            width = (((1 << len(uop[operand])) - 1) * (2 * (1 << len(loops.iter_in)) - 1)).bit_length()
            outer, offset = Signal(width, name=f"{operand}_outer"), Signal(width, name=f"{operand}_offset")
            index = Signal(width, name=f"{operand}_sum")
            with m.If(self.start):
                m.d.sync += [outer.eq(0), offset.eq(0)]
            with m.If(flags.valid):
                m.d.sync += index.eq(uop[operand] + offset)
                with m.If(flags.inner_end):
                    next_outer = outer + loops[f"{operand}_out"]
                    m.d.sync += [outer.eq(next_outer), offset.eq(next_outer)]
                with m.Elif(flags.body_end):
                    m.d.sync += offset.eq(offset + loops[f"{operand}_in"])
            sums[operand] = index

        config = self.config
        src_depth = Mux(loops.gemm, config.inp_depth, config.acc_depth)
        outside = Signal()
        with m.If(sums["dst"] >= config.acc_depth):
            m.d.comb += outside.eq(1)
        with m.If(loops.use_src & (sums["src"] >= src_depth)):
            m.d.comb += outside.eq(1)
        with m.If(loops.use_src & loops.gemm & (sums["wgt"] >= config.wgt_depth)):
            m.d.comb += outside.eq(1)
        first_outside = Mux(
            sums["dst"] >= config.acc_depth,
            sums["dst"],
            Mux(sums["src"] >= src_depth, sums["src"], sums["wgt"]),
        )
        with m.If(valid):
            m.d.comb += self.valid.eq(~outside & ~self.fault.raised)
            with m.If(last & self.valid):
                m.d.comb += self.done.eq(1)
            with m.If(outside & ~self.fault.raised):
                m.d.sync += self._raise(first_outside)
        m.d.comb += [
            self.access.dst.eq(sums["dst"]),
            self.access.src.eq(sums["src"]),
            self.access.wgt.eq(sums["wgt"]),
            self.access.first.eq(first),
        ]
