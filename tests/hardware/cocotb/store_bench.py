"""cocotb: the store module alone, its memory cocotbext-axi's RAM, compute a queue of tokens and granted reads."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import cocotb
import numpy as np
from support.bench import pack
from support.cocotb_ports import PAUSES
from support.module_bench import RAM_BYTES, ModuleBench, generator, random_flags, share
from support.single_modules import CONFIG
from weft_hardware.isa import Instruction, Load, Memory, Set, SetRegister, Store, StoreMode
from weft_hardware.latencies import ACC_READ_LATENCY, PAGE_BYTES
from weft_simulator.lockstep.extension_values import draw_register, parameter_bytes

SIZES = (1, 2, 3, 15, 33, 64)
PLACES = (0, 1, -1, -2, -3)
"""Tiles from the begin of a page or its end: in either half of a beat, blocks across a page's end."""

MEMORIES = (Memory.OUT, Memory.ACC, Memory.ACC_8BIT)
CASES = [(memory, size, place) for memory in MEMORIES for size in SIZES for place in PLACES]

TARGETS = 16 * PAGE_BYTES
"""Blocks are written from here on, each into pages of its own; before lie parameters, table and residual operands."""

PARAM_AT, TABLE_AT, RESIDUAL_AT = 0, PAGE_BYTES, 2 * PAGE_BYTES
REGISTERS = (SetRegister.ZERO_POINT, SetRegister.CLAMP_LO, SetRegister.CLAMP_HI, SetRegister.PARAM)
SUM_REGISTERS = (SetRegister.SCALE, SetRegister.RESIDUAL_SCALE, SetRegister.OFFSET, SetRegister.SUM_HI)


def set_registers(bench: ModuleBench, rng: random.Random, mode: int) -> list[Instruction]:
    """Some of the registers that a requantising store looks at."""
    registers = list(REGISTERS) + (list(SUM_REGISTERS) if mode & StoreMode.RESIDUAL else [])
    chosen = rng.sample(registers, rng.randrange(3))
    return [Set(register=register, value=draw_register(rng, register, CONFIG)) for register in chosen]


def store_of(
    case: tuple[Memory, int, int], bench: ModuleBench, rng: random.Random, page: int
) -> tuple[list[Instruction], int]:
    """A STORE of ``size`` tiles in one row or several, and what is set before it; and the pages that it takes."""
    memory, size, place = case
    rows = rng.choice([n for n in range(1, min(size, 8) + 1) if size % n == 0])
    tile = bench.machine.tile_bytes(memory)
    per_page = PAGE_BYTES // tile
    dram = (page * PAGE_BYTES - bench.machine.bases[memory]) // tile + place % per_page
    x_size = size // rows
    mode, before = 0, []
    if memory is Memory.ACC_8BIT:
        modes = (0, StoreMode.TABLE, StoreMode.RESIDUAL, StoreMode.RESIDUAL | StoreMode.SWAP | StoreMode.UNSIGNED)
        mode = rng.choice(modes)
        if x_size <= CONFIG.param_depth and rng.random() < 0.5:
            mode |= StoreMode.PARAM_X
            before.append(Set(register=SetRegister.PARAM, value=rng.randrange(CONFIG.param_depth - x_size + 1)))
        else:
            before += set_registers(bench, rng, mode)
        if mode & StoreMode.RESIDUAL:
            operand = (RESIDUAL_AT - bench.machine.bases[memory]) // tile + rng.randrange(per_page)
            before.append(Set(register=SetRegister.RESIDUAL, value=(operand - dram) & 0xFFFFFFFF))
    store = Store(
        **random_flags(rng, ("pop_prev", "push_prev")),
        memory=memory,
        sram=rng.randrange(CONFIG.acc_depth - size + 1),
        dram=dram,
        x_size=x_size,
        y_size=rows,
        x_stride=x_size + rng.choice((0, 0, 1, 3)),
        mode=mode,
    )
    return [*before, store], 2 + (rows * store.x_stride * tile - 1) // PAGE_BYTES


def program(bench: ModuleBench, rng: random.Random, cases: Any) -> list[Instruction]:
    """Parameters and the table, then a STORE a case."""
    instructions: list[Instruction] = [
        Load(memory=Memory.PARAM, x_size=CONFIG.param_depth, y_size=1, x_stride=CONFIG.param_depth),
        Load(memory=Memory.TABLE, x_size=1, y_size=1, x_stride=1, push_prev=True),
    ]
    page = TARGETS // PAGE_BYTES
    for case in cases:
        stored, pages = store_of(case, bench, rng, page)
        assert (page + pages) * PAGE_BYTES < RAM_BYTES
        instructions += stored
        page += pages
        if rng.random() < 0.2:
            instructions.append(Store(memory=Memory.OUT, **random_flags(rng, ("pop_prev", "push_prev"))))
    return instructions


class Accumulators:
    """Answers the module's reads, `ACC_READ_LATENCY` cycles after granting them; between, the port carries noise."""

    def __init__(self, bench: ModuleBench, backpressure: str) -> None:
        names = ("request__valid", "request__ready", "request__payload", "tile")
        self._valid, self._ready, self._index, self._tile = (bench.signal(f"acc_read__{name}") for name in names)
        self._tiles = [pack([int(e) for e in tile.flat], 32) for tile in bench.machine.acc]
        self._noise = bench.rng.getrandbits(CONFIG.acc_tile_bits)
        self._pause = PAUSES[backpressure](bench.rng)
        self._under_way = deque([self._noise] * (ACC_READ_LATENCY - 1))
        self._granting = False
        self._ready.value = 0

    def step(self) -> None:
        granted = self._granting and int(self._valid.value)
        self._under_way.append(self._tiles[int(self._index.value)] if granted else self._noise)
        self._tile.value = self._under_way.popleft()
        self._granting = not next(self._pause)
        self._ready.value = int(self._granting)


def written_by(insn: Instruction, bench: ModuleBench) -> list[tuple[int, int]]:
    return bench.rows(insn) if isinstance(insn, Store) else []


async def run(bench: ModuleBench, instructions: list[Instruction], backpressure: str) -> None:
    """The RAM ends as the reference's; when a token comes, all writes before it are there and acknowledged."""
    before = bytes(bench.machine.dram)
    for insn in instructions:
        bench.machine.execute(insn)
    expected, bench.machine.dram = bytes(bench.machine.dram), bytearray(before)
    await bench.begin()
    rows = [row for insn in instructions for row in written_by(insn, bench)]
    accumulators = Accumulators(bench, backpressure)

    def on_push(number: int) -> None:
        done = [row for insn in instructions[: number + 1] for row in written_by(insn, bench)]
        for begin, end in done:
            assert bench.ram.read(begin, end - begin) == expected[begin:end], f"{begin:#x} is not written yet"
        last = max((n for n, burst in enumerate(bench.watch.writes, 1) if _touches(burst, done)), default=0)
        assert bench.watch.answered >= last, f"a token came with {bench.watch.answered} of {last} bursts acknowledged"

    await bench.run(instructions, accumulators.step, on_push)
    got, wanted = (np.frombuffer(data, np.uint8) for data in (bench.ram.read(0, RAM_BYTES), expected))
    wrong = np.flatnonzero(got != wanted)
    assert wrong.size == 0, f"{wrong.size} bytes differ, first at {wrong[0]:#x}"
    assert bench.watch.answered == len(bench.watch.writes)
    assert rows


def _touches(burst: tuple[int, int], rows: list[tuple[int, int]]) -> bool:
    begin, end = burst[0], burst[0] + burst[1] * CONFIG.axi_bytes
    return any(begin < row_end and row_begin < end for row_begin, row_end in rows)


@cocotb.test()
@cocotb.parametrize(idle=list(PAUSES), backpressure=list(PAUSES))
async def blocks_of_every_size_and_place(dut: Any, idle: str, backpressure: str) -> None:
    rng = generator("store", idle, backpressure)
    cases = list(share(CASES, idle, backpressure))
    rng.shuffle(cases)
    bench = ModuleBench(dut, "store", rng, idle, backpressure, {"prev": "compute_tokens"})
    bench.machine.acc.flat = [rng.getrandbits(32) - (1 << 31) for _ in range(bench.machine.acc.size)]
    bench.machine.acc //= 1 << rng.randrange(0, 24)
    count = CONFIG.param_depth * CONFIG.block_out
    bench.machine.dram[PARAM_AT : PARAM_AT + 8 * count] = parameter_bytes(rng, count)
    bases = {Memory.OUT: 0, Memory.ACC: 64, Memory.ACC_8BIT: 128, Memory.PARAM: PARAM_AT, Memory.TABLE: TABLE_AT}
    for memory, address in bases.items():
        bench.base(memory, address)
    await run(bench, program(bench, rng, cases), backpressure)
