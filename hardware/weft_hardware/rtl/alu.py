"""The vector ALU: one operation on every element of an accumulator tile."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import AluOp
from .gemm import acc_tile_layout


def add(a: Value, b: Value, subtract: Value) -> Value:
    """``a + b`` or ``a - b``, wrapped: one adder, whose carry comes in through a bit below the lowest."""
    width = len(a)
    total = Cat(subtract, a) + Cat(subtract, b ^ subtract.replicate(width))
    return total[1 : width + 1]


def is_far(amount: Value) -> Value:
    """Whether a signed shift amount lies outside -w..w-1 for ``w`` bits: nothing of the value but its sign is left."""
    far_part = amount[len(amount).bit_length() - 1 :]
    return far_part.any() & ~far_part.all()


def shift(value: Value, amount: Value, far: Value) -> Value:
    """``value >> amount``, arithmetic, or ``value << -amount``: every amount has its mathematical result.

    A rotation serves both directions, since ``w - k`` equals the low bits of ``-k``; a mask says which of its bits
    count. ``far`` is `is_far` of the amount: known early, it keeps the look at all its bits out of the shifter. Both
    operands have ``w`` bits, a power of two; so has the result, unsigned.
    """
    width = len(value)
    near_bits = width.bit_length() - 1
    left, negative = amount[-1], value[-1]
    near = amount[:near_bits]
    rotated = (Cat(value, value) >> near)[:width]
    # The bits that stay in a shift to the right; those that come in from below in one to the left are as many, there.
    ones = (1 << width) - 1
    stays = Const(ones, width) >> near
    kept = Mux(far, 0, Mux(left, ~stays, stays))
    return (rotated & kept) | Mux(negative & ~left, ~kept, 0)[:width]


def multiply(a: Value, b: Value) -> tuple[Value, Value]:
    """``a · b``, wrapped, in two parts: that of a's lower half, and what its upper half adds to the upper half.

    Three products of half the width. The upper half of an operand comes last, see `whole`: nothing follows its product.
    """
    half = len(a) // 2
    low = a[:half] * b[:half]
    return Cat(low[:half], (low[half:] + (a[:half] * b[half:])[:half])[:half]), (a[half:] * b[:half])[:half]


def addend_layout(config: AcceleratorConfig) -> data.ArrayLayout:
    """What is to be added to the upper halves of a tile's elements."""
    return data.ArrayLayout(data.ArrayLayout(unsigned(config.acc_bits // 2), config.block_out), config.batch)


def far_layout(config: AcceleratorConfig) -> data.ArrayLayout:
    """`is_far` of a tile's elements."""
    return data.ArrayLayout(data.ArrayLayout(1, config.block_out), config.batch)


def whole(part: Value, addend: Value) -> Value:
    """An element of which ``part`` is known and what is still to be added to its upper half."""
    return (part + Cat(Const(0, len(addend)), addend))[: len(part)]


def control_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Which operation is carried out, decoded: at most one of all but ``greater``; none is MIN or MAX, as that says."""
    extended = {"subtract": 1, "copy": 1} if config.alu_extensions else {}
    return data.StructLayout({"multiply": 1, "shift": 1, "add": 1, "greater": 1, **extended})


def decode(op: Value, config: AcceleratorConfig) -> dict[str, Value]:
    """The fields of `control_layout` for a legal `isa.AluOp`."""
    known = {"multiply": AluOp.MUL, "shift": AluOp.SHR, "add": AluOp.ADD, "greater": AluOp.MAX}
    known |= {"subtract": AluOp.SUB, "copy": AluOp.COPY}
    return {name: op == known[name] for name, _ in control_layout(config)}


class VectorAlu(wiring.Component):
    """``result[i][j] = op(a[i][j], b[i][j])``, wrapped at the accumulator's width; a product in two parts, see `whole`.

    Combinational because the result of one step may be an operand of the next: the loop through the forwarding
    register closes in one cycle for every operation, multiplication included. A multiplication is too slow for an
    addition behind it, so that of its parts is left to who uses it.

    No part of a lane's result is used twice, so that a simulator can skip all of it in cycles that do not take it.

    Attributes
    ----------
    control : In(control_layout)
    a, b : In
    far : In
        `is_far` of each element of ``b``.
    result, addend : Out
        ``addend`` is to be added to the upper halves of ``result``; 0 but for a product.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        tile = acc_tile_layout(config)
        super().__init__(
            {
                "control": In(control_layout(config)),
                "a": In(tile),
                "b": In(tile),
                "far": In(far_layout(config)),
                "result": Out(tile),
                "addend": Out(addend_layout(config)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        control = self.control
        for row in range(self.config.batch):
            for column in range(self.config.block_out):
                a, b, result = self.a[row][column], self.b[row][column], self.result[row][column]
                # A chain of multiplexers, not a switch: as a table of cases, lanes would be shared between them. What
                # takes longest is chosen last.
                chosen = Mux((a < b) ^ control.greater, a.as_unsigned(), b.as_unsigned())
                if self.config.alu_extensions:
                    total = add(a.as_unsigned(), b.as_unsigned(), control.subtract)
                    chosen = Mux(control.add | control.subtract, total, chosen)
                    chosen = Mux(control.copy, b.as_unsigned(), chosen)
                else:
                    chosen = Mux(control.add, (a + b)[: self.config.acc_bits].as_unsigned(), chosen)
                shifted = shift(a.as_unsigned(), b.as_unsigned(), self.far[row][column])
                product, addend = multiply(a.as_unsigned(), b.as_unsigned())
                m.d.comb += [
                    result.eq(Mux(control.multiply, product, Mux(control.shift, shifted, chosen))),
                    self.addend[row][column].eq(Mux(control.multiply, addend, 0)),
                ]
        return m
