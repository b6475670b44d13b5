"""The registers that SET writes, of each queue, with all extensions built and with none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from amaranth.hdl import Module, Signal
from support.bench import TINY, seeded, simulate
from weft_hardware.isa import QUEUE_REGISTERS, Queue, SetRegister, settable
from weft_hardware.rtl.queue_registers import QueueRegisters

EVERYTHING = replace(
    TINY, pad_value=True, widening_load=True, gemm_overwrite=True, epilogue_lanes=1, residual=True, table=True
)

CONFIGS = {"all": EVERYTHING, "none": TINY, "no residual": replace(EVERYTHING, residual=False)}


def values(ctx, dut, queue):
    """What the outputs of a queue hold."""
    return {n: ctx.get(getattr(dut, n.name.lower())) for n, of in QUEUE_REGISTERS.items() if of.queue is queue}


@pytest.mark.parametrize("queue", Queue)
@pytest.mark.parametrize("name", CONFIGS)
def test_writes_and_clears_against_a_dictionary(name, queue):
    rng, config = seeded(int(queue)), CONFIGS[name]
    dut = QueueRegisters(config, queue)
    for n, of in QUEUE_REGISTERS.items():
        if of.queue is queue:
            shape = getattr(dut, n.name.lower()).shape()
            assert (shape.width, shape.signed) == (of.width, of.signed)
    initial = {n: of.initial for n, of in QUEUE_REGISTERS.items() if of.queue is queue}
    held = dict(initial)
    changes = 0

    async def testbench(ctx):
        nonlocal held, changes
        for _ in range(600):
            number = rng.randrange(64) if rng.random() < 0.3 else int(rng.choice(sorted(SetRegister)))
            raw = rng.choice((rng.getrandbits(32), 0, 0xFFFFFFFF, 255, 256))
            write, clear = rng.random() < 0.5, rng.random() < 0.03
            ctx.set(dut.number, number)
            ctx.set(dut.value, raw)
            ctx.set(dut.write, write)
            ctx.set(dut.clear, clear)
            legal = number in settable(config) and QUEUE_REGISTERS[SetRegister(number)].queue is queue
            assert ctx.get(dut.legal) == legal, hex(number)
            await ctx.tick()
            if clear:
                held = dict(initial)
            elif write and legal:
                held[SetRegister(number)] = QUEUE_REGISTERS[SetRegister(number)].value(raw)
                changes += 1
            assert values(ctx, dut, queue) == held
        assert bool(changes) == any(QUEUE_REGISTERS[n].queue is queue for n in settable(config))

    clocked = Module()
    clocked.submodules.registers = dut
    clocked.d.sync += Signal().eq(1)
    simulate(clocked, testbench)
