"""The multiply-accumulate array against numpy."""

from __future__ import annotations

import gc
import itertools
import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import UnusedElaboratable
from support.bench import TINY, pack, seeded, signed, simulate, unpack
from weft_hardware.errors import ConfigError
from weft_hardware.rtl.gemm import MAC_LATENCY, MacArray


@pytest.mark.parametrize(
    ("packed", "batch", "block_in", "block_out", "inp_bits", "wgt_bits"),
    [
        (False, 1, 4, 4, 8, 8),
        (False, 2, 4, 8, 8, 4),
        (False, 2, 8, 4, 4, 16),
        (False, 1, 16, 4, 16, 16),
        (True, 1, 4, 4, 8, 8),
        (True, 2, 4, 8, 8, 4),
        (True, 1, 8, 4, 16, 4),
        (True, 2, 16, 4, 4, 8),
    ],
)
def test_sums(packed, batch, block_in, block_out, inp_bits, wgt_bits):
    config = replace(TINY, batch=batch, block_in=block_in, block_out=block_out, inp_bits=inp_bits, wgt_bits=wgt_bits)
    dut = MacArray(config, packed)
    rng = seeded(batch * 1000 + block_in * 10 + inp_bits)

    def draw(count: int, bits: int) -> list[int]:
        extremes = [-(1 << (bits - 1)), (1 << (bits - 1)) - 1]
        pool = extremes if rng.random() < 0.4 else range(extremes[0], extremes[1] + 1)
        return [rng.choice(pool) for _ in range(count)]

    async def testbench(ctx):
        due: list[list[int] | None] = [None] * MAC_LATENCY
        for valid in itertools.chain([1] * 20, (rng.randrange(2) for _ in range(40))):
            inp, wgt = draw(batch * block_in, inp_bits), draw(block_out * block_in, wgt_bits)
            ctx.set(dut.valid, valid)
            ctx.set(dut.inp.as_value(), pack(inp, inp_bits))
            ctx.set(dut.wgt.as_value(), pack(wgt, wgt_bits))
            if due[0] is not None:
                assert unpack(ctx.get(dut.sums.as_value()), batch * block_out, config.acc_bits) == due[0]
            product = np.array(inp, object).reshape(batch, -1) @ np.array(wgt, object).reshape(block_out, -1).T
            due = [*due[1:], [signed(int(v), config.acc_bits) for v in product.flat] if valid else due[-1]]
            await ctx.tick()

    simulate(dut, testbench)


def test_wide_elements_are_not_packed():
    config = replace(TINY, inp_bits=8, wgt_bits=16)
    message = (
        "packed multipliers take operands of inp_bits + 2 × wgt_bits + 1 ≤ 25 bits, not 41; "
        "choose narrower elements, or build without packing"
    )
    with warnings.catch_warnings():
        # What its constructor refuses is never elaborated, and says so when it is collected.
        warnings.simplefilter("ignore", UnusedElaboratable)
        with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
            MacArray(config, packed=True)
        gc.collect()
