"""The store queue with an epilogue: SET, LOAD of parameters and tables, STORE of every memory, against the model."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from amaranth import ResetInserter, Signal
from support.bench import TINY, seeded, simulate
from support.range_memory import RangeReader, RangeWriter
from weft_hardware.encoding import encode
from weft_hardware.isa import QUEUE_REGISTERS, Load, Memory, Set, SetRegister, Store, StoreMode, storable, store_modes
from weft_hardware.registers import Cause
from weft_hardware.rtl.signatures import ACC_READ_LATENCY
from weft_hardware.rtl.store import StoreModule
from weft_simulator.lockstep.epilogue import float_bits
from weft_simulator.lockstep.reference import Machine

DRAM_BYTES = 1 << 14
BASES = {Memory.OUT: 128, Memory.ACC: 64, Memory.ACC_8BIT: 1024, Memory.PARAM: 1 << 13, Memory.TABLE: 12 << 10}
CONFIGS = {
    "requantising only": replace(TINY, acc_depth=60, epilogue_lanes=2, param_depth=5),
    "16-bit outputs": replace(TINY, acc_depth=60, batch=2, block_out=8, out_bits=16, epilogue_lanes=4, param_depth=9),
    "all": replace(TINY, acc_depth=60, epilogue_lanes=4, param_depth=5, residual=True, table=True),
    "narrow": replace(TINY, acc_depth=60, axi_data_bits=512, epilogue_lanes=1, param_depth=5, residual=True),
    "one lane an element": replace(
        TINY, acc_depth=60, block_out=16, axi_data_bits=128, epilogue_lanes=16, param_depth=5, residual=True, table=True
    ),
}


class Bench:
    """A store module, its memory, and the model that does the same."""

    def __init__(self, config, seed):
        self.config, self.rng = config, seeded(seed)
        self.dut: Any = StoreModule(config)
        self.machine = Machine(config)
        self.machine.registers = {register: of.initial for register, of in QUEUE_REGISTERS.items()}
        self.machine.bases = BASES
        generator = np.random.default_rng(seed)
        shape = self.machine.acc.shape
        self.machine.acc[:] = generator.integers(-(1 << 31), 1 << 31, shape) >> generator.integers(0, 31, shape)
        self.tiles = [self._tile(values) for values in self.machine.acc]
        self.image = bytearray(generator.integers(0, 256, DRAM_BYTES, np.uint8).tobytes())
        # Parameters that say something: scales around those of real layers.
        pairs = np.frombuffer(self.image, np.uint32)[BASES[Memory.PARAM] // 4 :][: 2 * 16 * 24].copy()
        pairs[1::2] = [float_bits(2.0 ** self.rng.uniform(-30, 4)) for _ in pairs[1::2]]
        self.image[BASES[Memory.PARAM] : BASES[Memory.PARAM] + pairs.nbytes] = pairs.tobytes()

    def _tile(self, values):
        return int.from_bytes(values.astype("<i4").tobytes(), "little")

    async def run(self, ctx, *insns, stall=0.0, latency=0, limit=6000):
        """Instructions on the module, one behind the other; returns the cycles until all retired or one faulted."""
        dut, rng = self.dut, self.rng
        writer = RangeWriter(self.config, DRAM_BYTES, rng, stall=stall, rewrites=len(insns) > 1)
        writer.data[:] = self.image
        reader = RangeReader(self.config, cast("bytes", writer.data), rng, latency=latency, stall=stall)
        for memory in dut._memories:
            ctx.set(getattr(dut, f"base_{memory.name.lower()}"), BASES[memory])
        ctx.set(dut.window.last, DRAM_BYTES - 1)
        before = ctx.get(dut.status.retired)
        queue = [int.from_bytes(encode([insn], self.config).tobytes(), "little") for insn in insns]
        reads = deque([0] * ACC_READ_LATENCY)
        for cycle in range(limit):
            ctx.set(dut.instruction.valid, bool(queue))
            ctx.set(dut.instruction.payload, queue[0] if queue else 0)
            writer.step(ctx, dut.write)
            reader.step(ctx, dut.read)
            ctx.set(dut.acc_read.request.ready, rng.random() >= stall)
            ctx.set(dut.acc_read.tile, reads.popleft())
            granted = ctx.get(dut.acc_read.request.valid) and ctx.get(dut.acc_read.request.ready)
            reads.append(self.tiles[ctx.get(dut.acc_read.request.payload)] if granted else rng.getrandbits(64))
            taken = ctx.get(dut.instruction.ready)
            await ctx.tick()
            if queue and taken:
                queue.pop(0)
            if ctx.get(dut.status.retired) == before + len(insns) or ctx.get(dut.fault.raised):
                ctx.set(dut.instruction.valid, 0)
                self.image[:] = writer.data
                self.written = writer.written
                return cycle
        raise AssertionError(f"{insns} do not end within {limit} cycles")

    def expect(self, *insns):
        """What memory holds after the instructions."""
        self.machine.dram = bytearray(self.image)
        for insn in insns:
            self.machine.execute(insn)
        return self.machine.dram

    def random_set(self):
        rng = self.rng
        floats = {SetRegister.SCALE, SetRegister.RESIDUAL_SCALE}
        registers = [SetRegister.PARAM, SetRegister.ZERO_POINT, SetRegister.CLAMP_LO, SetRegister.CLAMP_HI]
        if self.config.residual:
            registers += [*floats, SetRegister.OFFSET, SetRegister.RESIDUAL, SetRegister.SUM_LO, SetRegister.SUM_HI]
        register = rng.choice(registers)
        value = rng.randrange(-40, 40)
        if register == SetRegister.PARAM:
            value = rng.randrange(2)
        elif register in floats:
            value = float_bits(rng.uniform(0.01, 3))
        elif register == SetRegister.OFFSET:
            value = float_bits(rng.uniform(-60, 60))
        elif register == SetRegister.RESIDUAL:
            # Behind every result or before: never among them. On any place of a beat.
            value = rng.choice((1, -1)) * (144 + rng.randrange(16))
        return Set(register=register, value=value & 0xFFFFFFFF)

    def random_load(self):
        if self.config.table and self.rng.random() < 0.3:
            return Load(memory=Memory.TABLE, x_size=1, y_size=1, dram=self.rng.randrange(4))
        count = self.rng.choice((0, 1, 2, self.config.param_depth))
        sram = self.rng.randrange(self.config.param_depth - count + 1)
        return Load(memory=Memory.PARAM, sram=sram, dram=self.rng.randrange(3), x_size=count, y_size=1)

    def random_store(self):
        rng, config = self.rng, self.config
        memory = rng.choice([*storable(config), Memory.ACC_8BIT, Memory.ACC_8BIT])
        x_size, y_size = rng.choice((0, 1, 2, 5)), rng.choice((1, 2, 5))
        mode = StoreMode(rng.getrandbits(6)) & store_modes(config) if memory == Memory.ACC_8BIT else 0
        along = x_size * bool(mode & StoreMode.PARAM_X) + y_size * bool(mode & StoreMode.PARAM_Y)
        if along + self.machine.registers[SetRegister.PARAM] > config.param_depth:
            mode &= ~(StoreMode.PARAM_X | StoreMode.PARAM_Y)
        # With one operand after the other place, both in memory.
        low = 160 if memory == Memory.ACC_8BIT else 0
        return Store(
            memory=memory,
            sram=rng.randrange(config.acc_depth - x_size * y_size + 1),
            dram=low + rng.randrange(10),
            x_size=x_size,
            y_size=y_size,
            x_stride=x_size + rng.choice((0, 0, 1, 3)),
            mode=int(mode),
        )


@pytest.mark.parametrize("name", CONFIGS)
def test_random_instructions(name):
    bench = Bench(CONFIGS[name], 21)

    async def testbench(ctx):
        for number in range(30):
            insn = bench.rng.choice((bench.random_set, bench.random_load, bench.random_store, bench.random_store))()
            expected = bench.expect(insn)
            stall = bench.rng.choice((0.0, 0.4))
            await bench.run(ctx, insn, stall=stall, latency=bench.rng.choice((0, 9)))
            assert not ctx.get(bench.dut.fault.raised), (number, insn, ctx.get(bench.dut.fault.cause))
            assert bench.image == expected, (number, insn)
        # Sixteen at a time: no register, parameter or byte of DRAM is seen too early or too late.
        for _ in range(3):
            image, insns = bytearray(bench.image), []
            bench.machine.dram = image
            for _ in range(16):
                choices = (bench.random_set, bench.random_load, bench.random_store, bench.random_store)
                insns.append(bench.rng.choice(choices)())
                bench.machine.execute(insns[-1])
            await bench.run(ctx, *insns, stall=bench.rng.choice((0.0, 0.3)), latency=bench.rng.choice((0, 9)))
            assert not ctx.get(bench.dut.fault.raised), insns
            assert bench.image == image, insns

    simulate(bench.dut, testbench)


STORE_8BIT = Store(memory=Memory.ACC_8BIT, dram=160, x_size=5, y_size=2, x_stride=5, mode=StoreMode.PARAM_X)
SUM = replace(STORE_8BIT, sram=20, dram=200, mode=StoreMode.PARAM_X | StoreMode.RESIDUAL)
STREAMS = {
    "parameters that a STORE wrote": [
        Store(memory=Memory.ACC, sram=50, dram=(BASES[Memory.PARAM] - BASES[Memory.ACC]) // 16, x_size=2, y_size=1),
        Load(memory=Memory.PARAM, sram=1, dram=0, x_size=1, y_size=1),
        STORE_8BIT,
    ],
    "parameters that a STORE still uses": [
        STORE_8BIT,
        Load(memory=Memory.PARAM, sram=0, dram=7, x_size=5, y_size=1),
        replace(STORE_8BIT, dram=180),
    ],
    "a table that a STORE still uses": [
        replace(STORE_8BIT, mode=StoreMode.TABLE),
        Load(memory=Memory.TABLE, dram=2, x_size=1, y_size=1),
        replace(STORE_8BIT, dram=180, mode=StoreMode.TABLE),
    ],
    "an operand that a STORE wrote": [Set(register=SetRegister.RESIDUAL, value=-40 & 0xFFFFFFFF), STORE_8BIT, SUM],
    "an operand that a STORE overwrites": [
        Set(register=SetRegister.RESIDUAL, value=-40 & 0xFFFFFFFF),
        SUM,
        replace(STORE_8BIT, mode=0),
    ],
    "registers that a STORE still uses": [
        STORE_8BIT,
        Set(register=SetRegister.ZERO_POINT, value=9),
        Set(register=SetRegister.PARAM, value=1),
        replace(STORE_8BIT, dram=180, mode=0),
        Set(register=SetRegister.PARAM, value=0),
        Set(register=SetRegister.RESIDUAL, value=-20 & 0xFFFFFFFF),
        SUM,
        Set(register=SetRegister.RESIDUAL, value=0),
        Set(register=SetRegister.CLAMP_HI, value=3),
    ],
    "tiles past those in the epilogue": [
        STORE_8BIT,
        Store(memory=Memory.OUT, sram=7, dram=3, x_size=4, y_size=2, x_stride=9),
        replace(STORE_8BIT, dram=180, mode=StoreMode.TABLE | StoreMode.PARAM_Y),
        replace(STORE_8BIT, dram=220),
        Store(memory=Memory.ACC, sram=3, dram=200, x_size=1, y_size=1),
    ],
}


def test_what_instructions_of_the_queue_leave_to_each_other():
    bench = Bench(CONFIGS["all"], 27)
    # Two accumulators that are a tile of parameters when stored raw: biases and scales in turn.
    bench.machine.acc[50:52].reshape(-1)[:] = [x for k in range(4) for x in (100 * k, float_bits(2.0 ** -(8 + k)))]
    bench.tiles[50:52] = [bench._tile(values) for values in bench.machine.acc[50:52]]
    before = [
        Load(memory=Memory.PARAM, dram=1, x_size=5, y_size=1),
        Load(memory=Memory.TABLE, x_size=1, y_size=1),
        Set(register=SetRegister.SCALE, value=float_bits(0.5)),
        Set(register=SetRegister.RESIDUAL_SCALE, value=float_bits(0.75)),
        Set(register=SetRegister.OFFSET, value=float_bits(1.0)),
    ]

    async def testbench(ctx):
        for name, insns in STREAMS.items():
            expected = bench.expect(*before, *insns)
            await bench.run(ctx, *before)
            await bench.run(ctx, *insns, latency=20)
            assert bench.image == expected, name

    simulate(bench.dut, testbench)


def test_a_fault_waits_for_the_instructions_before():
    """Whatever stands before it and behind: those before have retired, and nothing behind writes."""
    bench = Bench(CONFIGS["requantising only"], 28)
    one, set_ = Store(memory=Memory.OUT, sram=1, x_size=1, y_size=1), Set(register=SetRegister.PARAM, value=0)
    before = [
        *[replace(one, dram=k) for k in range(3)],
        replace(STORE_8BIT, x_size=3, mode=0),
        set_,
        replace(one, dram=9, x_size=3, y_size=3, x_stride=4),
        set_,
    ]
    reset = Signal()

    async def testbench(ctx):
        for insn, cause in FAULTY:
            for count in (0, 1, 2, 4, 7):
                expected = bench.expect(*before[:count])
                await bench.run(ctx, *before[:count], insn, set_, replace(one, dram=30), stall=0.3)
                assert (ctx.get(bench.dut.fault.cause), ctx.get(bench.dut.status.retired)) == (cause, count)
                assert bench.image == expected
                ctx.set(reset, 1)
                await ctx.tick()
                ctx.set(reset, 0)

    simulate(ResetInserter(reset)(bench.dut), testbench)


FAULTY = [
    (Store(memory=Memory.OUT, sram=58, x_size=3, y_size=1), Cause.SCRATCHPAD_RANGE),
    (Store(memory=Memory.OUT, dram=0xFFFFFFFF, x_size=1, y_size=1), Cause.WINDOW),
    (Store(memory=Memory.ACC_8BIT, x_size=6, y_size=1, mode=StoreMode.PARAM_X), Cause.SCRATCHPAD_RANGE),
    (Store(memory=Memory.ACC_8BIT, dram=0xFFFFFFFF, x_size=1, y_size=1), Cause.WINDOW),
    (Store(memory=Memory.INP, x_size=1, y_size=1), Cause.ILLEGAL_INSTRUCTION),
    (Load(memory=Memory.PARAM, sram=3, x_size=3, y_size=1), Cause.SCRATCHPAD_RANGE),
    (Load(memory=Memory.PARAM, dram=0xFFFFFFFF, x_size=1, y_size=1), Cause.WINDOW),
]


@pytest.mark.parametrize(
    ("insn", "param", "cause", "value"),
    [
        (Store(memory=Memory.ACC_8BIT, x_size=6, y_size=1, mode=StoreMode.PARAM_X), 0, Cause.SCRATCHPAD_RANGE, 5),
        (Store(memory=Memory.ACC_8BIT, x_size=1, y_size=3, mode=StoreMode.PARAM_Y), 3, Cause.SCRATCHPAD_RANGE, 5),
        (Store(memory=Memory.ACC_8BIT, x_size=1, y_size=1), 9, Cause.SCRATCHPAD_RANGE, 9),
        # The accumulators come first.
        (Store(memory=Memory.ACC_8BIT, sram=58, x_size=3, y_size=1), 9, Cause.SCRATCHPAD_RANGE, 60),
        # And the window last.
        (Store(memory=Memory.ACC_8BIT, dram=0xFFFFFFFF, x_size=1, y_size=1), 9, Cause.SCRATCHPAD_RANGE, 9),
        (Store(memory=Memory.ACC_8BIT, dram=0xFFFFFFFF, x_size=1, y_size=1), 0, Cause.WINDOW, 1024 + 0xFFFFFFFF * 4),
        (Store(memory=Memory.ACC_8BIT, x_size=1, y_size=1, mode=StoreMode.RESIDUAL), 0, Cause.ILLEGAL_INSTRUCTION, 0),
        (Store(memory=Memory.ACC_8BIT, mode=StoreMode.TABLE), 0, Cause.ILLEGAL_INSTRUCTION, 0),
        (Load(memory=Memory.PARAM, sram=3, x_size=3, y_size=1), 0, Cause.SCRATCHPAD_RANGE, 5),
        (Load(memory=Memory.TABLE, x_size=1, y_size=1), 0, Cause.ILLEGAL_INSTRUCTION, 0),
        (Set(register=SetRegister.SCALE), 0, Cause.ILLEGAL_INSTRUCTION, 0),
        (Load(memory=Memory.PARAM, dram=0xFFFFFFFF, x_size=1, y_size=1), 0, Cause.WINDOW, (1 << 13) + 0xFFFFFFFF * 32),
    ],
)
def test_faults(insn, param, cause, value):
    bench = Bench(CONFIGS["requantising only"], 22)
    before = bytes(bench.image)

    async def testbench(ctx):
        await bench.run(ctx, Set(register=SetRegister.PARAM, value=param))
        await bench.run(ctx, insn)
        assert (ctx.get(bench.dut.fault.raised), ctx.get(bench.dut.fault.cause)) == (1, cause)
        assert ctx.get(bench.dut.fault.value) == value
        assert bench.image == before

    simulate(bench.dut, testbench)


def test_empty_stores_ignore_the_parameters_index():
    bench = Bench(CONFIGS["requantising only"], 23)

    async def testbench(ctx):
        await bench.run(ctx, Set(register=SetRegister.PARAM, value=99))
        await bench.run(ctx, Store(memory=Memory.ACC_8BIT, sram=99, y_size=1))
        await bench.run(ctx, Store(memory=Memory.ACC_8BIT, sram=99, x_size=1))
        assert ctx.get(bench.dut.status.retired) == 3
        assert not ctx.get(bench.dut.fault.raised)

    simulate(bench.dut, testbench)


def test_a_launch_resets_the_registers():
    bench = Bench(CONFIGS["requantising only"], 24)
    store = Store(memory=Memory.ACC_8BIT, x_size=2, y_size=1)
    expected = bench.expect(store)

    async def testbench(ctx):
        await bench.run(ctx, Set(register=SetRegister.CLAMP_HI, value=-200 & 0xFFFFFFFF))
        ctx.set(bench.dut.clear, 1)
        await ctx.tick()
        ctx.set(bench.dut.clear, 0)
        await bench.run(ctx, store)
        assert bench.image == expected

    simulate(bench.dut, testbench)


@pytest.mark.parametrize(("away", "value"), [(-257, (1 << 32) - 4), (0x7FFFFFFF, 1024 + 0x7FFFFFFF * 4)])
def test_residual_operand_outside_the_window(away, value):
    bench = Bench(CONFIGS["all"], 25)
    before = bytes(bench.image)

    async def testbench(ctx):
        await bench.run(ctx, Set(register=SetRegister.RESIDUAL, value=away & 0xFFFFFFFF))
        await bench.run(ctx, Store(memory=Memory.ACC_8BIT, x_size=1, y_size=1, mode=StoreMode.RESIDUAL))
        assert (ctx.get(bench.dut.fault.raised), ctx.get(bench.dut.fault.cause)) == (1, Cause.WINDOW)
        assert ctx.get(bench.dut.fault.value) == value
        assert bench.image == before

    simulate(bench.dut, testbench)
