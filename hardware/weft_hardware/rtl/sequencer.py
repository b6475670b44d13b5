"""The loop nest of GEMM and ALU: micro-ops and loop offsets become scratchpad indices."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import OverwriteMask
from ..latencies import STEP_LATENCY as STEP_LATENCY
from ..registers import Cause
from .layouts import uop_layout
from .scratchpad import READ_LATENCY, scratchpad_read
from .signatures import fault_port
from .steps import access_layout, is_paired, loops_layout, operation_layout, reads_src


def _flags_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Where a step stands in its loops; ``last`` without ``valid`` ends an instruction of no steps."""
    flags = {"valid": 1, "first": 1, "body_end": 1, "inner_end": 1, "last": 1}
    return data.StructLayout({**flags, **({"overwrite": 1} if config.gemm_overwrite else {})})


class Sequencer(wiring.Component):
    """Runs ``for out: for in: for uop``, one step a cycle, two cycles a step for a register-register ALU operation.

    The first step comes `STEP_LATENCY` cycles after the instruction was accepted; from then on there is no gap,
    whatever the loop counts and however short the body. The next instruction is accepted while the last step of the one
    before is counted, so that none separates their steps either; one without steps takes a cycle. There is no
    back-pressure. A step's indices are exact sums (nothing that is used wraps); the first *used* one outside its
    scratchpad, in the order dst, src, wgt, raises SCRATCHPAD_RANGE with its value instead of the step, and stops. So
    does a micro-op range that ends beyond the micro-op buffer, once all steps before are out, with the first micro-op
    outside; that instruction is never accepted.

    Offsets grow by additions, one register for each operand and loop; there is no multiplier.

    Attributes
    ----------
    start : In stream of loops_layout
    uop : scratchpad_read
        To the micro-op buffer.
    valid : Out(1)
    access, operation : Out
        One step, with ``valid``.
    done : Out(1)
        The last step of an accepted instruction comes in this cycle, and did not fault; or it has none.
    busy : Out(1)
        An accepted instruction is not ``done``, or is so in this cycle.
    fault : fault_port
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.uops = uop_layout(config)
        super().__init__(
            {
                "start": In(stream.Signature(loops_layout(config))),
                "uop": Out(scratchpad_read(config.uop_index_bits, self.uops.size)),
                "valid": Out(1),
                "access": Out(access_layout(config)),
                "operation": Out(operation_layout()),
                "done": Out(1),
                "busy": Out(1),
                "fault": Out(fault_port()),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        running, beyond = Signal(), Signal()
        flags, loops = self._count(m, running, beyond)
        indexing = self._index(m, flags, loops)
        m.d.comb += self.busy.eq(running | flags.last | flags.valid | indexing)
        with m.If(self.start.valid & beyond & ~self.busy & ~self.fault.raised):
            bgn, depth = self.start.payload.uop_bgn, self.config.uop_depth
            m.d.sync += self._raise(Mux(bgn > depth, bgn, depth))
        return m

    def _count(self, m: Module, running: Signal, beyond: Signal) -> tuple[data.View, data.View]:
        """Step the three counters, one step in every cycle of ``running``.

        Returns the flags of the step whose micro-op is on ``uop.tile``, and its instruction's loops.
        """
        offered = self.start.payload
        present = Signal(loops_layout(self.config))
        nothing, first = Signal(), Signal()
        # The micro-op after the present one, and the last; whether the present step is the last of its loop, found out
        # with the step before; and whether a loop has one step only.
        following, last_uop = Signal(self.config.uop_index_bits), Signal(self.config.uop_index_bits)
        in_left, out_left = Signal.like(present.iter_in), Signal.like(present.iter_out)
        uop_last, in_last, out_last = Signal(), Signal(), Signal()
        one_uop, one_in = Signal(), Signal()

        layout = _flags_layout(self.config)
        now = Signal(layout)
        m.d.comb += [
            now.valid.eq(running & ~nothing & ~self.fault.raised),
            now.first.eq(first),
            now.body_end.eq(uop_last & ~now.first),
            now.inner_end.eq(now.body_end & in_last),
            now.last.eq(running & (nothing | (now.inner_end & out_last))),
        ]
        with m.If(running):
            m.d.sync += first.eq(~first & is_paired(present.operation))
            with m.If(now.body_end):
                m.d.sync += [in_left.eq(in_left - 1), in_last.eq(in_left == 1)]
            with m.If(now.inner_end):
                m.d.sync += [in_left.eq(present.iter_in - 1), in_last.eq(one_in)]
                m.d.sync += [out_left.eq(out_left - 1), out_last.eq(out_left == 1)]

        accepted, runs = Signal(), Signal()
        free = ~running | now.last
        m.d.comb += [
            runs.eq((offered.uop_bgn < offered.uop_end) & (offered.iter_in != 0) & (offered.iter_out != 0)),
            beyond.eq(runs & (offered.uop_end > self.config.uop_depth)),
            self.start.ready.eq(free & ~beyond & ~self.fault.raised),
            accepted.eq(self.start.valid & self.start.ready),
        ]
        with m.If(accepted):
            m.d.sync += [
                running.eq(1),
                nothing.eq(~runs),
                present.eq(offered),
                last_uop.eq(offered.uop_end - 1),
                in_left.eq(offered.iter_in - 1),
                out_left.eq(offered.iter_out - 1),
                one_uop.eq(offered.uop_bgn + 1 == offered.uop_end),
                one_in.eq(offered.iter_in == 1),
                in_last.eq(offered.iter_in == 1),
                out_last.eq(offered.iter_out == 1),
                first.eq(is_paired(offered.operation)),
            ]
        with m.Elif(now.last):
            m.d.sync += running.eq(0)

        if self.config.gemm_overwrite:
            at_first = self._at_first_values(m, running, accepted, present, now)
            m.d.comb += now.overwrite.eq(present.overwrite & at_first)

        # The micro-op of the next step is read while this one is counted.
        next_uop = Mux(free, offered.uop_bgn, Mux(now.body_end, present.uop_bgn, following))
        m.d.comb += [
            self.uop.enable.eq((accepted & runs) | (running & ~now.first & ~now.last)),
            self.uop.index.eq(next_uop),
        ]
        with m.If(self.uop.enable):
            m.d.sync += following.eq(next_uop + 1)
            with m.If(free):
                m.d.sync += uop_last.eq(offered.uop_bgn + 1 == offered.uop_end)
            with m.Else():
                m.d.sync += uop_last.eq(Mux(now.body_end, one_uop, following == last_uop))

        flags, loops = now, present
        for stage in range(1, READ_LATENCY):
            later, later_loops = Signal(layout, name=f"flags{stage}"), Signal.like(present, name=f"loops{stage}")
            changed = Signal(name=f"changed{stage}")
            m.d.sync += [later.eq(flags), changed.eq(accepted)]
            with m.If(changed):
                m.d.sync += later_loops.eq(loops)
            flags, loops, accepted = later, later_loops, changed
        return flags, loops

    def _at_first_values(self, m: Module, running: Value, accepted: Value, present: data.View, now: data.View) -> Value:
        """Whether each index that ``mask`` names is at its first value."""
        first_out, first_in, first_uop = Signal(), Signal(), Signal()
        with m.If(self.uop.enable):
            m.d.sync += first_uop.eq(accepted | now.body_end)
        with m.If(accepted):
            m.d.sync += [first_out.eq(1), first_in.eq(1)]
        with m.Elif(running & now.body_end):
            m.d.sync += first_in.eq(now.inner_end)
            with m.If(now.inner_end):
                m.d.sync += first_out.eq(0)
        at_first = {
            OverwriteMask.OUTER: first_out,
            OverwriteMask.INNER: first_in,
            OverwriteMask.UOP: first_uop,
        }
        mask = present.mask
        return Cat(((mask & bit) == 0) | is_first for bit, is_first in at_first.items()).all()

    def _raise(self, value: Value) -> list:
        return [
            self.fault.raised.eq(1),
            self.fault.cause.eq(Cause.SCRATCHPAD_RANGE),
            self.fault.value.eq(value),
        ]

    def _index(self, m: Module, flags: data.View, loops: data.View) -> Value:
        """Add the offsets to the micro-op, then compare the sums with the depths; returns whether there is a step."""
        uop = data.View(self.uops, self.uop.tile)
        valid, first, last = Signal(), Signal(), Signal()
        m.d.sync += [valid.eq(flags.valid & ~self.fault.raised), first.eq(flags.first), last.eq(flags.last)]
        if self.config.gemm_overwrite:
            m.d.sync += self.access.overwrite.eq(flags.overwrite)
        with m.If(flags.valid):
            m.d.sync += self.operation.eq(loops.operation)

        config = self.config
        depths = {
            "dst": config.acc_depth,
            "src": max(config.inp_depth, config.acc_depth),
            "wgt": config.wgt_depth,
        }
        sums = {}
        for operand in ("dst", "src", "wgt"):
            # An index that is used stops everything if it is outside. So the offset in it was within the depth before
            # it grew for the last time, and what is not used may wrap.
            grows = max(len(loops[f"{operand}_out"]), len(loops[f"{operand}_in"]))
            width = (depths[operand] + (1 << grows) + (1 << len(uop[operand]))).bit_length()
            outer, offset = Signal(width, name=f"{operand}_outer"), Signal(width, name=f"{operand}_offset")
            index = Signal(width, name=f"{operand}_sum")
            with m.If(flags.valid):
                m.d.sync += index.eq(uop[operand] + offset)
                with m.If(flags.last):
                    m.d.sync += [outer.eq(0), offset.eq(0)]
                with m.Elif(flags.inner_end):
                    next_outer = outer + loops[f"{operand}_out"]
                    m.d.sync += [outer.eq(next_outer), offset.eq(next_outer)]
                with m.Elif(flags.body_end):
                    m.d.sync += offset.eq(offset + loops[f"{operand}_in"])
            sums[operand] = index

        gemm, use_src = self.operation.gemm, reads_src(self.operation)
        src_depth = Mux(gemm, config.inp_depth, config.acc_depth)
        outside = Signal()
        with m.If(sums["dst"] >= config.acc_depth):
            m.d.comb += outside.eq(1)
        with m.If(use_src & (sums["src"] >= src_depth)):
            m.d.comb += outside.eq(1)
        with m.If(use_src & gemm & (sums["wgt"] >= config.wgt_depth)):
            m.d.comb += outside.eq(1)
        first_outside = Mux(
            sums["dst"] >= config.acc_depth,
            sums["dst"],
            Mux(sums["src"] >= src_depth, sums["src"], sums["wgt"]),
        )
        with m.If(valid & outside & ~self.fault.raised):
            m.d.sync += self._raise(first_outside)
        m.d.comb += [
            self.valid.eq(valid & ~outside & ~self.fault.raised),
            self.done.eq(last & (self.valid | ~valid) & ~self.fault.raised),
            self.access.dst.eq(sums["dst"]),
            self.access.src.eq(sums["src"]),
            self.access.wgt.eq(sums["wgt"]),
            self.access.first.eq(first),
        ]
        return valid | last
