"""cocotb: the compute module alone, its memory cocotbext-axi's RAM, load and store queues of tokens."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge
from support.bench import pack
from support.cocotb_ports import PAUSES
from support.module_bench import FLAGS, PATIENCE, ModuleBench, generator, random_flags, share, tile_in_page
from support.single_modules import CONFIG
from weft_hardware.encoding import pack_uops
from weft_hardware.isa import (
    Alu,
    Finish,
    Gemm,
    GemmOverwrite,
    Instruction,
    Load,
    Memory,
    Set,
    SetRegister,
    alu_operations,
)
from weft_hardware.latencies import ACC_READ_LATENCY, PAGE_BYTES

SIZES = (1, 2, 3, 15, 33, 64)
PLACES = (0, 1, -1, -2, -3)
"""Tiles from the begin of a page or its end: micro-ops and ACC_8BIT in either half of a beat, blocks across its end."""

MEMORIES = (Memory.UOP, Memory.ACC, Memory.ACC_8BIT)
CASES = [(memory, size, place) for memory in MEMORIES for size in SIZES for place in PLACES]

BASES = {Memory.UOP: 0, Memory.ACC: 8 * PAGE_BYTES, Memory.ACC_8BIT: 32 * PAGE_BYTES}
PAGES = 4

GUARDS = 8
"""Accumulators at either end that no instruction names, and that are read all the time."""

OPERANDS = 16
"""INP and WGT tiles and micro-ops' accumulators: indices of micro-ops are below half of it."""


def micro_ops(rng: random.Random) -> bytes:
    count = (PAGES + 1) * PAGE_BYTES // 4
    draw = [[rng.randrange(OPERANDS // 2) for _ in range(count)] for _ in range(3)]
    return pack_uops(CONFIG, [GUARDS + dst for dst in draw[0]], [GUARDS + src for src in draw[1]], draw[2]).tobytes()


def load_of(case: tuple[Memory, int, int], bench: ModuleBench, rng: random.Random) -> Load:
    memory, size, place = case
    rows = rng.choice([n for n in range(1, min(size, 8) + 1) if size % n == 0])
    guards = 0 if memory is Memory.UOP else GUARDS
    depth = CONFIG.uop_depth if memory is Memory.UOP else CONFIG.acc_depth - 2 * GUARDS
    pads = {}
    if memory is not Memory.UOP and rows * (size // rows + 2) + size // rows + 2 <= depth and rng.random() < 0.5:
        pads = {"x_pad0": rng.randrange(2), "x_pad1": 1, "y_pad0": rng.randrange(2)}
    tiles = (size // rows + 2 * bool(pads)) * (rows + bool(pads))
    return Load(
        **random_flags(rng, FLAGS),
        **pads,
        memory=memory,
        sram=guards + rng.randrange(depth - tiles + 1),
        dram=tile_in_page(place, memory, bench.machine, rng.randrange(PAGES)),
        x_size=size // rows,
        y_size=rows,
        x_stride=size // rows + rng.choice((0, 0, 1, 3)),
    )


def loops_of(rng: random.Random) -> Instruction:
    """A GEMM or ALU instruction with no index in a guard."""
    begin = rng.randrange(CONFIG.uop_depth - 8)
    loops = {
        "uop_bgn": begin,
        "uop_end": begin + rng.choice((0, 1, 2, 8)),
        "iter_out": rng.choice((0, 1, 2, 5)),
        "iter_in": rng.choice((1, 2, 3)),
        **{name: rng.randrange(5) for name in ("dst_out", "dst_in", "src_out", "src_in")},
    }
    flags = random_flags(rng, FLAGS)
    if rng.random() < 0.5:
        kind = rng.choice((Gemm, GemmOverwrite))
        return kind(**flags, **loops, wgt_out=rng.randrange(2), wgt_in=rng.randrange(2), reset=rng.random() < 0.2)
    op = rng.choice(sorted(alu_operations(CONFIG)))
    return Alu(**flags, **loops, alu_op=op, use_imm=rng.random() < 0.5, imm=rng.randint(-40, 40))


class Reader:
    """The store module: reads accumulators one after another, whenever granted, and checks what comes."""

    def __init__(self, bench: ModuleBench, indices: Iterator[int], pause: Iterator[bool]) -> None:
        names = ("request__valid", "request__ready", "request__payload", "tile")
        self._valid, self._ready, self._index, self._tile = (bench.signal(f"acc_read__{name}") for name in names)
        self._acc = bench.machine.acc
        self._indices, self._pause = indices, pause
        self._asked: int | None = None
        self._due: deque[int | None] = deque([None] * ACC_READ_LATENCY)
        self.checked = 0

    def step(self) -> None:
        granted = self._asked is not None and int(self._ready.value)
        due = self._due.popleft()
        self._due.append(self._asked if granted else None)
        if due is not None:
            wanted, got = pack([int(e) for e in self._acc[due].flat], CONFIG.acc_bits), int(self._tile.value)
            assert got == wanted, f"accumulator {due} reads {got:#x} instead of {wanted:#x}"
            self.checked += 1
        if granted or self._asked is None:
            self._asked = None if next(self._pause) else next(self._indices, None)
            self._valid.value = int(self._asked is not None)
            if self._asked is not None:
                self._index.value = self._asked


def guard_indices() -> Iterator[int]:
    while True:
        yield from range(GUARDS)
        yield from range(CONFIG.acc_depth - GUARDS, CONFIG.acc_depth)


async def write_operands(bench: ModuleBench, rng: random.Random) -> None:
    """Tiles as the load module would bring them."""
    machine = bench.machine
    for name, tiles, bits in (("inp", machine.inp, CONFIG.inp_bits), ("wgt", machine.wgt, CONFIG.wgt_bits)):
        tiles.flat = [rng.randrange(-(1 << bits - 1), 1 << bits - 1) for _ in range(tiles.size)]
        enable, index, tile = (bench.signal(f"write_{name}__{part}") for part in ("enable", "index", "tile"))
        enable.value = 1
        for number, content in enumerate(tiles):
            index.value, tile.value = number, pack([int(e) for e in content.flat], bits)
            await RisingEdge(bench.clock)
        enable.value = 0


async def read_all(bench: ModuleBench, pause: Iterator[bool]) -> None:
    reader = Reader(bench, iter(range(CONFIG.acc_depth)), pause)
    for _ in range(PATIENCE):
        await RisingEdge(bench.clock)
        reader.step()
        if reader.checked == CONFIG.acc_depth:
            return
    raise AssertionError(f"{reader.checked} of {CONFIG.acc_depth} accumulators could be read")


def fill(memory: Memory, depth: int) -> Load:
    """A scratchpad whole, so that nothing is left from before the reset."""
    return Load(memory=memory, x_size=depth, y_size=1, x_stride=depth)


@cocotb.test()
@cocotb.parametrize(idle=list(PAUSES), backpressure=list(PAUSES))
async def loads_of_every_size_and_place_and_what_they_feed(dut: Any, idle: str, backpressure: str) -> None:
    """Each LOAD is followed by GEMM and ALU instructions; then every accumulator is as the reference's."""
    rng = generator("compute", idle, backpressure)
    bench = ModuleBench(dut, "compute", rng, idle, backpressure, {"prev": "load_tokens", "next": "store_tokens"})
    machine = bench.machine
    content = micro_ops(rng)
    machine.dram[: len(content)] = content
    for memory, address in BASES.items():
        bench.base(memory, address)
    instructions: list[Instruction] = []
    for case in share(CASES, idle, backpressure):
        if rng.random() < 0.5:
            register = rng.choice((SetRegister.COMPUTE_PAD, SetRegister.WIDEN, SetRegister.OVERWRITE))
            instructions.append(Set(register=register, value=rng.getrandbits(32)))
        instructions.append(load_of(case, bench, rng))
        instructions += [loops_of(rng) for _ in range(2)]
    instructions.append(Finish(**random_flags(rng, FLAGS)))

    await bench.begin()
    await write_operands(bench, rng)
    first: list[Instruction] = [fill(Memory.UOP, CONFIG.uop_depth), fill(Memory.ACC, CONFIG.acc_depth)]
    finished = bench.signal("finished")
    finishes = 0

    def count_finishes() -> None:
        nonlocal finishes
        finishes += int(finished.value)

    def no_push(number: int) -> None:
        raise AssertionError(f"instruction {number} pushes nothing")

    await bench.run(first, count_finishes, no_push)
    for insn in (*first, *instructions):
        machine.execute(insn)
    guards = Reader(bench, guard_indices(), PAUSES[backpressure](rng))

    def each_cycle() -> None:
        count_finishes()
        guards.step()

    await bench.run(instructions, each_cycle, lambda number: None)
    assert finishes == 1
    assert guards.checked
    assert not int(bench.signal("busy").value)
    await read_all(bench, PAUSES[backpressure](rng))
    bench.check_reads(row for insn in (*first, *instructions) if isinstance(insn, Load) for row in bench.rows(insn))
