"""What the compiler chooses: it fits, keeps what it can, and takes the stores that are few."""

import random
from dataclasses import replace
from math import prod

import pytest
from support.convolution import CONFIGS, random_task
from weft_compiler.conv_task import Addition, ConvTask, Requantisation
from weft_compiler.errors import CompileError
from weft_compiler.tiling import OPERANDS, buffer_tiles
from weft_compiler.tiling_cost import stores
from weft_compiler.tiling_search import choose_tiling
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Memory, scratchpad_depth
from weft_hardware.presets import VTA

PLAIN = CONFIGS["vta"]
"""Without an epilogue."""


@pytest.mark.parametrize("name", CONFIGS)
def test_every_choice_fits_all_its_slots(name):
    config = CONFIGS[name]
    for seed in range(40):
        print(f"seed {seed}")
        task = random_task(random.Random(seed), max_macs=10**6)
        tiling = choose_tiling(task, config)
        for memory in OPERANDS:
            tiles = buffer_tiles(task, tiling, memory)
            assert tiles * tiling.slots[memory] <= scratchpad_depth(memory, config), (task, memory)


def test_what_is_moved_more_than_once_is_double_buffered():
    tiling = choose_tiling(ConvTask(ic=4, oc=4, ih=56, iw=56, kh=3, kw=3, pads=(1, 1, 1, 1)), PLAIN)
    for memory in (Memory.INP, Memory.WGT, Memory.ACC):
        assert tiling.slots[memory] == min(2, tiling.executions(memory))


def test_weights_of_a_dense_layer_are_moved_once():
    task = ConvTask(ic=64, oc=63, ih=1, iw=1, kh=1, kw=1)
    tiling = choose_tiling(task, PLAIN)
    assert tiling.executions(Memory.WGT) * buffer_tiles(task, tiling, Memory.WGT) == task.ic * task.oc


def test_an_operand_moves_in_the_innermost_loop_it_depends_on():
    config = AcceleratorConfig(acc_depth=64)
    tiling = choose_tiling(ConvTask(ic=1, oc=2, ih=16, iw=16, kh=1, kw=1), config)
    for memory, loops in ((Memory.WGT, "oc"), (Memory.INP, "yx"), (Memory.ACC, "yx")):
        level = tiling.levels[memory]
        assert all(loop not in loops for loop in tiling.order[level:])
        assert tiling.executions(memory) == prod(tiling.trips(loop) for loop in tiling.order[:level])


def test_the_kernel_is_cut_only_where_it_does_not_fit():
    task = ConvTask(ic=1, oc=1, ih=6, iw=6, kh=3, kw=3)
    assert choose_tiling(task, PLAIN).tiles["ky"] == 3
    small = choose_tiling(task, replace(PLAIN, wgt_depth=4))
    assert (small.tiles["ky"], small.tiles["kx"]) == (1, 3)


def test_a_kernel_row_wider_than_the_weights_is_cut_to_single_taps():
    tiling = choose_tiling(ConvTask(ic=1, oc=1, ih=6, iw=6, kh=5, kw=5), CONFIGS["smallest"])
    assert (tiling.tiles["ky"], tiling.tiles["kx"]) == (1, 1)


def test_some_tile_always_fits_the_smallest_scratchpads():
    for seed in range(30):
        print(f"seed {seed}")
        task = random_task(random.Random(seed))
        try:
            choose_tiling(task, CONFIGS["smallest"])
        except CompileError as error:
            pytest.fail(f"{task}: {error}")


ADDED = Requantisation(addition=Addition(scale=0.5, residual_scale=0.25, offset=1.0))


@pytest.mark.parametrize(("channels", "size"), [((4, 16), 56), ((8, 32), 28), ((16, 64), 14), ((32, 128), 7)])
def test_stores_with_a_residual_operand_are_few_and_large(channels, size):
    """The 1×1 expansions of ResNet-50: each such STORE has the epilogue run empty."""
    ic, oc = channels
    task = ConvTask(ic=ic, oc=oc, ih=size, iw=size, kh=1, kw=1, requantisation=ADDED)
    tiling = choose_tiling(task, VTA)
    count = stores(task, tiling.sizes(Memory.ACC)) * tiling.executions(Memory.ACC)
    assert task.oc * task.oh * task.ow / count >= 64


def test_results_of_several_loads_of_the_image_leave_together():
    """Loads come between the beats of the residual operand, a few at a time."""
    task = ConvTask(ic=4, oc=16, ih=56, iw=56, kh=1, kw=1, requantisation=ADDED)
    tiling = choose_tiling(task, VTA)
    assert tiling.levels[Memory.ACC] < tiling.levels[Memory.INP]
    assert tiling.executions(Memory.WGT) == 1


def test_channels_are_outermost_where_nothing_else_decides():
    """ResNet-18's last 1×1 layer: all parameters before its first product would cost 2 % of it."""
    task = ConvTask(ic=16, oc=32, ih=14, iw=14, kh=1, kw=1, stride=(2, 2), requantisation=Requantisation())
    assert choose_tiling(task, VTA).around(Memory.PARAM) == ("oc",)


def test_rows_are_whole_where_reads_wait_for_each_other():
    """Single pixels are read as fast as rows only if others are in flight meanwhile."""
    task = ConvTask(ic=6, oc=1, ih=75, iw=75, kh=1, kw=1, requantisation=Requantisation())
    pixels = {count: choose_tiling(task, replace(VTA, reads_in_flight=count)).tiles["x"] for count in (1, 16)}
    assert pixels[1] > 4 * pixels[16]
