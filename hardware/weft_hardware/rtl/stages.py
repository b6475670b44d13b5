"""Registers of a pipeline whose stages move on by themselves, each when a value reached it."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value


class Stages:
    """Makes registers that belong to a stage: stage ``k``'s load when ``enables[k]`` is high.

    No reset: what they hold means nothing before a value has come.
    """

    def __init__(self, m: Module, enables: Value) -> None:
        self._m = m
        self._enables = enables

    def __call__(self, stage: int, value: Value, name: str) -> Signal:
        """``value`` as of the last cycle in which the stage moved on; of its shape."""
        register = Signal(Value.cast(value).shape(), name=name, reset_less=True)
        with self._m.If(self._enables[stage]):
            self._m.d.sync += register.eq(value)
        return register

    def wire(self, value: Value) -> Signal:
        """``value`` without a register: an expression is elaborated anew wherever it is used, a signal is not."""
        wire = Signal(value.shape(), name="")
        self._m.d.comb += wire.eq(value)
        return wire

    def delayed(self, first: int, last: int, value: Value, name: str) -> Value:
        """``value``, which belongs to stage ``first - 1``, carried on to stage ``last``."""
        for stage in range(first, last + 1):
            value = self(stage, value, f"{name}_{stage}")
        return value
