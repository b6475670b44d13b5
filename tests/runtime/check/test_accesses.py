"""Accesses against those that the lockstep oracle derives on its own."""

import pytest
from support.configs import CONFIGS, EXTENDED
from weft_runtime.check.accesses import AccessReader
from weft_runtime.check.regions import Block, elements
from weft_runtime.dram import Dram
from weft_simulator.lockstep.generator import generate
from weft_simulator.lockstep.oracle import all_accesses

EVERY = CONFIGS | EXTENDED
PLACES = {"INP": "inp", "WGT": "wgt", "ACC": "acc"}


def mask_of(tiles) -> int:
    return sum(1 << int(k) for k in elements(tiles)) if isinstance(tiles, slice) else tiles


def bytes_of(block: Block, base: int) -> int:
    mask = 0
    for row in range(block.rows):
        mask |= ((1 << block.length) - 1) << (block.start - base + row * block.pitch)
    return mask


@pytest.mark.parametrize("name", EVERY)
def test_reads_and_writes(name):
    config = EVERY[name]
    for seed in range(15):
        program = generate(config, seed)
        reader = AccessReader(program.launch(), Dram(program.image, program.dram_base), config, ())
        for index, (insn, expected) in enumerate(zip(program.instructions, all_accesses(program), strict=True)):
            found = reader.of(insn)
            places: dict[tuple[str, bool], int] = {}
            for memory, writes, tiles in found.tiles:
                places[PLACES[memory.name], writes] = mask_of(tiles)
            for writes, block in found.blocks:
                places["dram", writes] = bytes_of(block, program.dram_base)
            for place in ("inp", "wgt", "acc", "dram"):
                context = f"{program.name}, instruction {index}: {place}"
                assert places.get((place, True), 0) == expected.writes.get(place, 0), context
                # What compute reads of ACC meets no other queue's write.
                if place != "acc" or insn.queue.name == "STORE":
                    assert places.get((place, False), 0) == expected.reads.get(place, 0), context
