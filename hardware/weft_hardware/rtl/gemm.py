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
        terms = _packed_terms if self.packed else _plain_terms
        for row in range(config.batch):
            for column, addends in enumerate(terms(m, loaded, f"{row}", inp[row], wgt)):
                total = Signal(Shape(config.acc_bits, signed=True), name=f"sum_{row}_{column}", reset_less=True)
                with m.If(multiplied):
                    m.d.sync += total.eq(_tree(addends, config.acc_bits))
                m.d.comb += self.sums[row][column].eq(total)
        return m


def _plain_terms(m: Module, enable: Value, name: str, inp: data.View, wgt: data.View) -> list[list[Value]]:
    """One multiplier a product: for each column of the result the terms of its sum."""
    columns = []
    for column, weights in enumerate(wgt):
        products = []
        for k, (x, w) in enumerate(zip(inp, weights, strict=True)):
            product = Signal(Shape(len(x) + len(w), signed=True), name=f"product_{name}_{column}_{k}", reset_less=True)
            with m.If(enable):
                m.d.sync += product.eq(x * w)
            products.append(product)
        columns.append(products)
    return columns


def _borrow(low: Value) -> Value:
    """What the lower product took from the higher one."""
    return low[-1]


def _packed_terms(m: Module, enable: Value, name: str, inp: data.View, wgt: data.View) -> list[list[Value]]:
    """One multiplier for two columns: ``(high · 2^s + low) · x``, with ``s`` the bits of one product.

    The product's low ``s`` bits are ``low · x`` exactly. What lies above is ``high · x``, less one where ``low · x`` is
    negative; bit ``s - 1`` says where, and the sum of the column takes it as a carry. Each column is the lower one for
    every other element, so that each adder of the first level has one carry to take.

    Source
    ------
    AMD WP486, "Deep learning with INT8 optimization on Xilinx devices"; differs in that nothing is accumulated in the
    multiplier's block, whose 25-bit port leaves no guard bits between the products.
    """
    s = len(inp[0]) + len(wgt[0][0])
    columns = []
    for pair in range(0, len(wgt), 2):
        addends = [[], []]
        for k in range(0, len(inp), 2):
            lows, highs = [], []
            for place in range(2):
                low, high, x = wgt[pair + place][k + place], wgt[pair + 1 - place][k + place], inp[k + place]
                multiplicand = Cat(Const(0, s), high).as_signed() + low
                product = Signal(Shape(2 * s, signed=True), name=f"products_{name}_{pair}_{k + place}", reset_less=True)
                with m.If(enable):
                    m.d.sync += product.eq(multiplicand * x)
                lows.append(product[:s])
                highs.append(product[s:])
            for place in range(2):
                low, high, carry = lows[place], highs[1 - place], _borrow(lows[1 - place])
                total = Cat(Const(1, 1), low).as_signed() + Cat(carry, high).as_signed()
                addends[place].append(total[1:].as_signed())
        columns += addends
    return columns
