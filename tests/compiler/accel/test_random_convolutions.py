"""Random convolutions under random schedules: the expression's bytes, and sound programs."""

import random
from dataclasses import replace

import numpy as np
import pytest
from support.accel_kernels import Conv, by_name, convolution, expected, random_inputs
from support.configs import CONFIGS
from support.convolution import CONFIGS as SMALL_CONFIGS
from weft_compiler.accel.build import build_kernel
from weft_compiler.conv_task import Addition, Requantisation
from weft_compiler.errors import CompileError
from weft_hardware.config import AcceleratorConfig
from weft_hardware.presets import PRESETS, VTA
from weft_runtime.check import check_module
from weft_simulator.functional import FunctionalDevice

ACCELERATORS = {
    "vta": VTA,
    "base": PRESETS["base"],
    "batch2": CONFIGS["batch2"],
    "requantising": SMALL_CONFIGS["requantising"],
    "unequal blocks": replace(VTA, block_in=8, block_out=32, uop_depth=60),
    "few micro-ops": replace(VTA, block_in=4, block_out=4, uop_depth=16, command_queue_depth=2, token_queue_depth=2),
}


def random_conv(rng: random.Random) -> Conv:
    kernel = rng.choice([1, 2, 3, 3, 5])
    dilation = rng.choice([1, 1, 2]) if kernel < 4 else 1
    return Conv(
        ic=rng.randint(1, 5),
        oc=rng.randint(1, 5),
        height=rng.randint(kernel, 12),
        width=rng.randint(kernel, 10),
        kernel=kernel,
        stride=rng.randint(1, 3),
        dilation=dilation,
        pad=rng.randint(0, dilation * (kernel - 1)),
        rows=rng.randint(1, 5),
        oc_tile=rng.randint(1, 3),
        ic_tile=rng.randint(1, 4),
        threads=rng.choice([1, 1, 2, 3]),
        over=rng.choice(["strips", "blocks"]),
        slots=rng.randint(1, 2),
        weights_stay=rng.random() < 0.3,
    )


def random_requantisation(rng: random.Random, config: AcceleratorConfig) -> Requantisation:
    """Any; sums and tables as far as the configuration has them."""
    low, high = sorted(rng.sample(range(-128, 128), 2))
    addition = random_addition(rng) if config.residual and rng.random() < 0.6 else None
    table = config.table and rng.random() < 0.3
    return Requantisation(zero_point=rng.randint(-128, 127), low=low, high=high, addition=addition, table=table)


def random_addition(rng: random.Random) -> Addition:
    low, high = sorted(rng.sample(range(-128, 128), 2))
    scale, residual_scale = rng.uniform(0.1, 2), rng.uniform(0.1, 2)
    return Addition(
        dtype=rng.choice(["int8", "uint8"]), scale=scale, residual_scale=residual_scale, offset=rng.uniform(-99, 99),
        swap=rng.random() < 0.5, low=low, high=high,
    )  # fmt: skip


def check(seed: int) -> bool:
    """Whether the kernel could be built at all; if so, that it is right."""
    rng = random.Random(f"kernel {seed}")
    name = rng.choice(list(ACCELERATORS))
    config, conv = ACCELERATORS[name], random_conv(rng)
    print(f"seed {seed}, {name}, {conv}")
    if min(conv.out(conv.height), conv.out(conv.width)) < 1:
        return False
    requantisation = random_requantisation(rng, config) if config.epilogue_lanes and rng.random() < 0.6 else None
    schedule = convolution(conv, config, requantisation)
    try:
        module = build_kernel(schedule, config)
    except CompileError as error:
        if str(error).startswith(("scratchpad ", "token_queue_depth ")):
            return False
        raise
    assert not [finding for _, report in check_module(module.content) for finding in report.findings]
    inputs = random_inputs(schedule, seed)
    wanted = expected(schedule, inputs)
    for order_seed in (None, seed):
        with FunctionalDevice(config, order_seed=order_seed) as device:
            assert np.array_equal(module.run(device, by_name(inputs)), wanted)
    return True


def test_random_kernels():
    assert sum(check(seed) for seed in range(40)) >= 20


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_random_kernels_by_the_thousand(part):
    assert sum(check(seed) for seed in range(1000 + 200 * part, 1000 + 200 * (part + 1))) >= 100
