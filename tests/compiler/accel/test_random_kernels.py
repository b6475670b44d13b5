"""Random schedules on the accelerator: the bytes of the expression in any order of the modules, and sound programs."""

import random
from collections import Counter

import numpy as np
import pytest
from support.te_packed import CONFIG, random_kernel
from support.te_schedules import random_inputs
from weft_compiler.accel.build import build_kernel
from weft_compiler.errors import CompileError
from weft_compiler.te.reference import evaluate
from weft_runtime.check import check_module
from weft_simulator.functional import FunctionalDevice


def check(seeds):
    """Run each schedule that the accelerator can express; gives how many these are."""
    ran, taken = 0, Counter()
    for seed in seeds:
        schedule = random_kernel(random.Random(seed), CONFIG, taken)
        where = f"seed {seed}\n{schedule.loops()}\n{schedule.trace}"
        try:
            module = build_kernel(schedule, CONFIG)
        except CompileError as refusal:
            taken[str(refusal)] += 1
            continue
        inputs = random_inputs(np.random.default_rng(seed), schedule)
        (wanted,) = evaluate(schedule.program.outputs, inputs)
        with FunctionalDevice(CONFIG, order_seed=seed) as device:
            found = module.run(device, {tensor.name: values for tensor, values in inputs.items()})
        np.testing.assert_array_equal(found, wanted, err_msg=where)
        assert not [finding for _, report in check_module(module.content) for finding in report.findings], where
        ran += 1
    print(dict(taken))
    return ran


def test_random_schedules():
    assert check([59, 84, 94, 107, 256, 1698, *range(20)]) >= 18


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_hundreds_of_random_schedules(block):
    assert check(range(1000 + 100 * block, 1100 + 100 * block)) >= 70
