"""cocotb: the load module alone, its memory cocotbext-axi's RAM, compute a queue of tokens."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from support.bench import pack
from support.cocotb_ports import PAUSES
from support.module_bench import ModuleBench, generator, random_flags, share, tile_in_page
from support.single_modules import CONFIG
from weft_hardware.isa import Instruction, Load, Memory, Set, SetRegister
from weft_hardware.latencies import TOKEN_TO_READ

SIZES = (1, 2, 3, 15, 33, 64)
PLACES = (0, 1, -1, -2, -3)
"""Tiles from the begin of a page or its end: INP's in either half of a beat, blocks across a page's end."""

CASES = [(memory, size, place) for memory in (Memory.INP, Memory.WGT) for size in SIZES for place in PLACES]
ELEMENTS = {Memory.INP: CONFIG.inp_bits, Memory.WGT: CONFIG.wgt_bits}
DEPTHS = {Memory.INP: CONFIG.inp_depth, Memory.WGT: CONFIG.wgt_depth}

Write = tuple[Memory, int, int]


def block(case: tuple[Memory, int, int], bench: ModuleBench, rng: random.Random) -> Load:
    """A LOAD of about ``size`` tiles: one row, or several, close together or not, with padding around or without."""
    memory, size, place = case
    size = min(size, DEPTHS[memory])
    rows = rng.choice([n for n in range(1, min(size, 8) + 1) if size % n == 0])
    pads = {
        "x_pad0": rng.randrange(3),
        "x_pad1": rng.randrange(2),
        "y_pad0": rng.randrange(2),
        "y_pad1": rng.randrange(3),
    }
    width, height = size // rows + pads["x_pad0"] + pads["x_pad1"], rows + pads["y_pad0"] + pads["y_pad1"]
    if rng.random() < 0.5 or width * height > DEPTHS[memory]:
        pads, width, height = {}, size // rows, rows
    return Load(
        **random_flags(rng, ("pop_next", "push_next")),
        **pads,
        memory=memory,
        sram=rng.randrange(DEPTHS[memory] - width * height + 1),
        dram=tile_in_page(place, memory, bench.machine, rng.randrange(4)),
        x_size=size // rows,
        y_size=rows,
        x_stride=size // rows + rng.choice((0, 0, 1, 3)),
    )


def writes_of(insn: Instruction, bench: ModuleBench) -> list[Write]:
    """What an instruction writes, in scratchpad order, by the reference's rules."""
    machine = bench.machine
    machine.execute(insn)
    if not isinstance(insn, Load) or not insn.x_size:
        return []
    memory = Memory(insn.memory)
    tiles = (insn.x_pad0 + insn.x_size + insn.x_pad1) * (insn.y_pad0 + insn.y_size + insn.y_pad1)
    content = {Memory.INP: machine.inp, Memory.WGT: machine.wgt}[memory]
    return [
        (memory, index, pack([int(e) for e in content[index].flat], ELEMENTS[memory]))
        for index in range(insn.sram, insn.sram + tiles)
    ]


async def run(bench: ModuleBench, instructions: list[Instruction]) -> None:
    """Every tile is written once, in order, none beside them; and in time for whoever pops a token."""
    await bench.begin()
    bench.base(Memory.INP, 0)
    bench.base(Memory.WGT, 1 << 16)
    expected: list[Write] = []
    through: list[int] = []
    for insn in instructions:
        expected += writes_of(insn, bench)
        through.append(len(expected))
    ports = {
        memory: [bench.signal(f"write_{memory.name.lower()}__{part}") for part in ("enable", "index", "tile")]
        for memory in (Memory.INP, Memory.WGT)
    }
    written = 0
    owed: list[tuple[int, int]] = []
    now = 0

    def each_cycle() -> None:
        nonlocal written, now
        now += 1
        for memory, (enable, index, tile) in ports.items():
            if int(enable.value):
                got = memory, int(index.value), int(tile.value)
                assert written < len(expected), f"{got} is written after all that should be"
                assert got == expected[written], f"{got} is written, not {expected[written]}"
                written += 1
        while owed and owed[0][0] < now:
            assert written >= owed[0][1], "a token came before its tiles could be read"
            owed.pop(0)

    def on_push(insn: int) -> None:
        # The reader's first read is TOKEN_TO_READ cycles later; a tile can be read in the cycle after its write.
        owed.append((now + TOKEN_TO_READ, through[insn]))

    await bench.run(instructions, each_cycle, on_push)
    assert written == len(expected)
    bench.check_reads(row for insn in instructions if isinstance(insn, Load) for row in bench.rows(insn))


@cocotb.test()
@cocotb.parametrize(idle=list(PAUSES), backpressure=list(PAUSES))
async def blocks_of_every_size_and_place(dut: Any, idle: str, backpressure: str) -> None:
    rng = generator("load", idle, backpressure)
    bench = ModuleBench(dut, "load", rng, idle, backpressure, {"next": "compute_tokens"})
    instructions: list[Instruction] = []
    for case in share(CASES, idle, backpressure):
        if rng.random() < 0.3:
            instructions.append(Set(register=SetRegister.LOAD_PAD, value=rng.getrandbits(32)))
        if rng.random() < 0.2:
            instructions.append(Load(memory=Memory.INP, **random_flags(rng, ("pop_next", "push_next"))))
        instructions.append(block(case, bench, rng))
    await run(bench, instructions)
    assert bench.watch.reads
