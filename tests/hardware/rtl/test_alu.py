"""The vector ALU against Python's integers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from amaranth.hdl import Cat, Module, Signal
from support.bench import TINY, pack, seeded, signed, simulate, unpack
from weft_hardware.isa import AluOp, alu_operations
from weft_hardware.rtl.alu import VectorAlu, decode, is_far, whole

BITS = TINY.acc_bits
EXTENDED = replace(TINY, alu_extensions=True)
LANES = TINY.batch * TINY.block_out
LOW, HIGH = -(1 << (BITS - 1)), (1 << (BITS - 1)) - 1
CORNERS = [0, 1, -1, 2, 31, 32, 33, -31, -32, -33, 63, 64, -64, LOW, LOW + 1, HIGH, HIGH - 1, 1 << 16, -(1 << 16)]


def expect(op: AluOp, a: int, b: int) -> int:
    if op is AluOp.SHR:
        b = max(min(b, 40), -40)
        return signed(a >> b if b >= 0 else a << -b, BITS)
    exact = {
        AluOp.MIN: min(a, b),
        AluOp.MAX: max(a, b),
        AluOp.ADD: a + b,
        AluOp.MUL: a * b,
        AluOp.COPY: b,
        AluOp.SUB: a - b,
    }
    return signed(exact[op], BITS)


@pytest.mark.parametrize(
    ("config", "op"),
    [
        pytest.param(config, op, id=f"{name}-{op.name}")
        for name, config in (("base", TINY), ("extended", EXTENDED))
        for op in sorted(alu_operations(config))
    ],
)
def test_every_operation(config, op):
    rng = seeded(int(op))
    pairs = [(a, b) for a in CORNERS for b in CORNERS]
    pairs += [(rng.randint(LOW, HIGH), rng.choice([rng.randint(-40, 40), rng.randint(LOW, HIGH)])) for _ in range(400)]
    pairs += pairs[: -len(pairs) % LANES]

    m = Module()
    m.submodules.dut = dut = VectorAlu(config)
    chosen, sums = Signal(3), Signal.like(dut.result)
    elements = [(dut.b[i][j], dut.far[i][j]) for i in range(config.batch) for j in range(config.block_out)]
    parts = [(dut.result[i][j], dut.addend[i][j]) for i in range(config.batch) for j in range(config.block_out)]
    m.d.comb += [dut.control[name].eq(value) for name, value in decode(chosen, config).items()]
    m.d.comb += [far.eq(is_far(b.as_unsigned())) for b, far in elements]
    m.d.comb += sums.eq(Cat(whole(part.as_unsigned(), addend) for part, addend in parts))
    m.d.sync += Signal().eq(1)

    async def testbench(ctx):
        ctx.set(chosen, op)
        for k in range(0, len(pairs), LANES):
            lanes = pairs[k : k + LANES]
            ctx.set(dut.a.as_value(), pack([a for a, _ in lanes], BITS))
            ctx.set(dut.b.as_value(), pack([b for _, b in lanes], BITS))
            assert unpack(ctx.get(sums.as_value()), LANES, BITS) == [expect(op, a, b) for a, b in lanes], lanes
            await ctx.tick()

    simulate(m, testbench)
