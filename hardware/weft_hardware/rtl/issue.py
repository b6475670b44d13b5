"""What the three modules do around every instruction: pop tokens, run, push tokens, retire."""

from __future__ import annotations

from amaranth import Module, Mux, Signal, Value, unsigned
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import Load, instruction_bits
from ..latencies import IN_FLIGHT
from ..registers import ModuleState
from .layouts import instruction_layout
from .signatures import status_port, token_port


class Issue(wiring.Component):
    """Takes a module's instructions through their life, in order; several may run at once.

    An instruction is offered on ``execute`` in the first cycle in which its tokens are there, and leaves the command
    queue when it is accepted. Tokens are popped then, prev and next in one cycle; one that has only prev's takes it and
    waits for next's. When the oldest instruction that runs is ``completed`` it pushes its tokens and retires, in the
    same cycle where both queues take them, prev before next.

    As far as a neighbour or the host can tell, one instruction ran after another: none is begun, nor any of its
    tokens popped, unless every push still owed by those that run is certain to be taken. So an instruction that waits
    for ever to push is the last one that ran.

    Parameters
    ----------
    config : AcceleratorConfig
    has_prev, has_next : bool
        Whether the module has that neighbour; flags that name one that does not exist are ignored.
    in_flight : int
        Instructions that may run at once.

    Attributes
    ----------
    instruction : In stream
        The command queue's head.
    prev, next : token ports, tied off for a neighbour that does not exist
    execute : Out stream
        The instruction, once its tokens are there.
    completed : In(1)
        Pulses when the oldest instruction that runs has done all its work, in a cycle after it was accepted.
    retire : Out(1)
        It pushed its tokens.
    running, alone : Out(1)
        An accepted instruction has not retired; no more than one has not.
    status : Out(status_port)
        ``retired`` counts since ``clear``.
    clear : In(1)
        A launch.
    """

    def __init__(
        self, config: AcceleratorConfig, *, has_prev: bool, has_next: bool, in_flight: int = IN_FLIGHT
    ) -> None:
        self._common = instruction_layout(Load, config)
        self._in_flight = in_flight
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
                "retire": Out(1),
                "running": Out(1),
                "alone": Out(1),
                "status": Out(status_port()),
                "clear": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        flags = self._common(self.instruction.payload)
        # Whether each running instruction pushes to prev and to next, the oldest first.
        m.submodules.owing = owing = fifo.SyncFIFO(width=2, depth=self._in_flight)
        owed = [self._owed(m, side, n, owing) for n, side in enumerate(("prev", "next"))]

        issued = Signal()
        prev_missing, next_missing = self._begin(m, flags, owing.w_rdy & owed[0] & owed[1], issued)
        m.d.comb += [
            owing.w_data[0].eq(flags.push_prev & self._has_prev),
            owing.w_data[1].eq(flags.push_next & self._has_next),
            owing.w_en.eq(issued),
            self.running.eq(owing.r_rdy),
            self.alone.eq(owing.level <= 1),
        ]
        prev_full, next_full = self._end(m, owing)

        state = self.status.state
        with m.If(prev_full):
            m.d.comb += state.eq(ModuleState.WAIT_PUSH_PREV)
        with m.Elif(next_full):
            m.d.comb += state.eq(ModuleState.WAIT_PUSH_NEXT)
        with m.Elif(self.running | ~self.instruction.valid):
            m.d.comb += state.eq(Mux(self.running, ModuleState.BUSY, ModuleState.IDLE))
        with m.Elif(prev_missing):
            m.d.comb += state.eq(ModuleState.WAIT_POP_PREV)
        with m.Elif(next_missing):
            m.d.comb += state.eq(ModuleState.WAIT_POP_NEXT)
        with m.Else():
            m.d.comb += state.eq(ModuleState.BUSY)
        return m

    def _owed(self, m: Module, side: str, bit: int, owing: fifo.SyncFIFO) -> Value:
        """Count the pushes to one side that running instructions owe; returns whether all will be taken."""
        port = getattr(self, side)
        count = Signal(range(self._in_flight + 1), name=f"owed_{side}")
        m.d.sync += count.eq(count + (owing.w_en & owing.w_data[bit]) - (port.push.valid & port.push.ready))
        return count <= port.room

    def _begin(self, m: Module, flags: Value, may_begin: Value, issued: Signal) -> tuple[Value, Value]:
        """Pop the head's tokens and offer it; returns which token it lacks."""
        # The head's token of prev was popped, that of next was not yet.
        prev_popped = Signal()
        pop_prev, pop_next, offered = Signal(), Signal(), Signal()
        prev_missing, next_missing = pop_prev & ~self.prev.pop.valid, pop_next & ~self.next.pop.valid
        m.d.comb += [
            pop_prev.eq(flags.pop_prev & self._has_prev & ~prev_popped),
            pop_next.eq(flags.pop_next & self._has_next),
            offered.eq(self.instruction.valid & may_begin),
            self.execute.payload.eq(self.instruction.payload),
            self.execute.valid.eq(offered & ~prev_missing & ~next_missing),
            issued.eq(self.execute.valid & self.execute.ready),
            self.instruction.ready.eq(issued),
            self.prev.pop.ready.eq(pop_prev & (issued | (offered & next_missing))),
            self.next.pop.ready.eq(pop_next & issued),
        ]
        with m.If(issued):
            m.d.sync += prev_popped.eq(0)
        with m.Elif(self.prev.pop.valid & self.prev.pop.ready):
            m.d.sync += prev_popped.eq(1)
        return prev_missing, next_missing

    def _end(self, m: Module, owing: fifo.SyncFIFO) -> tuple[Value, Value]:
        """Push the tokens of the oldest instruction that runs; returns which of its neighbours does not take one."""
        # Instructions that are completed and did not retire; the oldest one's token of prev was pushed.
        waiting, prev_pushed = Signal(range(self._in_flight + 1)), Signal()
        over, push_prev, push_next = Signal(), Signal(), Signal()
        prev_blocked, next_blocked, prev_full, next_full = Signal(), Signal(), Signal(), Signal()
        # That it is over is known last.
        m.d.comb += [
            over.eq(self.completed | (waiting != 0)),
            push_prev.eq(owing.r_data[0] & ~prev_pushed),
            push_next.eq(owing.r_data[1]),
            prev_blocked.eq(push_prev & ~self.prev.push.ready),
            next_blocked.eq(push_next & ~self.next.push.ready),
            prev_full.eq(over & prev_blocked),
            next_full.eq(over & next_blocked & ~prev_blocked),
            self.prev.push.valid.eq(over & push_prev),
            self.next.push.valid.eq(over & push_next & ~prev_blocked),
            self.retire.eq(over & ~(prev_blocked | next_blocked)),
            owing.r_en.eq(self.retire),
        ]
        m.d.sync += waiting.eq(waiting + self.completed - self.retire)
        with m.If(self.retire):
            m.d.sync += [self.status.retired.eq(self.status.retired + 1), prev_pushed.eq(0)]
        with m.Elif(next_full):
            m.d.sync += prev_pushed.eq(1)
        with m.If(self.clear):
            m.d.sync += self.status.retired.eq(0)
        return prev_full, next_full
