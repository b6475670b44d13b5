"""The multiply-accumulate array of GEMM."""

from __future__ import annotations

from amaranth.hdl import Module, Shape, Signal
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
                products = [Signal(product_shape, name=f"product_{row}_{column}_{k}") for k in range(config.block_in)]
                with m.If(self.valid):
                    for k, product in enumerate(products):
                        m.d.sync += product.eq(self.inp[row][k] * self.wgt[column][k])
                with m.If(multiplied):
                    m.d.sync += self.sums[row][column].eq(sum(products[1:], start=products[0]))
        return m
