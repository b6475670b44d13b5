"""The store queue with an epilogue: SET, LOAD of parameters and tables, STORE of every memory, against the model."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
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

    async def run(self, ctx, insn, *, stall=0.0, latency=0, limit=6000):
        """One instruction on the module; returns the cycles until it retired or faulted."""
        dut, rng = self.dut, self.rng
        writer = RangeWriter(self.config, DRAM_BYTES, rng, stall=stall)
        writer.data[:] = self.image
        reader = RangeReader(self.config, cast("bytes", writer.data), rng, latency=latency, stall=stall)
        for memory in dut._memories:
            ctx.set(getattr(dut, f"base_{memory.name.lower()}"), BASES[memory])
        ctx.set(dut.window.last, DRAM_BYTES - 1)
        before = ctx.get(dut.status.retired)
        ctx.set(dut.instruction.payload, int.from_bytes(encode([insn], self.config).tobytes(), "little"))
        ctx.set(dut.instruction.valid, 1)
        reads = deque([0] * ACC_READ_LATENCY)
        for cycle in range(limit):
            writer.step(ctx, dut.write)
            reader.step(ctx, dut.read)
            ctx.set(dut.acc_read.request.ready, rng.random() >= stall)
            ctx.set(dut.acc_read.tile, reads.popleft())
            granted = ctx.get(dut.acc_read.request.valid) and ctx.get(dut.acc_read.request.ready)
            reads.append(self.tiles[ctx.get(dut.acc_read.request.payload)] if granted else rng.getrandbits(64))
            taken = ctx.get(dut.instruction.ready)
            await ctx.tick()
            if taken:
                ctx.set(dut.instruction.valid, 0)
            if ctx.get(dut.status.retired) != before or ctx.get(dut.fault.raised):
                ctx.set(dut.instruction.valid, 0)
                self.image[:] = writer.data
                self.written = writer.written
                return cycle
        raise AssertionError(f"{insn} does not end within {limit} cycles")

    def expect(self, insn):
        """What memory holds after the instruction."""
        self.machine.dram = bytearray(self.image)
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
        for number in range(60):
            insn = bench.rng.choice((bench.random_set, bench.random_load, bench.random_store, bench.random_store))()
            expected = bench.expect(insn)
            stall = bench.rng.choice((0.0, 0.4))
            await bench.run(ctx, insn, stall=stall, latency=bench.rng.choice((0, 9)))
            assert not ctx.get(bench.dut.fault.raised), (number, insn, ctx.get(bench.dut.fault.cause))
            assert bench.image == expected, (number, insn)

    simulate(bench.dut, testbench)


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
