"""cocotb: every register of the control unit through cocotbext-axi's AXI4-Lite manager."""

from __future__ import annotations

import itertools
import os
import random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster
from weft_hardware.registers import (
    ADDRESS_BITS,
    BY_NAME,
    DRAIN_LIMIT_INITIAL,
    IDENTITY_VALUE,
    REGISTERS,
    Access,
    Interrupt,
)

BYTES = 1 << ADDRESS_BITS
ADDRESS_HIGH_BITS = 8
"""Of the bench's configuration: addresses have 40 bits."""

PAUSES = {
    "none": lambda rng: itertools.repeat(False),
    "every other cycle": lambda rng: itertools.cycle([False, True]),
    "seldom ready": lambda rng: itertools.cycle([True, True, True, False]),
    "random": lambda rng: (rng.random() < 0.5 for _ in itertools.count()),
}


def kept_bits(register: Any) -> int:
    """The bits of a writable register that read back."""
    if register.name == "CONTROL":
        return 0
    if register.name == "IRQ_ENABLE":
        return (1 << len(Interrupt)) - 1
    return (1 << ADDRESS_HIGH_BITS) - 1 if register.name.endswith("_HI") else 0xFFFFFFFF


def initial(register: Any) -> int:
    special = {"IDENTITY": IDENTITY_VALUE, "DRAIN_LIMIT": DRAIN_LIMIT_INITIAL}
    if register.name.endswith("_LAST_LO"):
        return 0xFFFFFFFF
    if register.name.endswith("_LAST_HI"):
        return (1 << ADDRESS_HIGH_BITS) - 1
    return special.get(register.name, 0)


async def start(dut: Any) -> AxiLiteMaster:
    cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
    manager = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "host_"), dut.clk, dut.rst)
    dut.rst.value = 1
    await ClockCycles(dut.clk, 3)
    dut.rst.value = 0
    # The window table fills itself after a reset and takes writes only then.
    await ClockCycles(dut.clk, 40)
    return manager


def pause(manager: AxiLiteMaster, idle: str, backpressure: str, rng: random.Random) -> None:
    """``idle`` holds back what the manager sends, ``backpressure`` what it takes."""
    write, read = manager.write_if, manager.read_if
    for channel in (write.aw_channel, write.w_channel, read.ar_channel):
        channel.set_pause_generator(PAUSES[idle](rng))
    for channel in (write.b_channel, read.r_channel):
        channel.set_pause_generator(PAUSES[backpressure](rng))


async def read(manager: AxiLiteMaster, address: int) -> int:
    answer = await manager.read(address, 4)
    assert answer.resp == 0, f"address {address:#x}: response {answer.resp}"
    return int.from_bytes(answer.data, "little")


async def write(manager: AxiLiteMaster, address: int, data: bytes) -> None:
    """``data`` may be less than a word: the manager sets the strobes of its bytes alone."""
    answer = await manager.write(address, data)
    assert answer.resp == 0, f"address {address:#x}: response {answer.resp}"


class Model:
    """What every word reads as while the engine idles."""

    def __init__(self) -> None:
        self.by_offset = {register.offset: register for register in REGISTERS}
        self.words = {register.offset: initial(register) for register in REGISTERS}

    def write(self, address: int, data: bytes) -> None:
        for at, byte in enumerate(data, start=address):
            register = self.by_offset.get(at & ~3)
            if register is None or register.access is not Access.WRITE:
                continue
            shift = 8 * (at & 3)
            mask = 0xFF << shift & kept_bits(register)
            self.words[at & ~3] = self.words[at & ~3] & ~mask | byte << shift & mask

    def read(self, address: int) -> int:
        return self.words.get(address, 0)

    async def check(self, manager: AxiLiteMaster, addresses: Any = range(0, BYTES, 4)) -> None:
        for address in addresses:
            if address == BY_NAME["CONFIG_DIGEST"].offset:
                continue  # checked by `registers_after_reset`
            got = await read(manager, address)
            assert got == self.read(address), f"address {address:#x}: {got:#x} instead of {self.read(address):#x}"


def random_data(rng: random.Random, address: int, size: int) -> bytes:
    """Anything, but never a launch or a reset."""
    data = bytearray(rng.randbytes(size))
    if address == BY_NAME["CONTROL"].offset:
        data[0] &= 0xFC
    return bytes(data)


@cocotb.test()
async def registers_after_reset(dut: Any) -> None:
    """Every word of the map, declared or not."""
    manager = await start(dut)
    await Model().check(manager)
    digest = int(os.environ["WEFT_DIGEST"][:8], 16)
    assert await read(manager, BY_NAME["CONFIG_DIGEST"].offset) == digest


@cocotb.test()
@cocotb.parametrize(idle=list(PAUSES), backpressure=list(PAUSES))
async def strobes_and_every_word(dut: Any, idle: str, backpressure: str) -> None:
    """Sizes 1 to 4 at each offset in a word; afterwards every word is checked, the others being the guards."""
    rng = random.Random(f"{idle}/{backpressure}")
    manager = await start(dut)
    pause(manager, idle, backpressure, rng)
    model = Model()
    places = [(offset, size) for offset in range(4) for size in range(1, 5 - offset)]
    words = list(range(0, BYTES, 4))
    rng.shuffle(words)
    for word, (offset, size) in zip(words, itertools.cycle(places)):
        data = random_data(rng, word, size) if offset == 0 else rng.randbytes(size)
        await write(manager, word + offset, data)
        model.write(word + offset, data)
    await model.check(manager)


@cocotb.test()
@cocotb.parametrize(idle=list(PAUSES), backpressure=list(PAUSES))
async def back_to_back(dut: Any, idle: str, backpressure: str) -> None:
    """Many accesses are handed to the manager at once; reads and writes are independent of each other."""
    rng = random.Random(f"{idle}+{backpressure}")
    manager = await start(dut)
    pause(manager, idle, backpressure, rng)
    model = Model()
    written = rng.sample([r for r in REGISTERS if r.writable and r.name != "CONTROL"], 20)
    rest = [r.offset for r in REGISTERS if r not in written and r.name != "CONFIG_DIGEST"]
    writes = []
    for register in written * 2:
        data = rng.randbytes(4)
        model.write(register.offset, data)
        writes.append(manager.init_write(register.offset, data))
    reads = [(offset, manager.init_read(offset, 4)) for offset in rng.choices(rest, k=40)]
    for event in writes:
        await event.wait()
    for offset, event in reads:
        await event.wait()
        assert int.from_bytes(event.data.data, "little") == model.read(offset), f"{offset:#x}"
    await model.check(manager, [register.offset for register in written])


@cocotb.test()
async def an_access_takes_two_cycles(dut: Any) -> None:
    """Without pauses one access follows the other every second cycle, in both directions at once."""
    manager = await start(dut)
    register = BY_NAME["INP_BASE_LO"].offset
    moments: dict[str, list[int]] = {"b": [], "r": []}

    async def watch() -> None:
        for cycle in itertools.count():
            await RisingEdge(dut.clk)
            if dut.host__bvalid.value == 1 and dut.host__bready.value == 1:
                moments["b"].append(cycle)
            if dut.host__rvalid.value == 1 and dut.host__rready.value == 1:
                moments["r"].append(cycle)

    watcher = cocotb.start_soon(watch())
    events = [manager.init_write(register, bytes([k] * 4)) for k in range(12)]
    events += [manager.init_read(BY_NAME["IDENTITY"].offset, 4) for _ in range(12)]
    for event in events:
        await event.wait()
    watcher.cancel()
    for kind, times in moments.items():
        steps = {later - earlier for earlier, later in itertools.pairwise(times)}
        assert len(times) == 12
        assert steps == {2}, (kind, times)
