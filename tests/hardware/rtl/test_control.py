"""The register file against its declaration; launch, end, faults and hangs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.bench import TINY, seeded, simulate
from weft_hardware.registers import IDENTITY_VALUE, REGISTERS, Cause, Control, ModuleState, Status, Unit, offset
from weft_hardware.rtl.control import QUIET_CYCLES, ControlUnit


async def write(ctx, dut, name, value, strobe=15):
    host = dut.host
    ctx.set(host.awaddr, offset(name))
    ctx.set(host.wdata, value)
    ctx.set(host.wstrb, strobe)
    ctx.set(host.bready, 1)
    ctx.set(host.awvalid, 1)
    await ctx.tick()
    assert not ctx.get(host.bvalid), "answered before the data came"
    ctx.set(host.wvalid, 1)
    assert ctx.get(host.awready & host.wready)
    await ctx.tick()
    ctx.set(host.awvalid, 0)
    ctx.set(host.wvalid, 0)
    assert ctx.get(host.bvalid)
    await ctx.tick()
    assert not ctx.get(host.bvalid)


async def read(ctx, dut, name):
    host = dut.host
    ctx.set(host.araddr, offset(name))
    ctx.set(host.arvalid, 1)
    assert ctx.get(host.arready)
    await ctx.tick()
    ctx.set(host.arvalid, 0)
    ctx.set(host.rready, 1)
    assert ctx.get(host.rvalid)
    value = ctx.get(host.rdata)
    await ctx.tick()
    return value


@pytest.mark.parametrize("address_bits", [32, 40, 64])
def test_writable_registers_read_back(address_bits):
    config = replace(TINY, axi_addr_bits=address_bits)
    rng, dut = seeded(address_bits), ControlUnit(config)

    async def testbench(ctx):
        values = {}
        for register in REGISTERS:
            if register.name == "CONTROL":
                continue
            value = rng.getrandbits(32)
            await write(ctx, dut, register.name, value)
            if register.writable:
                high = register.name.endswith("_HI")
                values[register.name] = value & ((1 << (address_bits - 32)) - 1) if high else value
        for name, value in values.items():
            assert await read(ctx, dut, name) == value, name
        assert await read(ctx, dut, "IDENTITY") == IDENTITY_VALUE
        assert await read(ctx, dut, "CONFIG_DIGEST") == int(config.digest[:8], 16)
        assert await read(ctx, dut, "STATUS") == 0
        assert ctx.get(dut.insn_address) == values["INSN_ADDR_HI"] << 32 | values["INSN_ADDR_LO"]
        assert ctx.get(dut.base_wgt) == values["WGT_BASE_HI"] << 32 | values["WGT_BASE_LO"]
        await write(ctx, dut, "INSN_COUNT", 0x11223344)
        await write(ctx, dut, "INSN_COUNT", 0xAABBCCDD, strobe=0b0110)
        assert await read(ctx, dut, "INSN_COUNT") == 0x11BBCC44

    simulate(dut, testbench)


async def launch(ctx, dut, count):
    await write(ctx, dut, "INSN_COUNT", count)
    ctx.set(dut.fetch_done, 0)
    await write(ctx, dut, "CONTROL", Control.START)


def test_done_needs_everything():
    """FINISH, all retired, nothing under way; and the cycle counter stops with it."""
    dut = ControlUnit(TINY)

    async def testbench(ctx):
        for retired_before in (0, 3):
            await launch(ctx, dut, 3)
            await ctx.tick().repeat(4)
            assert await read(ctx, dut, "STATUS") == Status.BUSY
            ctx.set(dut.finished, 1)
            await ctx.tick()
            ctx.set(dut.finished, 0)
            ctx.set(dut.fetch_done, 1)
            ctx.set(dut.memory_busy, 1)
            ctx.set(dut.status_load.retired, retired_before // 3 + 1)
            ctx.set(dut.status_compute.retired, 2 * (retired_before // 3) + 2)
            await ctx.tick().repeat(3)
            assert await read(ctx, dut, "STATUS") == Status.BUSY
            assert await read(ctx, dut, "COMPUTE_RETIRED") == 2
            ctx.set(dut.memory_busy, 0)
            await ctx.tick().repeat(2)
            assert await read(ctx, dut, "STATUS") == Status.DONE
            cycles = await read(ctx, dut, "CYCLES_LO")
            assert 10 < cycles < 30
            assert await read(ctx, dut, "CYCLES_LO") == cycles

    simulate(dut, testbench)


@pytest.mark.parametrize(
    ("retired", "load_state", "cause"),
    [
        (1, ModuleState.IDLE, Cause.NO_FINISH),
        (0, ModuleState.WAIT_POP_NEXT, Cause.DEADLOCK),
        (0, ModuleState.WAIT_PUSH_NEXT, Cause.DEADLOCK),
    ],
)
def test_quiet_engine(retired, load_state, cause):
    dut = ControlUnit(TINY)

    async def testbench(ctx):
        await launch(ctx, dut, 1)
        ctx.set(dut.fetch_done, 1)
        ctx.set(dut.status_load.state, ModuleState.BUSY)
        await ctx.tick().repeat(3 * QUIET_CYCLES)
        assert await read(ctx, dut, "STATUS") == Status.BUSY
        ctx.set(dut.status_load.state, load_state)
        ctx.set(dut.status_load.retired, retired)
        await ctx.tick().repeat(QUIET_CYCLES + 3)
        assert await read(ctx, dut, "STATUS") == Status.FAULT
        assert await read(ctx, dut, "FAULT") == cause | Unit.ENGINE << 8
        assert await read(ctx, dut, "LOAD_STATE") == load_state
        assert ctx.get(dut.stop) == (cause != Cause.DEADLOCK)

    simulate(dut, testbench)


def test_first_fault_wins_and_names_the_burst():
    dut = ControlUnit(TINY)

    async def testbench(ctx):
        await launch(ctx, dut, 5)
        await ctx.tick()
        ctx.set(dut.fault_compute.raised, 1)
        ctx.set(dut.fault_compute.cause, Cause.BUS_ERROR)
        ctx.set(dut.failed_compute, 1)
        ctx.set(dut.failed_address_compute, 0x1234)
        await ctx.tick()
        ctx.set(dut.fault_load.raised, 1)
        ctx.set(dut.fault_load.cause, Cause.SCRATCHPAD_RANGE)
        await ctx.tick().repeat(2)
        assert ctx.get(dut.stop)
        assert await read(ctx, dut, "FAULT") == Cause.BUS_ERROR | Unit.COMPUTE << 8
        assert await read(ctx, dut, "FAULT_VALUE") == 0x1234
        await launch(ctx, dut, 5)
        assert await read(ctx, dut, "STATUS") == Status.FAULT, "a launch after a fault has to wait for a reset"

    simulate(dut, testbench)
