"""The load module: LOADs and SETs of one queue, in order."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.bench import TINY, pack, seeded, simulate
from support.range_memory import RangeReader
from weft_hardware.encoding import encode
from weft_hardware.isa import Instruction, Load, Memory, Set, SetRegister, tile_bytes
from weft_hardware.registers import Cause
from weft_hardware.rtl.issue import IN_FLIGHT
from weft_hardware.rtl.load import LoadModule

PADDED = replace(TINY, pad_value=True)
PATIENCE = 200
PORT = 1
"""Cycles from the module's request to the bus: latencies here count from there."""


class Queue:
    """A load module, what answers its reads, and what it wrote, in order."""

    def __init__(self, config, seed: int, latency: int = 0) -> None:
        self.config = config
        self.dut = LoadModule(config)
        self.rng = seeded(seed)
        self.data = self.rng.randbytes(4096)
        self.reader = RangeReader(config, self.data, self.rng, latency=latency)
        self.written: list[tuple[str, int, int]] = []
        self.retired: list[int] = []
        """Cycles of `run` in which an instruction retired."""

    async def tick(self, ctx) -> tuple[bool, bool]:
        """One cycle; returns whether the head of the queue left it, and whether an instruction retired."""
        dut = self.dut
        self.reader.step(ctx, dut.read)
        for name in ("inp", "wgt"):
            port = getattr(dut, f"write_{name}")
            if ctx.get(port.enable):
                self.written.append((name, ctx.get(port.index), ctx.get(port.tile)))
        *_, taken, retires = await ctx.tick().sample(dut.instruction.ready, dut.retire)
        return bool(taken), bool(retires)

    async def run(self, ctx, queue: list[Instruction]) -> list[int]:
        """Feed instructions until the last one retires or one faults; returns the cycles in which each was taken."""
        dut, words = self.dut, list(encode(queue, self.config))
        cycles, now = [], 0
        while ctx.get(dut.status.retired) < len(queue) and not ctx.get(dut.fault.raised):
            assert now < PATIENCE, f"{ctx.get(dut.status.retired)} of {len(queue)} instructions retired"
            ctx.set(dut.instruction.valid, bool(words))
            ctx.set(dut.instruction.payload, int.from_bytes(words[0].tobytes(), "little") if words else 0)
            now += 1
            taken, retires = await self.tick(ctx)
            if taken and words:
                words.pop(0)
                cycles.append(now)
            if retires:
                self.retired.append(now)
        ctx.set(dut.instruction.valid, 0)
        for _ in range(3):
            await self.tick(ctx)
        return cycles


def pad_with(value: int) -> Set:
    return Set(register=SetRegister.LOAD_PAD, value=value)


def test_each_load_is_padded_with_what_was_set_last_before_it():
    """SET comes right behind a LOAD whose last tiles are padding, and right before the next one."""
    bench = Queue(PADDED, 1)
    block = Load(memory=Memory.INP, x_size=1, y_size=1, y_pad0=1, y_pad1=2)
    values = (0x12, 0xFFFFFF80, 0x7F, 0xAB00)

    async def testbench(ctx):
        queue: list[Instruction] = [block]
        for value in values:
            queue += [pad_with(value), replace(block, sram=4)]
        await bench.run(ctx, queue)
        size = tile_bytes(Memory.INP, PADDED)
        tile = int.from_bytes(bench.data[:size], "little")
        expected = [("inp", k, tile if k == 1 else 0) for k in range(4)]
        for value in values:
            pad = pack([value] * PADDED.block_in, PADDED.inp_bits)
            expected += [("inp", 4 + k, tile if k == 1 else pad) for k in range(4)]
        assert bench.written == expected

    simulate(bench.dut, testbench)


def test_weights_are_padded_with_zeros_whatever_was_set():
    bench = Queue(PADDED, 2)

    async def testbench(ctx):
        await bench.run(ctx, [pad_with(0x55), Load(memory=Memory.WGT, x_size=1, y_pad0=2)])
        assert bench.written == [("wgt", 0, 0), ("wgt", 1, 0)]

    simulate(bench.dut, testbench)


def test_a_launch_starts_with_initial_values():
    bench = Queue(PADDED, 3)

    async def testbench(ctx):
        await bench.run(ctx, [pad_with(0x55)])
        ctx.set(bench.dut.clear, 1)
        await bench.tick(ctx)
        ctx.set(bench.dut.clear, 0)
        ctx.set(bench.dut.instruction.valid, 1)
        word = encode([Load(memory=Memory.INP, x_size=1, y_pad0=1)], PADDED)
        ctx.set(bench.dut.instruction.payload, int.from_bytes(word.tobytes(), "little"))
        while not bench.written:
            await bench.tick(ctx)
        assert bench.written == [("inp", 0, 0)]

    simulate(bench.dut, testbench)


def test_set_takes_two_cycles_and_waits_for_the_loads_before():
    bench = Queue(PADDED, 4, PORT)
    load = Load(memory=Memory.WGT, x_size=1, y_size=1)

    async def testbench(ctx):
        taken = await bench.run(ctx, [load, pad_with(1), pad_with(2), load])
        begin = bench.retired[0]
        assert [cycle - begin for cycle in taken[1:]] == [1, 3, 4]
        assert [cycle - begin for cycle in bench.retired] == [0, 2, 4, 11]

    simulate(bench.dut, testbench)


@pytest.mark.parametrize(
    ("latency", "x_size", "rows", "alone", "each"),
    [(0, 0, 1, 4, 4), (0, 1, 1, 6, 4), (0, 8, 1, 13, 8), (0, 1, 4, 9, 7), (50, 1, 1, 56, 14.5), (50, 8, 1, 63, 16.25)],
)
def test_what_loads_cost(latency, x_size, rows, alone, each):
    """One LOAD from being accepted to its end, and each of a stream of them."""
    bench = Queue(replace(TINY, inp_depth=16), 6, latency + PORT)
    load = Load(memory=Memory.INP, x_size=x_size, y_size=rows, x_stride=2 * x_size)

    async def testbench(ctx):
        taken = await bench.run(ctx, [load] * 2 * IN_FLIGHT)
        retired = bench.retired
        assert retired[0] - taken[0] == alone
        assert {(later - one) / IN_FLIGHT for one, later in zip(retired, retired[IN_FLIGHT:], strict=False)} == {each}

    simulate(bench.dut, testbench)


@pytest.mark.parametrize(
    ("config", "register"),
    [(TINY, SetRegister.LOAD_PAD), (PADDED, SetRegister.LOAD_PAD + 1), (PADDED, SetRegister.PARAM)],
    ids=["not built", "no such number", "of another queue"],
)
def test_a_register_that_is_not_there_is_illegal(config, register):
    bench = Queue(config, 5)

    async def testbench(ctx):
        await bench.run(ctx, [Load(memory=Memory.INP, x_size=0), Set(register=register, value=1)])
        assert ctx.get(bench.dut.fault.raised)
        assert ctx.get(bench.dut.fault.cause) == Cause.ILLEGAL_INSTRUCTION
        assert ctx.get(bench.dut.fault.value) == 0
        assert ctx.get(bench.dut.status.retired) == 1

    simulate(bench.dut, testbench)
