"""A layer's cycles straight from a schedule are those of the compiled program on the timing model, to the cycle."""

import random
from dataclasses import replace

import numpy as np
import pytest
from support.convolution import CONFIGS, random_task
from weft_compiler.conv_task import Addition, ConvTask, Requantisation
from weft_compiler.errors import CompileError
from weft_compiler.tiling_search import choose_tiling
from weft_hardware.presets import VTA
from weft_simulator.tsim.model import MemoryTiming

pytest.importorskip("numba", reason="needs numba")

from weft_explore.tune.sketches import Sketches
from weft_explore.tune.timed_conv import TimedConv

SUM = Requantisation(addition=Addition(scale=0.3, residual_scale=0.7, offset=1.0))


def check(task: ConvTask, config, seed: int, *, samples: int, latency: int = 50) -> int:
    """Compare the default and random schedules; returns how many were built without the compiler."""
    layer, rng = TimedConv(task, config, MemoryTiming(read_latency=latency)), np.random.default_rng(seed)
    sketches, direct = Sketches(layer.task, config), 0
    for number in range(samples):
        try:
            tiling = sketches.sample(rng) if number else choose_tiling(layer.task, config)
            expected = layer.compiled_cycles(tiling)
        except (CompileError, ValueError):
            continue
        assert layer.cycles(tiling) == expected, (seed, task, tiling)
        direct += layer.is_direct
    return direct


def random_layer(rng: random.Random, config) -> ConvTask:
    task = random_task(rng, 200_000, requantises=bool(config.epilogue_lanes) and rng.random() < 0.5,
                       groups=rng.choice([1, 1, 1, 2]))  # fmt: skip
    if task.requantisation is not None and config.residual and rng.random() < 0.3:
        task = replace(task, requantisation=SUM)
    if task.requantisation is not None and rng.random() < 0.4:
        task = replace(task, pixel_parameters=True)
    return task


@pytest.mark.parametrize("name", ["vta", "odd", "requantising"])
def test_random_schedules_of_random_layers(name):
    direct = 0
    for seed in range(6):
        print(f"seed {seed}")
        direct += check(random_layer(random.Random(seed), CONFIGS[name]), CONFIGS[name], seed, samples=3)
    assert direct >= 6


@pytest.mark.slow
@pytest.mark.parametrize("latency", [0, 50, 200])
@pytest.mark.parametrize("name", CONFIGS)
def test_more_random_schedules(name, latency):
    for seed in range(100, 125):
        print(f"seed {seed}")
        check(random_layer(random.Random(seed), CONFIGS[name]), CONFIGS[name], seed, samples=5, latency=latency)


def test_a_layer_of_resnet_with_its_sum():
    layer = ConvTask(ic=8, oc=8, ih=28, iw=28, kh=3, kw=3, pads=(1,) * 4, requantisation=SUM)
    assert check(layer, VTA, 0, samples=2) == 2


def test_parameters_of_pixels():
    layer = ConvTask(ic=3, oc=5, ih=14, iw=11, kh=3, kw=3, pads=(1,) * 4, requantisation=SUM, pixel_parameters=True)
    assert check(layer, VTA, 0, samples=4) == 4


def test_a_schedule_that_is_too_slow_is_left_early():
    layer = TimedConv(ConvTask(ic=2, oc=3, ih=13, iw=13, kh=3, kw=3, pads=(1,) * 4, requantisation=SUM), VTA)
    sketches, rng = Sketches(layer.task, VTA), np.random.default_rng(0)
    fastest, slower = layer.cycles(choose_tiling(layer.task, VTA)), 0
    for _ in range(12):
        tiling = sketches.sample(rng)
        cycles = layer.cycles(tiling)
        assert layer.cycles(tiling, most=cycles + 1) == cycles
        if cycles > fastest:
            slower += fastest <= layer.cycles(tiling, most=fastest) <= cycles
            assert layer.cycles(tiling, most=fastest) <= cycles
    assert slower >= 6


@pytest.mark.parametrize("depth", [8, 16, 48, 256])
@pytest.mark.parametrize("seed", range(3))
def test_micro_ops_beyond_the_buffer(seed, depth):
    config, rng = replace(VTA, uop_depth=depth), np.random.default_rng(seed)
    layer = TimedConv(ConvTask(ic=4, oc=6, ih=13, iw=9, kh=3, kw=3, pads=(1,) * 4), config)
    sketches, loads = Sketches(layer.task, config), 0
    for _ in range(4):
        tiling = sketches.sample(rng)
        loads += int(layer.timed(tiling)[0].records["uop_load"].sum()) > 1
        assert layer.cycles(tiling) == layer.compiled_cycles(tiling), (seed, tiling)
    assert loads or depth == 256


def test_a_schedule_that_does_not_fit_says_which_scratchpad():
    layer = TimedConv(ConvTask(ic=64, oc=64, ih=9, iw=9, kh=1, kw=1), VTA)
    tiling = choose_tiling(layer.task, VTA)
    whole = replace(tiling, order=(), tiles=tiling.extents, levels=dict.fromkeys(tiling.levels, 0))
    with pytest.raises(CompileError, match=r"^INP needs 2 × 5184 tiles, its scratchpad holds 2048$"):
        layer.cycles(replace(whole, slots=dict.fromkeys(tiling.slots, 2)))
