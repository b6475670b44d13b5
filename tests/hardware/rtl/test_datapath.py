"""The compute pipeline: hazards on accumulators at every distance, and stores beside it."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import pytest
from support.bench import TINY, pack, seeded, signed, simulate, unpack
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import AluOp
from weft_hardware.rtl.datapath import DATAPATH_LATENCY, Datapath
from weft_hardware.rtl.signatures import ACC_READ_LATENCY

CONFIG = replace(TINY, batch=2, alu_extensions=True, gemm_overwrite=True)
LANES = CONFIG.batch * CONFIG.block_out
BITS = CONFIG.acc_bits

Tile = list[int]


@dataclass(frozen=True)
class Step:
    """One GEMM step without ``op``, else one ALU step, whose second operand is an accumulator without ``imm``."""

    dst: int
    src: int = 0
    wgt: int = 0
    reset: int = 0
    overwrite: int = 0
    op: AluOp | None = None
    imm: int | None = None
    idle: int = 0
    """Empty cycles before the step."""


def alu(op: AluOp, a: int, b: int) -> int:
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


class Model:
    """Contents of the scratchpads; a step at a time."""

    def __init__(self, rng: random.Random, config: AcceleratorConfig) -> None:
        self.config = config
        self.inp = [
            [rng.randint(-128, 127) for _ in range(config.batch * config.block_in)] for _ in range(config.inp_depth)
        ]
        self.wgt = [
            [rng.randint(-128, 127) for _ in range(config.block_out * config.block_in)] for _ in range(config.wgt_depth)
        ]
        self.acc = [[rng.randint(-(1 << 31), (1 << 31) - 1) for _ in range(LANES)] for _ in range(config.acc_depth)]

    def step(self, step: Step) -> None:
        if step.op is not None:
            second = self.acc[step.src] if step.imm is None else [step.imm] * LANES
            self.acc[step.dst] = [alu(step.op, a, b) for a, b in zip(self.acc[step.dst], second, strict=True)]
        elif step.reset:
            self.acc[step.dst] = [0] * LANES
        elif step.overwrite:
            self.acc[step.dst] = self._dot(step)
        else:
            self.acc[step.dst] = [signed(a + s, BITS) for a, s in zip(self.acc[step.dst], self._dot(step), strict=True)]

    def _dot(self, step: Step) -> Tile:
        depth = self.config.block_in
        rows = [self.inp[step.src][k : k + depth] for k in range(0, self.config.batch * depth, depth)]
        columns = [self.wgt[step.wgt][k : k + depth] for k in range(0, self.config.block_out * depth, depth)]
        return [sum(a * b for a, b in zip(row, column, strict=True)) for row in rows for column in columns]


async def fill(ctx, dut: Datapath, model: Model) -> None:
    memories = [(dut.write_inp, model.inp, 8), (dut.write_wgt, model.wgt, 8), (dut.write_acc, model.acc, BITS)]
    for port, tiles, bits in memories:
        ctx.set(port.enable, 1)
        for index, tile in enumerate(tiles):
            ctx.set(port.index, index)
            ctx.set(port.tile, pack(tile, bits))
            await ctx.tick()
        ctx.set(port.enable, 0)


async def issue(ctx, dut: Datapath, step: Step) -> None:
    ctx.set(dut.valid, 0)
    for _ in range(step.idle):
        await ctx.tick()
    ctx.set(dut.valid, 1)
    for name in ("dst", "src", "wgt", "overwrite"):
        ctx.set(dut.access[name], getattr(step, name))
    operation = dut.operation
    ctx.set(operation.gemm, step.op is None)
    ctx.set(operation.reset, step.reset)
    ctx.set(operation.alu_op, step.op or 0)
    ctx.set(operation.use_imm, step.imm is not None)
    ctx.set(operation.immediate, step.imm or 0)
    for first in (1, 0) if step.op is not None and step.imm is None else (0,):
        ctx.set(dut.access.first, first)
        await ctx.tick()
    ctx.set(dut.valid, 0)


async def read(ctx, dut: Datapath, index: int) -> Tile:
    """One accumulator through the store's port; the pipeline must not hold its bank for ever."""
    ctx.set(dut.store.request.valid, 1)
    ctx.set(dut.store.request.payload, index)
    while not ctx.get(dut.store.request.ready):
        await ctx.tick()
    await ctx.tick()
    ctx.set(dut.store.request.valid, 0)
    await ctx.tick().repeat(ACC_READ_LATENCY - 1)
    return unpack(ctx.get(dut.store.tile), LANES, BITS)


def check(steps: list[Step], rng: random.Random) -> None:
    model = Model(rng, CONFIG)
    dut = Datapath(CONFIG)

    async def testbench(ctx):
        await fill(ctx, dut, model)
        for step in steps:
            model.step(step)
            await issue(ctx, dut, step)
        while ctx.get(dut.busy):
            await ctx.tick()
        for index, expected in enumerate(model.acc):
            assert await read(ctx, dut, index) == expected, f"accumulator {index}"

    simulate(dut, testbench)


def a_step(rng: random.Random, dst: int, accumulators: list[int]) -> Step:
    idle = rng.choice([0, 0, 0, 0, 1, 2, 3])
    kind = rng.choice(["gemm", "gemm", "gemm", "overwrite", "reset", "imm", "reg"])
    if kind in ("gemm", "overwrite", "reset"):
        src, wgt = rng.randrange(CONFIG.inp_depth), rng.randrange(CONFIG.wgt_depth)
        return Step(dst, src, wgt, reset=int(kind == "reset"), overwrite=int(kind == "overwrite"), idle=idle)
    op = rng.choice(sorted(AluOp))
    imm = rng.choice([rng.randint(-40, 40), rng.randint(-(1 << 15), (1 << 15) - 1)]) if kind == "imm" else None
    return Step(dst, rng.choice(accumulators), op=op, imm=imm, idle=idle)


@pytest.mark.parametrize("distance", range(1, DATAPATH_LATENCY + 2))
def test_the_same_accumulator_at_one_distance(distance):
    """The second step of a pair sees the first, whatever lies between; other accumulators stay apart."""
    steps = []
    for make in (Step, lambda dst: Step(dst, overwrite=1), lambda dst: Step(dst, op=AluOp.MUL, imm=-3)):
        others = [make(dst) for dst in range(2, 2 + distance - 1)]
        steps += [make(1), *others, make(1), *others, make(1)]
    check(steps, seeded(distance))


@pytest.mark.parametrize("idle", range(DATAPATH_LATENCY + 2))
def test_register_operands_at_one_distance(idle):
    """A register-register step sees a GEMM's result as either operand, and the next step sees its result."""
    add = Step(9, 5, op=AluOp.ADD, idle=idle)
    after = [Step(9, idle=idle), replace(add, src=9)]
    check([Step(5), add, *after, Step(9), add, *after], seeded(idle))


@pytest.mark.parametrize("seed", range(8))
def test_random_steps_on_few_accumulators(seed):
    rng = seeded(seed)
    accumulators = rng.sample(range(CONFIG.acc_depth), rng.choice([1, 2, 3, 5]))
    check([a_step(rng, rng.choice(accumulators), accumulators) for _ in range(250)], rng)


def test_a_store_waits_for_the_half_that_is_read_and_for_no_other():
    dut = Datapath(CONFIG)

    async def testbench(ctx):
        ctx.set(dut.valid, 1)
        ctx.set(dut.operation.gemm, 1)
        await ctx.tick().repeat(2)
        ctx.set(dut.store.request.valid, 1)
        for _ in range(20):
            ctx.set(dut.store.request.payload, 0)
            assert not ctx.get(dut.store.request.ready)
            ctx.set(dut.store.request.payload, CONFIG.acc_depth - 1)
            assert ctx.get(dut.store.request.ready)
            await ctx.tick()
        ctx.set(dut.store.request.payload, 0)
        for member in (dut.operation.reset, dut.access.overwrite):
            ctx.set(member, 1)
            await ctx.tick().repeat(2)
            assert ctx.get(dut.store.request.ready), "a step that reads nothing keeps a store waiting"
            ctx.set(member, 0)
            await ctx.tick().repeat(2)
            assert not ctx.get(dut.store.request.ready)

    simulate(dut, testbench)


def test_the_latency_is_what_it_says():
    dut = Datapath(CONFIG)
    model = Model(seeded(3), CONFIG)
    step = Step(1, 1, 1)

    async def testbench(ctx):
        await fill(ctx, dut, model)
        for cycles, busy in [(DATAPATH_LATENCY - 2, True), (DATAPATH_LATENCY - 1, False)]:
            before = model.acc[1]
            model.step(step)
            assert model.acc[1] != before
            await issue(ctx, dut, step)
            await ctx.tick().repeat(cycles)
            assert ctx.get(dut.busy) == busy
            assert await read(ctx, dut, 1) == (before if busy else model.acc[1])

    simulate(dut, testbench)
