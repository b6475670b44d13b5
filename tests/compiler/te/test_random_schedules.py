"""Every schedule that the primitives accept computes what the expression does: random ones, compiled, against numpy."""

import json
import random
from collections import Counter

import numpy as np
import pytest
from support.te_schedules import random_inputs, random_schedule, random_steps
from support.te_tensorized import CONFIGS, TENSORIZABLE, tensorize_all
from support.te_workloads import KINDS
from weft_compiler import te
from weft_compiler.te.kernel import aligned, build_all
from weft_compiler.te.nest import Buffer
from weft_compiler.te.reference import evaluate

FENCE = 64
"""Bytes before and behind every output that must not change."""


def run_fenced(kernel, inputs):
    arguments = []
    for buffer, values in zip(kernel.inputs, inputs, strict=True):
        arguments.append(aligned(buffer))
        arguments[-1][...] = values
    fenced = []
    for buffer in kernel.outputs:
        size = int(np.prod(buffer.shape)) * np.dtype(buffer.dtype).itemsize
        raw = aligned(Buffer("raw", (size + 2 * FENCE,), "uint8"))
        raw[...] = 0xA5
        fenced.append(raw)
        arguments.append(raw[FENCE : FENCE + size].view(buffer.dtype).reshape(buffer.shape))
    kernel.run(*arguments)
    for raw in fenced:
        assert (raw[:FENCE] == 0xA5).all()
        assert (raw[-FENCE:] == 0xA5).all()
    return arguments[len(inputs) :]


def drawn(seed, taken):
    rng = random.Random(seed)
    workload = KINDS[seed % len(KINDS)](rng)
    return workload, random_schedule(rng, workload.outputs, taken), []


def drawn_for_the_accelerator(seed, taken):
    """Tensorized first, then scheduled."""
    rng = random.Random(seed)
    config = CONFIGS[seed % len(CONFIGS)]
    workload = rng.choice(TENSORIZABLE)(rng, config)
    schedule = te.Schedule(workload.outputs)
    random_steps(rng, schedule, rng.randint(0, 2), taken)
    intrinsics = tensorize_all(schedule, config, taken)
    random_steps(rng, schedule, rng.randint(2, 24), taken)
    return workload, schedule, intrinsics


def check(seeds, taken, draw=drawn):
    """Draw a schedule for each seed, compile all as one module, run each on random inputs."""
    cases = {}
    for seed in seeds:
        workload, schedule, intrinsics = draw(seed, taken)
        again = te.Schedule.replay(workload.outputs, json.loads(json.dumps(schedule.trace)), intrinsics)
        assert again.loops() == schedule.loops(), f"seed {seed}: another schedule comes of the trace"
        cases[f"k{seed}"] = seed, workload, schedule
    kernels = build_all({name: schedule.lower() for name, (_, _, schedule) in cases.items()}, threads=2)
    for name, (seed, workload, schedule) in cases.items():
        inputs = random_inputs(np.random.default_rng(seed), schedule)
        expected = evaluate(workload.outputs, inputs)
        got = run_fenced(kernels[name], list(inputs.values()))
        for want, result in zip(expected, got, strict=True):
            where = f"seed {seed}, {workload.name}\n{schedule.loops()}\ntrace {json.dumps(schedule.trace)}"
            if workload.exact:
                np.testing.assert_array_equal(result, want, err_msg=where)
                assert result.tobytes() == want.tobytes() or np.isnan(want).any(), where
            else:
                scale = np.abs(want).max() + 1e8
                np.testing.assert_allclose(result, want, atol=1e-5 * scale, rtol=0, err_msg=where)


def test_random_schedules():
    taken = Counter()
    check(range(64), taken)
    print(dict(taken))
    for step in (
        "split",
        "reorder",
        "fuse",
        "tile",
        "cache_read",
        "cache_write",
        "compute_at",
        "vectorize",
        "parallel",
    ):
        assert taken[step], f"no schedule uses {step}"


def test_random_schedules_of_intrinsics_written_out():
    taken = Counter()
    check(range(20), taken, drawn_for_the_accelerator)
    print(dict(taken))
    for step in ("gemm", "load.inp", "load.wgt", "store.out", "compute_at", "virtual_thread", "double_buffer"):
        assert taken[step], f"no schedule uses {step}"


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_hundreds_of_random_schedules_of_intrinsics(block):
    start = 1000 + 50 * block
    print(f"seeds {start}..{start + 49}")
    check(range(start, start + 50), Counter(), drawn_for_the_accelerator)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(35))
def test_thousands_of_random_schedules(block):
    start = 1000 + 70 * block
    print(f"seeds {start}..{start + 69}")
    check(range(start, start + 70), Counter())
