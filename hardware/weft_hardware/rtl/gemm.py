"""The multiply-accumulate array of GEMM."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Shape, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..errors import ConfigError
from ..latencies import MAC_LATENCY as MAC_LATENCY

MULTIPLIER_BITS = (25, 18)
"""Operand widths, two's complement, of the narrowest multiplier to pack for: the DSP48E1 of Xilinx 7-series.

Source: AMD UG479, "7 Series DSP48E1 Slice"."""


def require_packable(config: AcceleratorConfig) -> None:
    """Refuse a configuration of which two products do not fit one multiplier.

    Raises
    ------
    ConfigError
        If they do not.
    """
    wide, narrow = MULTIPLIER_BITS
    packed = config.inp_bits + 2 * config.wgt_bits + 1
    if packed > wide or config.inp_bits > narrow:
        raise ConfigError(
            f"packed multipliers take operands of inp_bits + 2 × wgt_bits + 1 ≤ {wide} bits, not {packed}; "
            "choose narrower elements, or build without packing"
        )


def _matrix(rows: int, columns: int, bits: int) -> data.ArrayLayout:
    return data.ArrayLayout(data.ArrayLayout(Shape(bits, signed=True), columns), rows)


def acc_tile_layout(config: AcceleratorConfig) -> data.ArrayLayout:
    """An accumulator tile as (batch, block_out) elements, row-major."""
    return _matrix(config.batch, config.block_out, config.acc_bits)


CHAIN = 4
"""Products that DSP blocks add up from one to the next, through the cascade between neighbours, within a cycle.

A hop costs less than a level of adders in LUTs and the wires to it, but hops follow each other: four of them and two
such levels are as long as two and three.
"""

PACKED_CHAIN = 2
"""The same of packed multipliers: more products do not fit beside each other."""


def _chain(terms: Sequence[Value], bits: int) -> Value:
    """The sum, each term added to that of the terms before: what a cascade of DSP blocks computes."""
    total = terms[0]
    for term in terms[1:]:
        total = (term + total)[:bits].as_signed()
    return total


def _tree(terms: Sequence[Value], bits: int) -> Value:
    """The sum of a power of two of terms, by pairs, so that the carry chains stay short.

    Every node has the final width. Synthesis narrows it again; the verilated model then has no sum of another width to
    extend, and skips the whole tree in cycles without products.
    """
    terms = [_extended(term, bits) for term in terms]
    while len(terms) > 1:
        terms = [(a + b)[:bits].as_signed() for a, b in zip(terms[::2], terms[1::2], strict=True)]
    return terms[0]


def _extended(term: Value, bits: int) -> Value:
    return Cat(term, term[-1].replicate(bits - len(term))).as_signed()


class MacArray(wiring.Component):
    """``inp · wgtᵀ`` of one pair of tiles a cycle, wrapped at the accumulator's width.

    Latency `MAC_LATENCY`: operands registered, products registered, sums registered, as a DSP block has its registers.
    Nothing stalls; a beat without ``valid`` leaves ``sums`` as they were.
    The accumulation itself is not here: the accumulator is read as late as possible, by `datapath.Datapath`.

    Parameters
    ----------
    config : AcceleratorConfig
    packed : bool
        Two products a multiplier, same sums, same latency.

    Attributes
    ----------
    valid : In(1)
    inp, wgt : In
        Tiles of (batch, block_in) and (block_out, block_in) elements.
    sums : Out
        (batch, block_out) sums.

    Raises
    ------
    ConfigError
        If two products of these widths do not fit one multiplier; see `require_packable`.
    """

    def __init__(self, config: AcceleratorConfig, packed: bool = False) -> None:
        if packed:
            require_packable(config)
        self.config = config
        self.packed = packed
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
        inp, wgt = Signal.like(self.inp, reset_less=True), Signal.like(self.wgt, reset_less=True)
        loaded, multiplied = Signal(), Signal()
        m.d.sync += [loaded.eq(self.valid), multiplied.eq(loaded)]
        with m.If(self.valid):
            m.d.sync += [inp.eq(self.inp), wgt.eq(self.wgt)]
        terms = self._packed_terms if self.packed else self._plain_terms
        for row in range(config.batch):
            for column, addends in enumerate(terms(m, loaded, f"{row}", inp[row], wgt)):
                total = Signal(Shape(config.acc_bits, signed=True), name=f"sum_{row}_{column}", reset_less=True)
                with m.If(multiplied):
                    m.d.sync += total.eq(_tree(addends, config.acc_bits))
                m.d.comb += self.sums[row][column].eq(total)
        return m

    def _plain_terms(self, m: Module, enable: Value, name: str, inp: data.View, wgt: data.View) -> list[list[Value]]:
        """One multiplier a product: for each column of the result the terms of its sum."""
        bits = self.config.acc_bits
        columns = []
        for column, weights in enumerate(wgt):
            products = []
            for k, (x, w) in enumerate(zip(inp, weights, strict=True)):
                shape = Shape(len(x) + len(w), signed=True)
                product = Signal(shape, name=f"product_{name}_{column}_{k}", reset_less=True)
                with m.If(enable):
                    m.d.sync += product.eq(x * w)
                products.append(_extended(product, bits))
            columns.append([_chain(products[k : k + CHAIN], bits) for k in range(0, len(products), CHAIN)])
        return columns

    def _packed_terms(self, m: Module, enable: Value, name: str, inp: data.View, wgt: data.View) -> list[list[Value]]:
        """One multiplier for two columns: ``(high · 2^s + low) · x``, with ``s`` the bits of one product.

        Two of these are added before the halves part. With `_offset` added as well, what is in the lower ``s`` bits is
        never negative and takes nothing from the higher ones: it is the lower sum and ``2^(s-1) - BIAS``; above is the
        higher sum and ``BIAS``. Inverting the top bit of the one subtracts ``2^(s-1)``. Each column is the lower one
        for every other pair of elements, so that the biases of a column's terms cancel.

        Source
        ------
        AMD WP486, "Deep learning with INT8 optimization on Xilinx devices"; differs in that a pair of products is all
        that is accumulated in the multipliers' blocks, whose 25-bit port leaves no guard bits between the products.
        """
        s = len(inp[0]) + len(wgt[0][0])
        columns = []
        for pair in range(0, len(wgt), 2):
            addends = [[], []]
            for first in range(0, len(inp), PACKED_CHAIN):
                lower = first // PACKED_CHAIN % 2
                total: Value = Const(_offset(s), Shape(2 * s + 1, signed=True))
                for k in range(first, first + PACKED_CHAIN):
                    low, high, x = wgt[pair + lower][k], wgt[pair + 1 - lower][k], inp[k]
                    multiplicand = Cat(Const(0, s), high).as_signed() + low
                    product = Signal(Shape(2 * s, signed=True), name=f"products_{name}_{pair}_{k}", reset_less=True)
                    with m.If(enable):
                        m.d.sync += product.eq(multiplicand * x)
                    total = (product + total)[: 2 * s + 1].as_signed()
                addends[lower].append(Cat(total[: s - 1], ~total[s - 1]).as_signed())
                addends[1 - lower].append(total[s:].as_signed())
            columns += addends
        return columns


BIAS = 1
"""Without it the largest sum of two lower products, twice the square of the lowest element, would need a bit more."""


def _offset(s: int) -> int:
    """What is added to two pairs of products of ``s`` bits each."""
    return (BIAS << s) + (1 << (s - 1)) - BIAS
