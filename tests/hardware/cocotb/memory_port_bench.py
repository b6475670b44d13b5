"""cocotb: whole programs on the accelerator, its memory cocotbext-axi's AXI4 RAM, its host cocotbext-axi's manager."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam
from support.bench import TINY
from support.cocotb_ports import PAUSES, AxiWatch, pause_memory
from weft_hardware.isa import Finish, Instruction, Load, Memory, Store
from weft_hardware.latencies import PAGE_BYTES
from weft_hardware.registers import BY_NAME, Control, Interrupt, Status
from weft_simulator.lockstep.generator import Style, generate
from weft_simulator.lockstep.oracle import linear_order, predecessors
from weft_simulator.lockstep.program import Program
from weft_simulator.lockstep.reference import Machine

CONFIG = replace(TINY, acc_depth=64, max_burst=16, widening_load=True, epilogue_lanes=4, param_depth=5, residual=True)
"""Tiles of ACC_8BIT and of OUT are half a beat."""

RAM_BYTES, RAM_BASE = 1 << 20, 1 << 16

MACHINE = Machine(CONFIG)
"""Scratchpads keep their content from test to test, here as in the hardware."""


class Bench:
    """The accelerator between its host and its memory."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
        self.host = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "host_"), dut.clk, dut.rst)
        self.ram = AxiRam(AxiBus.from_prefix(dut, "mem_"), dut.clk, dut.rst, size=RAM_BYTES)
        self.watch = AxiWatch(dut, "mem_", CONFIG)

    async def reset(self) -> None:
        self.dut.rst.value = 1
        await ClockCycles(self.dut.clk, 3)
        self.dut.rst.value = 0
        await ClockCycles(self.dut.clk, 40)

    async def write(self, name: str, value: int) -> None:
        await self.host.write(BY_NAME[name].offset, value.to_bytes(4, "little"))

    async def read(self, name: str) -> int:
        return int.from_bytes((await self.host.read(BY_NAME[name].offset, 4)).data, "little")

    async def run(self, program: Program) -> None:
        """Run a program; the whole RAM must be as the model's, what no program may touch included."""
        expected = bytearray(b"\xa5" * RAM_BYTES)
        inside = slice(RAM_BASE, RAM_BASE + program.image.size)
        expected[inside] = program.image.tobytes()
        self.ram.write(0, bytes(expected))
        order = linear_order(predecessors(program.instructions))
        expected[inside] = bytes(MACHINE.run(program, order))
        await self.write("INSN_COUNT", len(program.instructions))
        await self.write("INSN_ADDR_LO", program.insn_address)
        for memory, base in program.bases.items():
            await self.write(f"{memory.name}_BASE_LO", base)
        await self.write("IRQ_STATUS", 3)
        await self.write("IRQ_ENABLE", int(Interrupt.DONE | Interrupt.FAULT))
        assert self.dut.irq.value == 0
        await self.write("CONTROL", Control.START)
        await with_timeout(RisingEdge(self.dut.irq), 5, "ms")
        status, fault = await self.read("STATUS"), await self.read("FAULT")
        assert status == Status.DONE, f"STATUS {status}, FAULT {fault:#x}: {program}"
        got = np.frombuffer(self.ram.read(0, RAM_BYTES), np.uint8)
        wrong = np.flatnonzero(got != np.frombuffer(expected, np.uint8))
        assert wrong.size == 0, f"{wrong.size} bytes differ, first at {wrong[0]:#x}: {program}"


async def start(dut: Any, idle: str, backpressure: str, rng: random.Random) -> Bench:
    bench = Bench(dut)
    await bench.reset()
    pause_memory(bench.ram, idle, backpressure, rng)
    cocotb.start_soon(bench.watch.run())
    return bench


SIZES = (1, 2, 3, 15, 33, 64)
PLACES = (0, 1, PAGE_BYTES // 4 - 1, PAGE_BYTES // 4 - 3, PAGE_BYTES // 4 - 2)
"""Tiles of 4 bytes from the begin of a page: either half of a beat, in the middle of a page and across its end."""

TRANSFERS = [(size, source, target) for size in SIZES for source in PLACES for target in PLACES]


def copies(transfers: list[tuple[int, int, int]], rng: random.Random) -> Program:
    """Copy bytes through ACC, transfer after transfer, each between bytes that must stay as they are."""
    instructions: list[Instruction] = []
    image = np.frombuffer(rng.randbytes(384 * 1024), np.uint8).copy()
    source_page, target_page = 16, 48
    bases = dict.fromkeys(Memory, RAM_BASE)
    for number, (size, source, target) in enumerate(transfers):
        sram = rng.randrange(CONFIG.acc_depth - size + 1)
        source_tile = source + (source_page + number % 16 * 2) * PAGE_BYTES // 4
        target_tile = target + (target_page + number % 22 * 2) * PAGE_BYTES // 4
        one_row = {"sram": sram, "x_size": size, "y_size": 1}
        pops = bool(number)
        instructions.append(Load(memory=Memory.ACC_8BIT, dram=source_tile, push_next=True, pop_next=pops, **one_row))
        instructions.append(Store(memory=Memory.OUT, dram=target_tile, pop_prev=True, push_prev=True, **one_row))
    instructions.append(Finish(pop_next=True))
    program = Program(CONFIG, instructions, image, RAM_BASE, bases, RAM_BASE, "copies")
    program.install()
    return program


@cocotb.test()
@cocotb.parametrize(idle=list(PAUSES), backpressure=list(PAUSES))
async def transfers_of_every_size_and_place(dut: Any, idle: str, backpressure: str) -> None:
    """Each combination of pauses takes its share of sizes and places, and all of them together every one."""
    rng = random.Random(f"{idle}/{backpressure}")
    share = list(PAUSES).index(idle) * len(PAUSES) + list(PAUSES).index(backpressure)
    bench = await start(dut, idle, backpressure, rng)
    await bench.run(copies(TRANSFERS[share :: len(PAUSES) ** 2], rng))
    assert len(bench.watch.reads) + len(bench.watch.writes) > 2


@cocotb.test()
@cocotb.parametrize(seed=list(range(4)), pauses=["random", "long"])
async def random_programs(dut: Any, seed: int, pauses: str) -> None:
    rng = random.Random(seed)
    bench = await start(dut, pauses, pauses, rng)
    style = Style(length=12, pipelined=bool(seed % 2), extra_tokens=0.1)
    await bench.run(generate(CONFIG, seed, style, dram_base=RAM_BASE))
    assert len(bench.watch.reads) + len(bench.watch.writes) > 2
