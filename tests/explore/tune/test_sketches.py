"""The space of schedules: what is in it fits, is there once, and computes the convolution."""

import random
from itertools import islice

import numpy as np
import pytest
from support.convolution import CONFIGS, place, random_task
from weft_compiler.conv_task import ConvTask
from weft_compiler.lowering import lower_conv
from weft_compiler.tiling import tiling_from_json
from weft_compiler.tiling_search import choose_tiling
from weft_explore.tune.sketches import Sketches, levels
from weft_hardware.isa import Memory
from weft_hardware.presets import VTA
from weft_simulator.lockstep.reference import Machine

SMALL = ConvTask(ic=2, oc=2, ih=4, iw=4, kh=3, kw=3, pads=(1,) * 4)


def test_every_schedule_comes_once_and_the_default_is_among_them():
    sketches = Sketches(SMALL, VTA)
    found = list(sketches.enumerate({**sketches.sizes, "y": [4, 2], "x": [4], "kx": [3], "ky": [3]}))
    assert len(found) == len(set(found)) > 300
    assert all(sketches.contains(tiling) for tiling in found)
    assert choose_tiling(SMALL, VTA) in set(found)


def test_samples_are_of_the_space():
    sketches, rng = Sketches(SMALL, VTA), np.random.default_rng(1)
    for _ in range(200):
        assert sketches.contains(sketches.sample(rng))


def test_an_operand_is_inside_loops_that_move_it_or_outside_all():
    order = ("oc", "y", "ic")
    assert [levels(order, memory) for memory in (Memory.INP, Memory.WGT, Memory.ACC, Memory.PARAM)] == [
        [0, 2, 3], [0, 1, 3], [0, 1, 2], [0, 1],
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["vta", "odd", "requantising"])
def test_every_schedule_computes_the_convolution(name):
    config, count = CONFIGS[name], 0
    for seed in range(5):
        print(f"seed {seed}")
        requantises = name == "requantising"
        task = random_task(random.Random(f"sketch {seed}"), 2000, requantises=requantises)
        if requantises and task.outputs > config.param_depth:
            continue
        sketches, rng = Sketches(task, config), np.random.default_rng(seed)
        for tiling in (sketches.sample(rng) for _ in range(2)):
            placed = place(lower_conv(task, config, tiling), seed)
            image = Machine(config).run(placed.program)
            assert (placed.result(image) == placed.expected).all(), (task, tiling)
            count += 1
    assert count >= 4


def test_json_says_all():
    sketches = Sketches(SMALL, VTA)
    for tiling in islice(sketches.enumerate(), 0, 4000, 97):
        assert tiling_from_json(SMALL, tiling.to_json()) == tiling
