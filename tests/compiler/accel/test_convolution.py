"""Convolution tasks with a residual operand and a table: the expression's bytes, from sound programs."""

import random
from dataclasses import replace

import numpy as np
import pytest
from support.convolution import random_task
from weft_compiler.accel.build import build_kernel
from weft_compiler.accel.convolution import PARAM, schedule_convolution
from weft_compiler.accel.intrinsics.requantise import parameters
from weft_compiler.conv_task import Addition, ConvTask, Requantisation
from weft_compiler.errors import CompileError
from weft_compiler.te.reference import evaluate
from weft_compiler.tiling_search import choose_tiling
from weft_hardware.presets import VTA
from weft_runtime.check import check_module
from weft_simulator.functional import FunctionalDevice

SMALL = replace(VTA, block_in=4, block_out=4, inp_depth=37, wgt_depth=21, acc_depth=19, uop_depth=16, param_depth=3)


def random_operands(schedule, seed):
    rng = np.random.default_rng(seed)
    found = {}
    for tensor in schedule.program.inputs:
        if tensor.name == PARAM:
            channels = int(np.prod(tensor.shape[:-1]))
            bias = rng.integers(-5000, 5000, channels, np.int32)
            scale = (10.0 ** rng.uniform(-4, -1, channels)).astype(np.float32)
            found[tensor] = parameters(bias, scale, tensor.shape[-2]).reshape(tensor.shape)
        else:
            limits = np.iinfo(tensor.dtype)
            found[tensor] = rng.integers(limits.min, limits.max + 1, tensor.shape, tensor.dtype)
    return found


def check(task, config, seed):
    schedule = schedule_convolution(task, choose_tiling(task, config), config)
    module = build_kernel(schedule, config)
    assert not [finding for _, report in check_module(module.content) for finding in report.findings]
    inputs = random_operands(schedule, seed)
    (wanted,) = evaluate(schedule.program.outputs, inputs)
    with FunctionalDevice(config, order_seed=seed) as device:
        found = module.run(device, {tensor.name: values for tensor, values in inputs.items()})
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize("seed", range(12))
def test_random_tasks(seed):
    rng = random.Random(f"residual {seed}")
    addition = Addition(
        dtype=rng.choice(["int8", "uint8"]),
        scale=rng.uniform(0.1, 2),
        residual_scale=rng.uniform(0.1, 2),
        offset=rng.uniform(-50, 50),
        swap=rng.random() < 0.5,
        low=-rng.randint(0, 128),
    )
    how = Requantisation(zero_point=rng.randint(-128, 127), low=-100, addition=addition, table=rng.random() < 0.3)
    task = replace(random_task(rng, 400, requantises=True), requantisation=how)
    print(f"seed {seed}, {task}")
    check(task, rng.choice([VTA, SMALL]), seed)


@pytest.mark.parametrize("seed", range(8))
def test_parameters_of_each_pixel(seed):
    """Tiles whose pixels have more parameters than fit at a time, too."""
    rng = random.Random(f"pixels {seed}")
    task = replace(random_task(rng, 400, requantises=True), pad_value=0, pixel_parameters=True)
    print(f"seed {seed}, {task}")
    check(task, rng.choice([VTA, replace(VTA, param_depth=9), replace(SMALL, param_depth=9)]), seed)


def test_a_row_of_pixels_must_have_its_parameters_in_the_scratchpad():
    task = ConvTask(ic=1, oc=1, ih=3, iw=40, kh=1, kw=1, requantisation=Requantisation(), pixel_parameters=True)
    config = replace(VTA, param_depth=16)
    tiling = choose_tiling(task, config)
    tiling.tiles["x"] = 40
    with pytest.raises(CompileError) as refusal:
        schedule_convolution(task, tiling, config)
    assert str(refusal.value) == "rows of 40 pixels have more parameters than the 16 of param_depth; enlarge it"
