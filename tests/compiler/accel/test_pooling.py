"""Pools on the accelerator: numpy's results, from sound programs."""

import random
from dataclasses import replace

import numpy as np
import pytest
from weft_compiler.accel.build import build_kernel
from weft_compiler.accel.intrinsics.requantise import parameters
from weft_compiler.accel.pooling import PoolTiling, choose_pool_tiling, identity, schedule_pool
from weft_compiler.conv_task import Requantisation
from weft_compiler.errors import CompileError
from weft_compiler.pool_task import MAX, SUM, PoolTask
from weft_hardware.isa import Alu, AluOp
from weft_hardware.presets import PRESETS, VTA
from weft_runtime.check import check_module
from weft_runtime.session import Session
from weft_simulator.functional import FunctionalDevice
from weft_simulator.timing.device import TimingDevice
from weft_simulator.tsim.model import MemoryTiming

BATCH2 = replace(VTA, batch=2, block_in=4, block_out=4, inp_depth=90, acc_depth=100, wgt_depth=4, uop_depth=64)
STEM = PoolTask(kind=MAX, channels=4, ih=112, iw=112, kh=3, kw=3, stride=(2, 2), pads=(1, 1, 1, 1))


def windows(task, x, pad_value):
    """(n, channels, oh, ow, kh, kw, batch, block)"""
    top, left, bottom, right = task.pads
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right), (0, 0), (0, 0)), constant_values=pad_value)
    found = np.lib.stride_tricks.sliding_window_view(padded, (task.kh, task.kw), (2, 3))
    return np.moveaxis(found[:, :, :: task.stride[0], :: task.stride[1]], (6, 7), (4, 5))


def run(task, config, tiling=None, seed=0):
    """The device's result and numpy's."""
    rng = np.random.default_rng(seed)
    schedule = schedule_pool(task, tiling or choose_pool_tiling(task, config), config)
    module = build_kernel(schedule, config)
    assert not [finding for _, report in check_module(module.content) for finding in report.findings]
    x = rng.integers(-128, 128, (task.n, task.channels, task.ih, task.iw, config.batch, config.block_in), np.int8)
    operands = {"inp": x, "eye": identity(config)}
    seen = windows(task, x, task.pad_value)
    if task.kind == MAX:
        wanted = seen.max(axis=(4, 5))
    else:
        bias = rng.integers(-999, 999, task.channels * config.block_out, np.int32)
        scale = rng.uniform(0.01, 0.2, len(bias)).astype(np.float32)
        operands["param"] = parameters(bias, scale, config.block_out)
        place = (1, task.channels, 1, 1, 1, config.block_out)
        sums = seen.astype(np.int64).sum(axis=(4, 5)) + bias.reshape(place)
        wanted = np.rint(sums.astype(np.float32) * scale.reshape(place))
        wanted = np.clip(wanted + task.requantisation.zero_point, -128, 127).astype(np.int8)
    with FunctionalDevice(config, order_seed=seed) as device:
        return module.run(device, operands), wanted


@pytest.mark.parametrize("seed", range(10))
def test_random_pools(seed):
    rng = random.Random(f"pool {seed}")
    kind, config = rng.choice([MAX, MAX, SUM]), rng.choice([VTA, BATCH2])
    kernel = (rng.randint(1, 4), rng.randint(1, 4))
    task = PoolTask(
        kind=kind, n=rng.randint(1, 2), channels=rng.randint(1, 3), ih=rng.randint(4, 9), iw=rng.randint(4, 9),
        kh=kernel[0], kw=kernel[1], stride=(rng.randint(1, 3), rng.randint(1, 3)),
        pads=tuple(rng.randint(0, kernel[k % 2] - 1) for k in range(4)), pad_value=-128 if kind == MAX else 7,
        requantisation=None if kind == MAX else Requantisation(zero_point=rng.randint(-20, 20)),
    )  # fmt: skip
    print(f"seed {seed}, {task}")
    found, wanted = run(task, config, seed=seed)
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize("tiling", [PoolTiling(1, 3), PoolTiling(2, 4, slots=2), PoolTiling(3, 2)])
def test_every_tiling_gives_the_same(tiling):
    task = replace(STEM, channels=4, ih=16, iw=15)
    found, wanted = run(task, VTA, tiling)
    assert np.array_equal(found, wanted)


def test_the_stems_pool_takes_little_more_than_its_operations():
    """Products 50,851, maxima two cycles each; the rows that tiles share come twice."""
    module = build_kernel(schedule_pool(STEM, choose_pool_tiling(STEM, VTA), VTA), VTA)
    memory = MemoryTiming(read_latency=50)
    with TimingDevice(VTA, memory=memory) as device, Session(module, device) as session:
        session.run({info.name: np.zeros(info.shape, info.dtype) for info in module.content.inputs})
        assert (session.last_launches[0][1].cycles or 0) < 215_000


def test_maxima_write_over_what_nobody_else_reads():
    """Four maxima of 3×3 windows with stride 2, and no copy."""
    from weft_compiler.accel.lower import lower_nest

    task = replace(STEM, ih=8, iw=8)
    stream = lower_nest(schedule_pool(task, PoolTiling(4, 4), VTA).lower(), VTA)
    kinds = [op for rows in stream.rows if rows.cls is Alu for op in rows.columns["alu_op"].tolist()]
    assert kinds == [AluOp.MAX] * 6


@pytest.mark.parametrize(
    ("task", "config", "message"),
    [
        (
            replace(STEM, iw=900),
            VTA,
            "a row of 3×3 windows takes 3 × 901 tiles, more than the scratchpads of 2048 inputs and 2048 accumulators "
            "hold; enlarge them",
        ),
        (
            STEM,
            replace(PRESETS["vta"], block_out=32),
            "block_in = 16 and block_out = 32: tiles of inputs and of results differ; choose equal blocks",
        ),
    ],
)
def test_what_does_not_fit(task, config, message):
    with pytest.raises(CompileError) as refusal:
        schedule_pool(task, choose_pool_tiling(task, config), config)
    assert str(refusal.value) == message


def test_a_window_larger_than_its_image():
    with pytest.raises(CompileError) as refusal:
        PoolTask(kind=MAX, channels=1, ih=2, iw=9, kh=3, kw=3)
    assert str(refusal.value) == "window 3×3 does not fit the image 2×9 with pads (0, 0, 0, 0); enlarge one of them"
