"""The vector ALU: one operation on every element of an accumulator tile."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import AluOp
from .gemm import acc_tile_layout


def add(a: Value, b: Value, subtract: Value) -> Value:
    """``a + b`` or ``a - b``, wrapped: one adder, whose carry comes in through a bit below the lowest."""
    width = len(a)
    total = Cat(subtract, a) + Cat(subtract, b ^ subtract.replicate(width))
    return total[1 : width + 1]


def shift(value: Value, amount: Value) -> Value:
    """``value >> amount``, arithmetic, or ``value << -amount``: every signed amount has its mathematical result.

    One funnel serves both directions, since ``value << k`` is the low word of ``(value · 2^w) >> (w - k)`` and
    ``w - k`` equals the amount's low bits. Both operands have ``w`` bits, a power of two; so has the result, unsigned.
    """
    width = len(value)
    near_bits = width.bit_length() - 1
    left, negative = amount[-1], value[-1]
    far_part = amount[near_bits:].as_signed()
    near = (far_part == 0) | (far_part == -1)
    funnel = Mux(left, Cat(Const(0, width), value).as_signed(), value.as_signed())
    beyond = Mux(negative & ~left, Const((1 << width) - 1, width), 0)
    return Mux(near, (funnel >> amount[:near_bits])[:width], beyond)


class VectorAlu(wiring.Component):
    """``result[i][j] = op(a[i][j], b[i][j])``, combinational, wrapped at the accumulator's width.

    Combinational because the result of one step may be an operand of the next: the loop through the forwarding
    register closes in one cycle for every operation, multiplication included. ``op`` is a legal `isa.AluOp`.

    No part of a lane's result is used twice, so that a simulator can skip all of it in cycles that do not take it.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        tile = acc_tile_layout(config)
        super().__init__({"op": In(3), "a": In(tile), "b": In(tile), "result": Out(tile)})

    def elaborate(self, platform) -> Module:
        m = Module()
        extended = self.config.alu_extensions
        for row in range(self.config.batch):
            for column in range(self.config.block_out):
                a, b, result = self.a[row][column], self.b[row][column], self.result[row][column]
                # A chain of multiplexers, not a switch: as a table of cases, lanes would be shared between them.
                chosen = (a * b)[: self.config.acc_bits].as_unsigned()
                chosen = Mux((self.op == AluOp.MIN) | (self.op == AluOp.MAX), self._extreme(a, b), chosen)
                if extended:
                    subtract = self.op == AluOp.SUB
                    total = add(a.as_unsigned(), b.as_unsigned(), subtract)
                    chosen = Mux((self.op == AluOp.ADD) | subtract, total, chosen)
                    chosen = Mux(self.op == AluOp.COPY, b.as_unsigned(), chosen)
                else:
                    chosen = Mux(self.op == AluOp.ADD, (a + b)[: self.config.acc_bits].as_unsigned(), chosen)
                shifted = shift(a.as_unsigned(), b.as_unsigned())
                m.d.comb += result.eq(Mux(self.op == AluOp.SHR, shifted, chosen))
        return m

    def _extreme(self, a: Value, b: Value) -> Value:
        """MIN or MAX, whichever ``op`` is."""
        return Mux((a < b) ^ (self.op == AluOp.MAX), a.as_unsigned(), b.as_unsigned())
