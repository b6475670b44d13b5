"""The compute module: its queue against the numpy model, tokens, faults and FINISH."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import replace
from itertools import pairwise

import pytest
from support.bench import TINY, pack, seeded, signed, simulate, unpack
from support.range_memory import RangeReader
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import encode, pack_uops
from weft_hardware.isa import (
    Alu,
    AluOp,
    Finish,
    Gemm,
    GemmOverwrite,
    Instruction,
    Load,
    Memory,
    Set,
    SetRegister,
    Store,
    alu_operations,
)
from weft_hardware.registers import Cause, ModuleState
from weft_hardware.rtl.compute import RETIRE_LATENCY, Compute
from weft_hardware.rtl.issue import IN_FLIGHT
from weft_hardware.rtl.signatures import ACC_READ_LATENCY, MOST_ROOM, TOKEN_TO_READ
from weft_simulator.lockstep.reference import Machine

UOP_BASE, ACC_8BIT_BASE, ACC_BASE = 0x400, 0x800, 0x1000
PATIENCE = 4000
"""Cycles after which something hangs."""


class Bench:
    """A compute module with a command queue, DRAM and neighbours that give and take tokens when told."""

    def __init__(self, rng: random.Random, config=TINY) -> None:
        self.rng = rng
        self.config = config
        self.dut = Compute(config)
        self.machine = Machine(config)
        self.machine.dram = bytearray(rng.randbytes(0x1400))
        uops = pack_uops(
            config,
            [rng.randrange(4) for _ in range(64)],
            [rng.randrange(6) for _ in range(64)],
            [rng.randrange(4) for _ in range(64)],
        )
        self.machine.dram[UOP_BASE : UOP_BASE + uops.nbytes] = uops.tobytes()
        self.machine.bases = {Memory.UOP: UOP_BASE, Memory.ACC: ACC_BASE, Memory.ACC_8BIT: ACC_8BIT_BASE}
        for tiles, bits in ((self.machine.inp, config.inp_bits), (self.machine.wgt, config.wgt_bits)):
            tiles.flat = [signed(rng.getrandbits(bits), bits) for _ in range(tiles.size)]
        self.pushes: list[str] = []

    async def dram(self, ctx) -> None:
        """Answers the read port, with gaps; a background process."""
        port, width = self.dut.read, self.config.axi_bytes
        ctx.set(port.request.ready, 1)
        waiting: list[int] = []
        while True:
            if waiting and self.rng.random() < 0.7:
                ctx.set(port.beats.payload.data, waiting[0])
                ctx.set(port.beats.valid, 1)
            else:
                ctx.set(port.beats.valid, 0)
            *_, taken, requested, request = await ctx.tick().sample(
                port.beats.valid, port.request.valid, port.request.payload
            )
            if taken:
                waiting.pop(0)
            if requested:
                beats = range(request.address, request.address + (request.length + 1) * width, width)
                waiting += [int.from_bytes(self.machine.dram[b : b + width], "little") for b in beats]

    async def prepare(self, ctx) -> None:
        dut, config = self.dut, self.config
        ctx.set(dut.base_uop, UOP_BASE)
        ctx.set(dut.base_acc, ACC_BASE)
        ctx.set(dut.base_acc_8bit, ACC_8BIT_BASE)
        for port, tiles, bits in [
            (dut.write_inp, self.machine.inp, config.inp_bits),
            (dut.write_wgt, self.machine.wgt, config.wgt_bits),
        ]:
            ctx.set(port.enable, 1)
            for index, tile in enumerate(tiles):
                ctx.set(port.index, index)
                ctx.set(port.tile, pack([int(e) for e in tile.flat], bits))
                await ctx.tick()
            ctx.set(port.enable, 0)

    async def tokens(self, ctx) -> None:
        """Neighbours that give and take one token now and then, and note who got one; a background process."""
        ports = (self.dut.load_tokens, self.dut.store_tokens)
        while True:
            for port in ports:
                ctx.set(port.pop.valid, self.rng.random() < 0.3)
                ctx.set(port.push.ready, self.rng.random() < 0.3)
                ctx.set(port.room, 0)  # no promise, since a push may wait
            *_, prev, after = await ctx.tick().sample(*(p.push.valid & p.push.ready for p in ports))
            self.pushes += ["prev"] * prev + ["next"] * after

    def offer(self, ctx, word) -> None:
        ctx.set(self.dut.instruction.payload, int.from_bytes(word.tobytes(), "little"))
        ctx.set(self.dut.instruction.valid, 1)

    async def run(self, ctx, instructions: list[Instruction]) -> None:
        """Feed a queue until its last instruction retires or a fault is raised."""
        dut, left = self.dut, deque(encode(instructions, self.config))
        goal = ctx.get(dut.status.retired) + len(instructions)
        for _ in range(PATIENCE):
            ctx.set(dut.instruction.valid, bool(left))
            if left:
                self.offer(ctx, left[0])
            *_, taken = await ctx.tick().sample(dut.instruction.ready)
            if taken and left:
                left.popleft()
            if ctx.get(dut.fault.raised) or ctx.get(dut.status.retired) == goal:
                break
        else:
            pytest.fail("an instruction never retires")
        ctx.set(dut.instruction.valid, 0)

    async def read(self, ctx, index: int) -> list[int]:
        port = self.dut.acc_read
        ctx.set(port.request.valid, 1)
        ctx.set(port.request.payload, index)
        while not ctx.get(port.request.ready):
            await ctx.tick()
        await ctx.tick()
        ctx.set(port.request.valid, 0)
        await ctx.tick().repeat(ACC_READ_LATENCY - 1)
        return unpack(ctx.get(port.tile), self.config.batch * self.config.block_out, self.config.acc_bits)

    async def check_accumulators(self, ctx) -> None:
        for index, tile in enumerate(self.machine.acc[: TINY.acc_depth]):
            assert await self.read(ctx, index) == [int(e) for e in tile.flat], f"accumulator {index}"


EXTENDED = replace(TINY, pad_value=True, widening_load=True, gemm_overwrite=True, alu_extensions=True)


def random_instruction(rng: random.Random, config: AcceleratorConfig = TINY) -> Instruction:
    flags = {n: rng.random() < 0.2 for n in ("pop_prev", "pop_next", "push_prev", "push_next")}
    bgn = rng.randrange(TINY.uop_depth - 4)
    loops = {
        "uop_bgn": bgn,
        "uop_end": bgn + rng.choice([0, 1, 2, 4]),
        "iter_out": rng.choice([0, 1, 2, 3]),
        "iter_in": rng.choice([1, 2, 3]),
        "dst_out": rng.randrange(3),
        "dst_in": rng.randrange(3),
        "src_out": rng.randrange(3),
        "src_in": rng.randrange(2),
    }
    kinds = ["gemm", "gemm", "reset", "imm", "reg", "uop", "acc"]
    if config.gemm_overwrite:
        kinds += ["overwrite", "overwrite", "set", "set", "acc_8bit", "acc_8bit"]
    kind = rng.choice(kinds)
    if kind == "set":
        register = rng.choice((SetRegister.COMPUTE_PAD, SetRegister.WIDEN, SetRegister.OVERWRITE))
        return Set(**flags, register=register, value=rng.getrandbits(32))
    if kind in ("gemm", "reset", "overwrite"):
        gemm = GemmOverwrite if kind == "overwrite" else Gemm
        reset = kind == "reset" or (kind == "overwrite" and rng.random() < 0.1)
        return gemm(**flags, **loops, wgt_in=rng.randrange(2), reset=reset)
    if kind in ("imm", "reg"):
        imm = rng.choice([rng.randint(-35, 35), rng.randint(-(1 << 15), (1 << 15) - 1)])
        return Alu(**flags, **loops, alu_op=rng.choice(sorted(alu_operations(config))), use_imm=kind == "imm", imm=imm)
    memory = Memory[kind.upper()]
    depth = TINY.uop_depth if kind == "uop" else TINY.acc_depth
    size = rng.choice([0, 1, 3, 5])
    pads = {}
    if config.pad_value and memory is not Memory.UOP and size < 4:
        pads = {"y_pad0": rng.randrange(2) * (size < 2), "x_pad1": rng.randrange(2) if size else 0}
    return Load(
        **flags,
        memory=memory,
        sram=rng.randrange(depth - 5),
        dram=rng.randrange(8),
        y_size=1,
        x_size=size,
        x_stride=size,
        **pads,
    )


CONFIGS = {
    "tiny": TINY,
    "int4 by int16, batch 2, AXI 128": replace(TINY, batch=2, block_out=8, inp_bits=4, wgt_bits=16, axi_data_bits=128),
    "64-bit micro-ops": replace(TINY, acc_depth=2049, inp_depth=2100, wgt_depth=1025),
    "extended": EXTENDED,
    "extended, AXI 128": replace(EXTENDED, batch=2, block_out=8, axi_data_bits=128),
    "extended, 64-bit micro-ops": replace(EXTENDED, acc_depth=2049, inp_depth=2100, wgt_depth=1025),
}


@pytest.mark.parametrize(
    ("name", "seed"), [("tiny", 0), ("tiny", 1), ("tiny", 2), *((name, 3) for name in list(CONFIGS)[1:])]
)
def test_random_queues(name, seed):
    rng = seeded(seed)
    config = CONFIGS[name]
    bench = Bench(rng, config)
    fill = Load(memory=Memory.UOP, y_size=1, x_size=TINY.uop_depth, x_stride=TINY.uop_depth)
    queue = [fill, *(random_instruction(rng, config) for _ in range(40))]
    retired = len(queue)

    async def testbench(ctx):
        await bench.prepare(ctx)
        await bench.run(ctx, queue)
        assert not ctx.get(bench.dut.fault.raised)
        assert ctx.get(bench.dut.status.retired) == retired
        assert ctx.get(bench.dut.status.state) == ModuleState.IDLE
        while ctx.get(bench.dut.busy):
            await ctx.tick()
        for insn in queue:
            bench.machine.execute(insn)
        await bench.check_accumulators(ctx)
        assert sorted(bench.pushes) == sorted(
            side for insn in queue for side in ("prev", "next") if getattr(insn, f"push_{side}")
        )

    simulate(bench.dut, testbench, bench.dram, bench.tokens, background=True)


@pytest.mark.parametrize("kind", ["gemm", "alu", "load", "widening load", "set"])
def test_a_token_says_that_the_accumulators_can_be_read(kind):
    """A store that reads as soon as a token may let it gets the new value, whichever tile was written last."""
    bench = Bench(seeded(7), EXTENDED)
    fill = Load(memory=Memory.ACC, y_size=1, x_size=4, x_stride=4)
    before = [fill]
    if kind == "set":
        before += [Gemm(uop_end=1, iter_out=4, iter_in=1, dst_out=1)]
    last = {
        "gemm": Gemm(uop_end=1, iter_out=4, iter_in=1, dst_out=1, push_next=True),
        "alu": Alu(uop_end=1, iter_out=4, iter_in=1, dst_out=1, alu_op=AluOp.ADD, use_imm=True, imm=5, push_next=True),
        "load": replace(fill, dram=4, push_next=True),
        "widening load": replace(fill, memory=Memory.ACC_8BIT, dram=4, push_next=True),
        "set": Set(register=SetRegister.COMPUTE_PAD, value=1, push_next=True),
    }[kind]

    async def testbench(ctx):
        await bench.prepare(ctx)
        await bench.run(ctx, before)
        bench.offer(ctx, encode([last], bench.config)[0])
        push = bench.dut.store_tokens.push
        ctx.set(push.ready, 1)
        while not ctx.get(push.valid):
            assert ctx.get(bench.dut.busy)
            *_, taken = await ctx.tick().sample(bench.dut.instruction.ready)
            if taken:
                ctx.set(bench.dut.instruction.valid, 0)
        await ctx.tick().repeat(TOKEN_TO_READ)
        for insn in (*before, last):
            bench.machine.execute(insn)
        assert await bench.read(ctx, 3) == [int(e) for e in bench.machine.acc[3].flat]

    simulate(bench.dut, testbench, bench.dram, background=True)


@pytest.mark.parametrize(
    "word",
    [
        *(opcode | 1 << 3 for opcode in (5, 6, 7)),
        *(Set(register=register, pop_prev=True) for register in (0x10, 0x13, 0x30)),
        Store(memory=Memory.OUT, pop_prev=True),
        Load(memory=Memory.OUT, pop_prev=True),
        Load(memory=7, pop_prev=True),
        *(Alu(alu_op=op, pop_prev=True) for op in (5, 6, 7)),
    ],
    ids=str,
)
def test_an_illegal_instruction_faults_after_its_pops(word):
    bench = Bench(seeded(1))
    dut = bench.dut
    bits = word if isinstance(word, int) else int.from_bytes(encode([word], TINY)[0].tobytes(), "little")

    async def testbench(ctx):
        ctx.set(dut.instruction.payload, bits)
        ctx.set(dut.instruction.valid, 1)
        await ctx.tick().repeat(10)
        assert not ctx.get(dut.fault.raised)
        assert ctx.get(dut.status.state) == ModuleState.WAIT_POP_PREV
        ctx.set(dut.load_tokens.pop.valid, 1)
        await ctx.tick().repeat(10)
        assert ctx.get(dut.fault.raised)
        assert ctx.get(dut.fault.cause) == Cause.ILLEGAL_INSTRUCTION
        assert ctx.get(dut.status.retired) == 0

    simulate(dut, testbench)


def test_an_index_outside_faults_and_nothing_follows():
    bench = Bench(seeded(2))
    dut = bench.dut
    good = Gemm(uop_end=1, iter_out=1, iter_in=1)
    bad = Gemm(uop_end=1, iter_out=2, iter_in=1, dst_out=TINY.acc_depth + 3)

    async def testbench(ctx):
        await bench.prepare(ctx)
        await bench.run(ctx, [good, good, bad])
        assert ctx.get(dut.fault.cause) == Cause.SCRATCHPAD_RANGE
        assert ctx.get(dut.fault.value) == TINY.acc_depth + 3
        bench.offer(ctx, encode([good], bench.config)[0])
        for _ in range(30):
            await ctx.tick()
            assert not ctx.get(dut.instruction.ready)
            assert ctx.get(dut.status.retired) == 2

    simulate(dut, testbench, bench.dram, background=True)


def test_a_load_that_faults_passes_its_fault_on():
    bench = Bench(seeded(3))

    async def testbench(ctx):
        await bench.run(ctx, [Load(memory=Memory.ACC, sram=TINY.acc_depth - 1, y_size=1, x_size=2, x_stride=2)])
        assert ctx.get(bench.dut.fault.cause) == Cause.SCRATCHPAD_RANGE
        assert ctx.get(bench.dut.fault.value) == TINY.acc_depth

    simulate(bench.dut, testbench, bench.dram, background=True)


def test_finish_comes_once_and_after_everything_before():
    bench = Bench(seeded(4))
    dut = bench.dut
    work = Gemm(uop_end=1, iter_out=3, iter_in=5, reset=True)
    pulses = []

    async def watch(ctx):
        while True:
            if ctx.get(dut.finished):
                pulses.append(ctx.get(dut.status.retired))
            await ctx.tick()

    async def testbench(ctx):
        await bench.run(ctx, [work, Finish(), work])
        assert pulses == [1]

    simulate(dut, testbench, watch, background=True)


@pytest.mark.parametrize("tokens", [{}, {"pop_prev": True, "pop_next": True, "push_prev": True, "push_next": True}])
@pytest.mark.parametrize("kind", ["gemm", "immediate", "two accumulators"])
def test_instructions_follow_each_other_without_a_gap(kind, tokens):
    """One of n beats retires n + 5 cycles after it was taken, and the next one n cycles after it."""
    bench = Bench(seeded(5))
    dut = bench.dut
    assert RETIRE_LATENCY == 5

    def instruction(n):
        loops = {"uop_end": 1, "iter_out": n, "iter_in": 1, **tokens}
        if kind == "gemm":
            return Gemm(**loops)
        return Alu(**loops, alu_op=AluOp.ADD, use_imm=kind == "immediate", imm=1)

    async def testbench(ctx):
        for port in (dut.load_tokens, dut.store_tokens):
            ctx.set(port.pop.valid, 1)
            ctx.set(port.push.ready, 1)
            ctx.set(port.room, MOST_ROOM)
        for n in (1, 2, 9, 16, 100):
            beats = 2 * n if kind == "two accumulators" else n
            bench.offer(ctx, encode([instruction(n)], TINY)[0])
            taken, retired = [], []
            for cycle in range(5 * (beats + RETIRE_LATENCY)):
                if ctx.get(dut.instruction.ready):
                    taken.append(cycle)
                if ctx.get(dut.retire):
                    retired.append(cycle)
                await ctx.tick()
            ctx.set(dut.instruction.valid, 0)
            while ctx.get(dut.busy):
                await ctx.tick()
            assert retired[0] == taken[0] + beats + RETIRE_LATENCY
            if beats == 1:  # the pipeline holds no more than `IN_FLIGHT` instructions
                assert {b - a for a, b in zip(taken, taken[IN_FLIGHT:], strict=False)} == {RETIRE_LATENCY + 2}
            else:
                assert {b - a for a, b in pairwise(taken)} == {beats}
                assert {b - a for a, b in pairwise(retired)} == {beats}

    simulate(dut, testbench)


TWO = {"uop_end": 1, "iter_out": 2, "iter_in": 1}
PORT = 1
"""Cycles from the module's request to the bus: latencies count from there."""
COSTS = {
    "gemm": ([Gemm(**TWO)], 2),
    "overwriting gemm": ([GemmOverwrite(**TWO)], 2),
    "immediate": ([Alu(**TWO, use_imm=True)], 2),
    "two accumulators": ([Alu(**TWO)], 4),
    "no steps": ([Gemm()], 1),
    "set": ([Set(register=SetRegister.COMPUTE_PAD)], 1),
    "load of micro-ops": ([Load(memory=Memory.UOP, x_size=3, y_size=1)], 13 + 3),
    "load of accumulators": ([Load(memory=Memory.ACC, x_size=3, y_size=1)], 15 + 6),
    "widening load": ([Load(memory=Memory.ACC_8BIT, x_size=3, y_size=1)], 15 + 3),
    "loads": ([Load(memory=Memory.ACC, x_size=3, y_size=1), Load(memory=Memory.UOP, x_size=3, y_size=1)], 15 + 6 + 3),
    "load of nothing": ([Load(memory=Memory.UOP)], 7),
    "finish": ([Finish()], 7),
}
"""Instructions between two GEMMs, and the cycles by which they part these, at a read latency of 0."""


@pytest.mark.parametrize("latency", [0, 50])
def test_what_instructions_cost(latency):
    bench = Bench(seeded(8), EXTENDED)
    dut, found = bench.dut, {}
    first, last = (Gemm(uop_end=1, iter_out=n, iter_in=1) for n in (9, 1))

    async def cycles(ctx, between, reader):
        queue, taken = deque(encode([first, *between, last], EXTENDED)), []
        for cycle in range(PATIENCE):
            ctx.set(dut.instruction.valid, bool(queue))
            if queue:
                bench.offer(ctx, queue[0])
            elif not ctx.get(dut.busy):
                break
            reader.step(ctx, dut.read)
            *_, ready = await ctx.tick().sample(dut.instruction.ready)
            if ready and queue:
                taken.append(cycle)
                queue.popleft()
        return taken[-1] - taken[0] - 9

    async def testbench(ctx):
        reader = RangeReader(EXTENDED, bytes(bench.machine.dram), bench.rng, latency=latency + PORT)
        ctx.set(dut.base_uop, UOP_BASE)
        for name, (between, _) in COSTS.items():
            found[name] = await cycles(ctx, between, reader)

    simulate(dut, testbench)
    loads = {name for name, (between, _) in COSTS.items() if any(getattr(insn, "x_size", 0) for insn in between)}
    assert found == {name: at_once + latency * (name in loads) for name, (_, at_once) in COSTS.items()}


GOOD = Gemm(uop_end=1, iter_out=2, iter_in=1)


@pytest.mark.parametrize(
    "bad",
    [replace(GOOD, dst_out=TINY.acc_depth), replace(GOOD, uop_end=99), Alu(alu_op=7)],
    ids=["step", "range", "op"],
)
def test_a_fault_waits_for_what_came_before(bad):
    """The host that sees the fault finds every instruction before it retired."""
    bench = Bench(seeded(6))
    dut = bench.dut
    queue = deque(encode([GOOD, GOOD, bad], TINY))

    async def testbench(ctx):
        while not ctx.get(dut.fault.raised):
            ctx.set(dut.instruction.valid, bool(queue))
            if queue:
                bench.offer(ctx, queue[0])
            *_, taken = await ctx.tick().sample(dut.instruction.ready)
            if taken and queue:
                queue.popleft()
        assert ctx.get(dut.status.retired) == 2

    simulate(dut, testbench)
