"""Registers in front of devices: played ones tell a driver what those of the RTL tell."""

from __future__ import annotations

import random

import pytest
from support.configs import CONFIGS
from support.devices import KINDS, shared_device
from weft_hardware.isa import Memory
from weft_hardware.registers import BY_NAME, REGISTERS, Access, Cause, Control, Interrupt, Status, Unit
from weft_runtime.errors import FaultError
from weft_simulator.lockstep.differential import clearing_program
from weft_simulator.lockstep.generator import generate
from weft_simulator.lockstep.spoiler import faulty_instructions, with_a_fault, without_a_pop, without_a_push
from weft_simulator.ports import Port, port_of

CONFIG = CONFIGS["vta"]


class Driver:
    """A driver in a few lines, of the hardware's registers alone."""

    def __init__(self, port: Port) -> None:
        self.port = port

    def read(self, name: str) -> int:
        return self.port.read(BY_NAME[name].offset)

    def write(self, name: str, value: int) -> None:
        self.port.write(BY_NAME[name].offset, value)

    def write_wide(self, name: str, value: int) -> None:
        self.write(f"{name}_LO", value & 0xFFFFFFFF)
        self.write(f"{name}_HI", value >> 32)

    def run(self, program, window: tuple[int, int]) -> Status:
        launch = program.launch()
        self.write("INSN_COUNT", launch.insn_count)
        self.write_wide("INSN_ADDR", launch.insn_address)
        for memory in Memory:
            begin, end = launch.windows.get(memory, window)
            self.write_wide(f"{memory.name}_BASE", launch.bases.get(memory, 0))
            self.write_wide(f"{memory.name}_FIRST", begin)
            self.write_wide(f"{memory.name}_LAST", end - 1)
        self.write("CONTROL", Control.START)
        while not (status := Status(self.read("STATUS"))) & (Status.DONE | Status.FAULT):
            self.port.wait()
        return status

    def reset(self) -> None:
        self.write("CONTROL", Control.RESET)
        while Status.RESETTING in Status(self.read("STATUS")):
            self.port.wait()


@pytest.fixture(params=KINDS)
def bench(request):
    device, dram = shared_device(request.param, CONFIG)
    clear(device, dram)
    driver = Driver(port_of(device))
    driver.reset()
    yield driver, device, dram
    driver.port.release()


def clear(device, dram):
    """Scratchpads hold zeros: programs read what the ones before left there."""
    clearing = clearing_program(CONFIG)
    dram.data[: clearing.image.size] = clearing.image
    device.launch(clearing.launch())


def expected(program):
    """Memory and fault of the functional device without registers."""
    device, dram = shared_device("functional", CONFIG, read_latency=1)
    clear(device, dram)
    dram.data[:] = program.image
    try:
        device.launch(program.launch())
    except FaultError as error:
        return dram.data.copy(), error.fault
    return dram.data.copy(), None


def window(dram):
    return dram.base, dram.base + dram.data.size


def test_identity_and_interrupts(bench):
    driver, _, dram = bench
    assert driver.read("CONFIG_DIGEST") == int(CONFIG.digest[:8], 16)
    assert driver.read("IDENTITY").to_bytes(4, "little") == b"WEFT"
    driver.write("IRQ_STATUS", 3)
    program = generate(CONFIG, 1)
    dram.data[:] = program.image
    assert driver.run(program, window(dram)) == Status.DONE
    assert driver.read("IRQ_STATUS") == Interrupt.DONE
    driver.write("IRQ_STATUS", Interrupt.DONE)
    assert driver.read("IRQ_STATUS") == 0


@pytest.mark.parametrize("seed", range(4))
def test_programs(bench, seed):
    driver, _, dram = bench
    program = generate(CONFIG, seed)
    memory, _ = expected(program)
    dram.data[:] = program.image
    assert driver.run(program, window(dram)) == Status.DONE
    assert (dram.data == memory).all()
    assert driver.read("TOKENS_LOAD_COMPUTE") == 0


def test_faults(bench):
    driver, _, dram = bench
    causes = set()
    for seed, (cause, faulty) in enumerate(faulty_instructions(CONFIG)[::5]):
        program = with_a_fault(generate(CONFIG, seed), random.Random(seed), faulty)
        if program is None:
            continue
        _, fault = expected(program)
        assert fault is not None
        dram.data[:] = program.image
        assert driver.run(program, window(dram)) == Status.FAULT
        word = driver.read("FAULT")
        told = Cause(word & 0xFF), Unit(word >> 8), driver.read("FAULT_INDEX"), driver.read("FAULT_VALUE_LO")
        assert told == (cause, fault.unit, fault.index, fault.value & 0xFFFFFFFF), faulty
        causes.add(cause)
        driver.reset()
        assert driver.read("STATUS") == driver.read("FAULT") == 0
    assert len(causes) > 1


def test_hangs_and_tokens_that_are_left(bench):
    driver, _, dram = bench
    found = set()
    for seed in range(12):
        for spoil in (without_a_push, without_a_pop):
            program = spoil(generate(CONFIG, seed), random.Random(seed))
            if program is None:
                continue
            dram.data[:] = program.image
            if driver.run(program, window(dram)) == Status.FAULT:
                assert driver.read("FAULT") & 0xFF == Cause.DEADLOCK
                found.add("hang")
                driver.reset()
            else:
                queues = ("LOAD_COMPUTE", "COMPUTE_LOAD", "COMPUTE_STORE", "STORE_COMPUTE")
                assert any(driver.read(f"TOKENS_{queue}") for queue in queues)
                found.add("token")
    assert found == {"hang", "token"}


def test_registers_keep_what_is_written(bench):
    driver, *_ = bench
    for register in REGISTERS:
        before = driver.port.read(register.offset)
        if register.access is Access.READ or register.access is Access.LATCH:
            driver.port.write(register.offset, ~before & 0xFFFFFFFF)
            assert driver.port.read(register.offset) == before, register
    driver.write("INSN_COUNT", 12345)
    assert driver.read("INSN_COUNT") == 12345
