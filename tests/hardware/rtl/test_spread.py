"""Tiles spread over the rows of a narrower memory."""

from __future__ import annotations

import pytest
from amaranth.hdl import Module, Signal
from support.bench import seeded, simulate
from weft_hardware.rtl.spread import TileSpreader


@pytest.mark.parametrize("rows", [1, 2, 8])
def test_every_row_is_written_once_and_in_time(rows):
    rng = seeded(rows)
    dut = TileSpreader(3, rows * 16, 16)
    memory: dict[int, int] = {}
    expected: dict[int, int] = {}

    async def testbench(ctx):
        due = 0  # cycle from which all tiles are complete
        for cycle in range(400):
            write = cycle >= due and rng.random() < 0.6
            assert ctx.get(dut.settled) == (cycle >= due)
            ctx.set(dut.tiles.enable, write)
            index, tile = rng.randrange(8), rng.getrandbits(rows * 16)
            ctx.set(dut.tiles.index, index)
            ctx.set(dut.tiles.tile, tile)
            if write:
                due = cycle + rows
                expected.update({index * rows + k: tile >> (16 * k) & 0xFFFF for k in range(rows)})
            if ctx.get(dut.rows.enable):
                memory[ctx.get(dut.rows.index)] = ctx.get(dut.rows.tile)
            await ctx.tick()
            if cycle + 1 >= due:
                assert memory == expected
        assert len(expected) == 8 * rows

    clocked = Module()
    clocked.submodules.dut = dut
    clocked.d.sync += Signal().eq(1)
    simulate(clocked, testbench)


def test_a_tile_that_comes_too_early_takes_the_place_of_the_one_before():
    dut = TileSpreader(1, 64, 16)
    memory: dict[int, int] = {}

    async def testbench(ctx):
        for tile in (0x1111_2222_3333_4444, 0xAAAA_BBBB_CCCC_DDDD):
            ctx.set(dut.tiles.tile, tile)
            ctx.set(dut.tiles.enable, 1)
            for _ in range(2 if tile >> 60 == 1 else 4):
                memory[ctx.get(dut.rows.index)] = ctx.get(dut.rows.tile)
                await ctx.tick()
                ctx.set(dut.tiles.enable, 0)
        assert memory == {0: 0xDDDD, 1: 0xCCCC, 2: 0xBBBB, 3: 0xAAAA}
        assert ctx.get(dut.settled)

    simulate(dut, testbench)
