"""What the three modules do around every instruction: pop tokens, run, push tokens, retire."""

from __future__ import annotations

from amaranth import Module, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import Load, instruction_bits
from ..registers import ModuleState
from .layouts import instruction_layout
from .signatures import status_port, token_port


class Issue(wiring.Component):
    """Takes a module's instructions through their life, one after another.

    The instruction stays at the head of its command queue until it retires. One that pops and pushes nothing is
    offered on ``execute`` in the cycle after it reached the head, and retires in the cycle after ``completed``.
    Tokens are popped prev first, then next, and pushed likewise; both may go in one cycle.

    Parameters
    ----------
    config : AcceleratorConfig
    has_prev, has_next : bool
        Whether the module has that neighbour; flags that name one that does not exist are ignored.

    Attributes
    ----------
    instruction : In stream
        The command queue's head.
    prev, next : token ports, tied off for a neighbour that does not exist
    execute : Out stream
        The instruction, once its tokens are popped.
    completed : In(1)
        Pulses when the instruction on which ``execute`` was accepted has done all its work, in a later cycle.
    status : Out(status_port)
        ``retired`` counts since reset.
    """

    def __init__(self, config: AcceleratorConfig, *, has_prev: bool, has_next: bool) -> None:
        self._common = instruction_layout(Load, config)
        self._has_prev = has_prev
        self._has_next = has_next
        bits = instruction_bits(config)
        super().__init__(
            {
                "instruction": In(stream.Signature(unsigned(bits))),
                "prev": Out(token_port()),
                "next": Out(token_port()),
                "execute": Out(stream.Signature(unsigned(bits))),
                "completed": In(1),
                "status": Out(status_port()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        flags = self._common(self.instruction.payload)
        state = self.status.state
        # The present instruction's token of prev was popped or pushed, that of next was not yet.
        prev_popped, prev_pushed = Signal(), Signal()
        pop_prev, pop_next, push_prev, push_next = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            pop_prev.eq(flags.pop_prev & self._has_prev & ~prev_popped),
            pop_next.eq(flags.pop_next & self._has_next),
            push_prev.eq(flags.push_prev & self._has_prev & ~prev_pushed),
            push_next.eq(flags.push_next & self._has_next),
            self.execute.payload.eq(self.instruction.payload),
        ]

        with m.FSM():
            with m.State("POP"), m.If(self.instruction.valid):
                m.d.comb += [
                    state.eq(ModuleState.BUSY),
                    self.prev.pop.ready.eq(pop_prev),
                    self.next.pop.ready.eq(pop_next & (~pop_prev | self.prev.pop.valid)),
                ]
                with m.If(pop_prev & ~self.prev.pop.valid):
                    m.d.comb += state.eq(ModuleState.WAIT_POP_PREV)
                with m.Elif(pop_next & ~self.next.pop.valid):
                    m.d.comb += state.eq(ModuleState.WAIT_POP_NEXT)
                    m.d.sync += prev_popped.eq(1)
                with m.Else():
                    m.d.sync += prev_popped.eq(0)
                    m.next = "START"
            with m.State("START"):
                m.d.comb += [state.eq(ModuleState.BUSY), self.execute.valid.eq(1)]
                with m.If(self.execute.ready):
                    m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += state.eq(ModuleState.BUSY)
                with m.If(self.completed):
                    m.next = "PUSH"
            with m.State("PUSH"):
                m.d.comb += [
                    state.eq(ModuleState.BUSY),
                    self.prev.push.valid.eq(push_prev),
                    self.next.push.valid.eq(push_next & (~push_prev | self.prev.push.ready)),
                ]
                with m.If(push_prev & ~self.prev.push.ready):
                    m.d.comb += state.eq(ModuleState.WAIT_PUSH_PREV)
                with m.Elif(push_next & ~self.next.push.ready):
                    m.d.comb += state.eq(ModuleState.WAIT_PUSH_NEXT)
                    m.d.sync += prev_pushed.eq(1)
                with m.Else():
                    m.d.comb += self.instruction.ready.eq(1)
                    m.d.sync += [
                        prev_pushed.eq(0),
                        self.status.retired.eq(self.status.retired + 1),
                    ]
                    m.next = "POP"
        return m
