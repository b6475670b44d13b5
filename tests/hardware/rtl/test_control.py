"""The register file against its declaration; launch, end, faults, hangs, watchdog, reset, interrupt and counters."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.bench import TINY, seeded, simulate
from weft_hardware.registers import (
    DRAIN_LIMIT_INITIAL,
    IDENTITY_VALUE,
    REGISTERS,
    WINDOW_ROWS,
    Access,
    Activity,
    Cause,
    Control,
    Interrupt,
    ModuleState,
    Status,
    Unit,
    offset,
)
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
    while not ctx.get(host.awready & host.wready):
        await ctx.tick()
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
            if register.name in ("CONTROL", "IRQ_STATUS"):
                continue
            value = rng.getrandbits(32)
            await write(ctx, dut, register.name, value)
            if register.writable:
                bits = address_bits - 32 if register.name.endswith("_HI") else 32
                bits = len(Interrupt) if register.name == "IRQ_ENABLE" else bits
                values[register.name] = value & ((1 << bits) - 1)
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
        await write(ctx, dut, "WGT_LAST_LO", 0x11223344)
        await write(ctx, dut, "WGT_LAST_LO", 0xAABBCCDD, strobe=0b1001)
        assert await read(ctx, dut, "WGT_LAST_LO") == 0xAA2233DD

    simulate(dut, testbench)


async def launch(ctx, dut, count):
    await write(ctx, dut, "INSN_COUNT", count)
    ctx.set(dut.fetch_done, 0)
    await write(ctx, dut, "CONTROL", Control.START)


def test_done_needs_everything():
    """FINISH, all retired, nothing under way; and the cycle counter stops with it."""
    dut = ControlUnit(TINY)

    async def testbench(ctx):
        for _ in range(2):
            ctx.set(dut.status_load.retired, 0)
            ctx.set(dut.status_compute.retired, 0)
            await launch(ctx, dut, 3)
            await ctx.tick().repeat(4)
            assert await read(ctx, dut, "STATUS") == Status.BUSY
            ctx.set(dut.finished, 1)
            await ctx.tick()
            ctx.set(dut.finished, 0)
            ctx.set(dut.fetch_done, 1)
            ctx.set(dut.memory_busy, 1)
            ctx.set(dut.status_load.retired, 1)
            ctx.set(dut.status_compute.retired, 2)
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
        assert await read(ctx, dut, "FAULT_INDEX") == retired
        assert ctx.get(dut.stop) == (cause != Cause.DEADLOCK)

    simulate(dut, testbench)


def test_first_fault_wins_and_names_instruction_and_burst():
    dut = ControlUnit(replace(TINY, axi_addr_bits=40))

    async def testbench(ctx):
        await launch(ctx, dut, 5)
        await ctx.tick()
        ctx.set(dut.status_compute.retired, 3)
        ctx.set(dut.fault_compute.raised, 1)
        ctx.set(dut.fault_compute.cause, Cause.BUS_ERROR)
        ctx.set(dut.failed_compute, 1)
        ctx.set(dut.failed_address_compute, 0x56_0000_1234)
        await ctx.tick()
        ctx.set(dut.fault_load.raised, 1)
        ctx.set(dut.fault_load.cause, Cause.SCRATCHPAD_RANGE)
        await ctx.tick().repeat(2)
        assert ctx.get(dut.stop)
        assert await read(ctx, dut, "FAULT") == Cause.BUS_ERROR | Unit.COMPUTE << 8
        assert await read(ctx, dut, "FAULT_INDEX") == 3
        assert await read(ctx, dut, "FAULT_VALUE_LO") == 0x1234
        assert await read(ctx, dut, "FAULT_VALUE_HI") == 0x56
        await launch(ctx, dut, 5)
        assert await read(ctx, dut, "STATUS") == Status.FAULT, "a launch after a fault has to wait for a reset"

    simulate(dut, testbench)


def test_the_index_of_a_fault_in_fetch_counts_in_the_program():
    dut = ControlUnit(TINY)

    async def testbench(ctx):
        ctx.set(dut.fetch_left, 7)
        await launch(ctx, dut, 12)
        await ctx.tick()
        ctx.set(dut.fault_fetch.raised, 1)
        ctx.set(dut.fault_fetch.cause, Cause.WINDOW)
        ctx.set(dut.fault_fetch.value, 0xFFFF_FFF0_0000_0010)
        await ctx.tick().repeat(2)
        assert await read(ctx, dut, "FAULT") == Cause.WINDOW | Unit.FETCH << 8
        assert await read(ctx, dut, "FAULT_INDEX") == 5
        assert await read(ctx, dut, "FAULT_VALUE_LO") == 0x10
        assert await read(ctx, dut, "FAULT_VALUE_HI") == 0xFFFF_FFF0

    simulate(dut, testbench)


@pytest.mark.parametrize("address_bits", [32, 40])
def test_windows_are_open_after_a_hardware_reset(address_bits):
    dut = ControlUnit(replace(TINY, axi_addr_bits=address_bits))
    highest = (1 << address_bits) - 1

    async def testbench(ctx):
        await write(ctx, dut, "INP_FIRST_LO", 0x1000)
        await write(ctx, dut, "INP_LAST_LO", 0x1FFF)
        await write(ctx, dut, "INP_LAST_HI", 0)
        for name, row in WINDOW_ROWS.items():
            first, last = (0x1000, 0x1FFF) if name == "INP" else (0, highest)
            for end, value in (("FIRST", first), ("LAST", last)):
                assert await read(ctx, dut, f"{name}_{end}_LO") == value & 0xFFFFFFFF, name
                assert await read(ctx, dut, f"{name}_{end}_HI") == value >> 32, name
            for unit in ("load", "fetch"):
                port = getattr(dut, f"window_{unit}")
                ctx.set(port.row, row)
                ctx.set(port.read, 1)
                await ctx.tick()
                ctx.set(port.read, 0)
                ctx.set(port.row, 7)
                assert (ctx.get(port.first), ctx.get(port.last)) == (first, last), name

    simulate(dut, testbench)


def test_interrupts():
    """Raised by done and by a fault, if enabled; lowered by clearing the status."""
    dut = ControlUnit(TINY)

    async def testbench(ctx):
        await write(ctx, dut, "IRQ_ENABLE", Interrupt.DONE)
        await launch(ctx, dut, 1)
        ctx.set(dut.finished, 1)
        ctx.set(dut.fetch_done, 1)
        ctx.set(dut.status_compute.retired, 1)
        assert not ctx.get(dut.irq)
        await ctx.tick().repeat(5)
        assert ctx.get(dut.irq)
        assert await read(ctx, dut, "IRQ_STATUS") == Interrupt.DONE
        await write(ctx, dut, "IRQ_STATUS", Interrupt.FAULT)
        assert ctx.get(dut.irq), "the other bit was cleared"
        await write(ctx, dut, "IRQ_STATUS", Interrupt.DONE)
        await ctx.tick().repeat(2)
        assert not ctx.get(dut.irq)
        assert await read(ctx, dut, "STATUS") == Status.DONE

        await launch(ctx, dut, 1)
        ctx.set(dut.fault_store.raised, 1)
        await ctx.tick().repeat(3)
        assert await read(ctx, dut, "IRQ_STATUS") == Interrupt.FAULT
        assert not ctx.get(dut.irq), "a fault raises no interrupt unless enabled"
        await write(ctx, dut, "IRQ_ENABLE", Interrupt.FAULT)
        await ctx.tick()
        assert ctx.get(dut.irq)

    simulate(dut, testbench)


@pytest.mark.parametrize("busy", ["load", "compute", "store", "fetch"])
@pytest.mark.parametrize("limit", [0, 2, 20])
def test_watchdog(busy, limit):
    """It counts cycles in which nothing moves, neither on the bus nor in a module, and blames who is busy."""
    dut = ControlUnit(TINY)

    async def testbench(ctx):
        await write(ctx, dut, "WATCHDOG", limit)
        ctx.set(dut.bus_moves, 1)
        await launch(ctx, dut, 9)
        ctx.set(dut.memory_busy, 1)
        if busy != "fetch":
            ctx.set(getattr(dut, f"status_{busy}").state, ModuleState.BUSY)
            ctx.set(getattr(dut, f"status_{busy}").retired, 2)
        for moves in (dut.effort_load.moves, dut.effort_compute.moves, dut.effort_store.moves, dut.bus_moves):
            ctx.set(dut.bus_moves, 0)
            ctx.set(moves, 1)
            await ctx.tick().repeat(2 * limit + 1)
            assert not ctx.get(dut.stop), "something moved in every cycle"
            ctx.set(moves, 0)
            await ctx.tick().repeat(max(1, limit // 2))
        ctx.set(dut.bus_moves, 1)
        await ctx.tick()
        ctx.set(dut.bus_moves, 0)
        await ctx.tick().repeat(limit + 2)
        assert not ctx.get(dut.stop)
        await ctx.tick()
        assert ctx.get(dut.stop) == (limit != 0)
        if limit:
            assert await read(ctx, dut, "FAULT") == Cause.WATCHDOG | Unit[busy.upper()] << 8
            assert await read(ctx, dut, "FAULT_INDEX") == {"fetch": 9}.get(busy, 2)
            assert await read(ctx, dut, "FAULT_VALUE_LO") == limit

    simulate(dut, testbench)


@pytest.mark.parametrize("reads", [0, 1])
@pytest.mark.parametrize("state", ["idle", "running", "done", "at fault"])
def test_soft_reset(state, reads):
    """It stops the engine at once, waits for reads and writes, clears all units once, and a launch works again."""
    dut = ControlUnit(TINY)

    async def testbench(ctx):
        await write(ctx, dut, "INP_BASE_LO", 0x4440)
        if state != "idle":
            await launch(ctx, dut, 3)
        if state == "done":
            ctx.set(dut.finished, 1)
            ctx.set(dut.fetch_done, 1)
            ctx.set(dut.status_compute.retired, 3)
            await ctx.tick().repeat(4)
            assert await read(ctx, dut, "STATUS") == Status.DONE
        if state == "at fault":
            ctx.set(dut.fault_load.raised, 1)
            await ctx.tick().repeat(2)
        missing = dut.reads_missing if reads else dut.writes_missing
        ctx.set(missing, 1)
        await write(ctx, dut, "CONTROL", Control.RESET | Control.START)
        assert ctx.get(dut.stop)
        for _ in range(100):
            await ctx.tick()
            assert not ctx.get(dut.clear | dut.start)
        assert await read(ctx, dut, "STATUS") == Status.RESETTING | (Status.FAULT if state == "at fault" else 0)
        await launch(ctx, dut, 3)
        ctx.set(missing, 0)
        pulses = 0
        for _ in range(20):
            if ctx.get(dut.clear):
                pulses += 1
                assert ctx.get(dut.stop), "nothing may begin before all is clear"
                ctx.set(dut.fault_load.raised, 0)
                ctx.set(dut.status_compute.retired, 0)
            await ctx.tick()
        assert pulses == 1
        for name in ("STATUS", "FAULT", "FAULT_INDEX", "FAULT_VALUE_LO", "COMPUTE_RETIRED"):
            assert await read(ctx, dut, name) == 0, name
        assert await read(ctx, dut, "INP_BASE_LO") == 0x4440
        assert not ctx.get(dut.stop)
        await launch(ctx, dut, 3)
        assert await read(ctx, dut, "STATUS") == Status.BUSY

    simulate(dut, testbench)


@pytest.mark.parametrize(("reads", "writes"), [(1, 0), (0, 1), (1, 1)])
def test_a_bus_that_hangs(reads, writes):
    dut = ControlUnit(TINY)

    async def testbench(ctx):
        assert await read(ctx, dut, "DRAIN_LIMIT") == DRAIN_LIMIT_INITIAL
        await write(ctx, dut, "DRAIN_LIMIT", 50)
        await write(ctx, dut, "IRQ_ENABLE", Interrupt.FAULT)
        await launch(ctx, dut, 3)
        ctx.set(dut.reads_missing, reads)
        ctx.set(dut.writes_missing, writes)
        await write(ctx, dut, "CONTROL", Control.RESET)
        await ctx.tick().repeat(49)
        assert await read(ctx, dut, "STATUS") == Status.RESETTING
        await ctx.tick().repeat(3)
        assert await read(ctx, dut, "STATUS") == Status.FAULT
        assert await read(ctx, dut, "FAULT") == Cause.BUS_HUNG | Unit.ENGINE << 8
        assert await read(ctx, dut, "FAULT_VALUE_LO") == reads | writes << 1
        assert ctx.get(dut.irq & dut.stop)
        # Should the memory answer after all, another soft reset is enough.
        ctx.set(dut.reads_missing, 0)
        ctx.set(dut.writes_missing, 0)
        await write(ctx, dut, "CONTROL", Control.RESET)
        await ctx.tick().repeat(5)
        assert await read(ctx, dut, "STATUS") == 0

    simulate(dut, testbench)


STATES = {
    Activity.IDLE: (ModuleState.IDLE, None),
    Activity.QUEUE: (ModuleState.IDLE, None),
    Activity.BUSY: (ModuleState.BUSY, None),
    Activity.MEMORY: (ModuleState.BUSY, "waits_memory"),
    Activity.HAZARD: (ModuleState.BUSY, "waits_bank"),
}
WAITS = [state for state in ModuleState if state.name.startswith("WAIT")]


def test_activities_add_up_to_the_cycles():
    rng, dut = seeded(5), ControlUnit(TINY)

    async def testbench(ctx):
        for _ in range(2):
            ctx.set(dut.status_compute.retired, 0)
            await launch(ctx, dut, 1)
            expected = {module: dict.fromkeys(Activity, 0) for module in ("load", "compute", "store")}
            for _ in range(300):
                idle = rng.random() < 0.5
                ctx.set(dut.fetch_done, idle)
                for module, counts in expected.items():
                    activity = rng.choice(list(Activity))
                    if {activity, Activity.IDLE if not idle else Activity.QUEUE} <= {Activity.IDLE, Activity.QUEUE}:
                        activity = Activity.IDLE if idle else Activity.QUEUE
                    state, wait = STATES.get(activity, (rng.choice(WAITS), None))
                    ctx.set(getattr(dut, f"status_{module}").state, state)
                    for name in ("waits_memory", "waits_bank"):
                        ctx.set(getattr(getattr(dut, f"effort_{module}"), name), name == wait)
                    counts[activity] += 1
                await ctx.tick()
            ctx.set(dut.fetch_done, 1)
            for module in expected:
                ctx.set(getattr(dut, f"status_{module}").state, ModuleState.IDLE)
            ctx.set(dut.status_compute.retired, 1)
            ctx.set(dut.finished, 1)
            await ctx.tick()
            ctx.set(dut.finished, 0)
            await ctx.tick().repeat(5)
            assert await read(ctx, dut, "STATUS") == Status.DONE
            cycles = await read(ctx, dut, "CYCLES_LO")
            for module, counts in expected.items():
                measured = {a: await read(ctx, dut, f"{module.upper()}_{a.name}_LO") for a in Activity}
                assert sum(measured.values()) == cycles
                # Before the random states and after them the module had nothing to do.
                around = {a: measured[a] - counts[a] for a in Activity}
                assert around.pop(Activity.QUEUE) >= 0
                assert around.pop(Activity.IDLE) >= 0
                assert set(around.values()) == {0}

    simulate(dut, testbench)


def test_reading_a_lower_half_keeps_the_upper_one():
    dut = ControlUnit(TINY)

    async def testbench(ctx):
        await launch(ctx, dut, 1)
        ctx.set(dut.fault_load.raised, 1)
        ctx.set(dut.fault_load.value, 0x1234_5678_9ABC_DEF0)
        await ctx.tick().repeat(2)
        assert await read(ctx, dut, "FAULT_VALUE_LO") == 0x9ABCDEF0
        assert await read(ctx, dut, "FAULT_VALUE_HI") == 0x12345678
        assert await read(ctx, dut, "CYCLES_LO") < 20
        assert await read(ctx, dut, "FAULT_VALUE_HI") == 0, "what is kept is the upper half of the last pair"

    simulate(dut, testbench)


def test_every_pair_that_the_engine_writes_is_latched():
    names = {r.name for r in REGISTERS if r.access is Access.LATCH}
    assert names == {r.name for r in REGISTERS if r.name.endswith("_LO") and not r.writable}
