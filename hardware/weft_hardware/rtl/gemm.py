"""The multiply-accumulate array of GEMM."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Shape, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig

MAC_LATENCY = 2
"""Cycles from the operands to the sums: registered products, registered sums."""


def _matrix(rows: int, columns: int, bits: int) -> data.ArrayLayout:
    return data.ArrayLayout(data.ArrayLayout(Shape(bits, signed=True), columns), rows)


def acc_tile_layout(config: AcceleratorConfig) -> data.ArrayLayout:
    """An accumulator tile as (batch, block_out) elements, row-major."""
    return _matrix(config.batch, config.block_out, config.acc_bits)


def _tree(terms: Sequence[Value], bits: int) -> Value:
    """The sum of a power of two of terms, by pairs, so that the carry chains stay short.

    Every node has the final width. Synthesis narrows it again; the verilated model then has no sum of another width to
    extend, and skips the whole tree in cycles without products.
    """
    terms = [Cat(term, term[-1].replicate(bits - len(term))).as_signed() for term in terms]
    while len(terms) > 1:
        terms = [(a + b)[:bits].as_signed() for a, b in zip(terms[::2], terms[1::2], strict=True)]
    return terms[0]


class MacArray(wiring.Component):
    """``inp · wgtᵀ`` of one pair of tiles a cycle, wrapped at the accumulator's width.

    Latency `MAC_LATENCY`. The operands come from registers (the scratchpads' outputs), so each multiplier has its input
    and product registered. Nothing stalls; a beat without ``valid`` leaves ``sums`` as they were.
    The accumulation itself is not here: the accumulator is read as late as possible, by `datapath.Datapath`.

    Attributes
    ----------
    valid : In(1)
    inp, wgt : In
        Tiles of (batch, block_in) and (block_out, block_in) elements.
    sums : Out
        (batch, block_out) sums.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "valid": In(1),
                "inp": In(_matrix(config.batch, config.block_in, config.inp_bits)),
                "wgt": In(_matrix(config.block_out, config.block_in, config.wgt_bits)),
                "sums": Out(acc_tile_layout(config)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        multiplied = Signal()
        m.d.sync += multiplied.eq(self.valid)
        product_shape = Shape(config.inp_bits + config.wgt_bits, signed=True)
        for row in range(config.batch):
            for column in range(config.block_out):
                name = f"{row}_{column}"
                products = [
                    Signal(product_shape, name=f"product_{name}_{k}", reset_less=True) for k in range(config.block_in)
                ]
                total = Signal(Shape(config.acc_bits, signed=True), name=f"sum_{name}", reset_less=True)
                with m.If(self.valid):
                    for k, product in enumerate(products):
                        m.d.sync += product.eq(self.inp[row][k] * self.wgt[column][k])
                with m.If(multiplied):
                    m.d.sync += total.eq(_tree(products, config.acc_bits))
                m.d.comb += self.sums[row][column].eq(total)
        return m
