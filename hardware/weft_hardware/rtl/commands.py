"""A command queue: the instructions that fetch dispatched to a module and that it has not retired."""

from __future__ import annotations

from amaranth import Module, Signal, unsigned
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import instruction_bits


class CommandQueue(wiring.Component):
    """Holds ``command_queue_depth`` instructions; each keeps its place until it *retires*.

    So a module that takes instructions ahead lets no more of them in, and a program that hangs because a queue is full
    does so however far its module looks ahead. The head is a register; one dispatched to an empty queue is there in the
    next cycle.

    Attributes
    ----------
    dispatch : In stream
    instruction : Out stream
        The head.
    retire : In(1)
        The oldest instruction that was taken is over.
    stop : In(1)
        Nothing is offered any more.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._bits = instruction_bits(config)
        self._depth = config.command_queue_depth
        word = stream.Signature(unsigned(self._bits))
        super().__init__({"dispatch": In(word), "instruction": Out(word), "retire": In(1), "stop": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.waiting = waiting = fifo.SyncFIFOBuffered(width=self._bits, depth=self._depth)
        head, filled = Signal(self._bits, reset_less=True), Signal()
        present = Signal(range(self._depth + 1))
        dispatched, take = Signal(), Signal()
        m.d.comb += [
            self.dispatch.ready.eq(present != self._depth),
            dispatched.eq(self.dispatch.valid & self.dispatch.ready),
            self.instruction.payload.eq(head),
            self.instruction.valid.eq(filled & ~self.stop),
            take.eq(~filled | (self.instruction.valid & self.instruction.ready)),
            waiting.r_en.eq(take),
            waiting.w_data.eq(self.dispatch.payload),
            waiting.w_en.eq(dispatched & ~(take & (waiting.level == 0))),
        ]
        m.d.sync += present.eq(present + dispatched - self.retire)
        with m.If(take):
            m.d.sync += filled.eq(waiting.r_rdy | (dispatched & (waiting.level == 0)))
            with m.If(waiting.r_rdy):
                m.d.sync += head.eq(waiting.r_data)
            with m.Elif(dispatched):
                m.d.sync += head.eq(self.dispatch.payload)
        return m
