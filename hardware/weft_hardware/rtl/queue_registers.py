"""The registers of one command queue, which SET writes and later instructions of that queue use."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import QUEUE_REGISTERS, Queue, Set, SetRegister, layout, settable


def has_registers(config: AcceleratorConfig, queue: Queue) -> bool:
    """Whether any register of a queue is built, so that SET can be legal in it."""
    return any(QUEUE_REGISTERS[number].queue is queue for number in settable(config))


class QueueRegisters(wiring.Component):
    """What `isa.QUEUE_REGISTERS` declares for one queue, as far as the configuration builds it.

    A register takes ``value``'s low bits in the cycle after ``write``. One that the configuration leaves out is a
    constant, its initial value, so that whatever uses it needs no case of its own.

    Parameters
    ----------
    config : AcceleratorConfig
    queue : Queue

    Attributes
    ----------
    number : In
        SET's ``register`` field.
    value : In
        SET's ``value`` field.
    legal : Out(1)
        ``number`` is a register of this queue that this accelerator has; combinational.
    write : In(1)
        Write it; nothing happens unless it is legal.
    clear : In(1)
        Back to the initial values; a write of the same cycle is lost.
    <register> : Out
        Its value; named as `isa.SetRegister`, in lower case.
    """

    def __init__(self, config: AcceleratorConfig, queue: Queue) -> None:
        self._declared = {number: of for number, of in QUEUE_REGISTERS.items() if of.queue is queue}
        self._built: list[SetRegister] = sorted(settable(config) & self._declared.keys())
        fields = layout(Set, config)
        super().__init__(
            {
                "number": In(fields["register"].width),
                "value": In(fields["value"].width),
                "legal": Out(1),
                "write": In(1),
                "clear": In(1),
                **{number.name.lower(): Out(Shape(of.width, of.signed)) for number, of in self._declared.items()},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.legal.eq(Cat(self.number == number for number in self._built).any())
        for number, declared in self._declared.items():
            output = getattr(self, number.name.lower())
            if number not in self._built:
                m.d.comb += output.eq(declared.initial)
                continue
            held = Signal(output.shape(), name=f"held_{number.name.lower()}", init=declared.initial)
            m.d.comb += output.eq(held)
            with m.If(self.clear):
                m.d.sync += held.eq(declared.initial)
            with m.Elif(self.write & (self.number == number)):
                m.d.sync += held.eq(self.value)
        return m
