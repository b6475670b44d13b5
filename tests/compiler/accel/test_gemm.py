"""GEMM plans against the sum they stand for: every product once, the first of each accumulator overwriting."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
from weft_compiler.accel.boxes import Linear
from weft_compiler.accel.gemm import Mode, ProductPlans, TileProduct
from weft_compiler.accel.kernels import Loop, make_kernel, pieces


def steps_of(kernel):
    """(dst, src, wgt) of every micro-op, in the order of the hardware."""
    for out in range(kernel.outer.count):
        for inner in range(kernel.inner.count):
            move = out * np.array(kernel.outer.steps) + inner * np.array(kernel.inner.steps)
            yield from (tuple(row) for row in (kernel.uops + move).tolist())


def run(plan, acc):
    """The products in each accumulator: what GEMM instructions leave there, on top of what they find."""
    for mode, kernel in plan:
        for dst, src, wgt in steps_of(kernel):
            if mode is Mode.RESET:
                acc[dst] = Counter()
                continue
            if mode is Mode.OVERWRITE:
                acc[dst] = Counter()
            acc[dst][src, wgt] += 1
    return acc


def expected(product_, step):
    acc: dict[int, Counter] = {}
    for point in product(*map(range, product_.extents)):
        at = [np.array([k]) for k in point]
        dst, src, wgt = (int(o.at(at)[step]) for o in product_.operands)
        if any(g.at(at)[step] < 0 for g in product_.guards):
            continue
        counts = acc.setdefault(dst, Counter())
        if all(s.at(at)[step] >= 0 for s in product_.skips):
            counts[src, wgt] += 1
    return acc


def convolution(rng, steps=3):
    """A padded convolution over strips of rows: own loops y, x, ic, ky, kx."""
    rows, width, channels, kernel = (int(n) for n in (rng.integers(1, 4), *rng.integers(1, 6, 2), 3))
    stride = int(rng.integers(1, 3))
    in_width = stride * (width - 1) + kernel
    height = int(rng.integers(rows, 10))
    first = np.arange(steps) * rows
    base = np.zeros(steps, np.int64)
    operands = (
        Linear(base + 7, (width, 1, 0, 0, 0)),
        Linear(base + 3, (stride * in_width, stride, in_width * (stride * (rows - 1) + kernel), in_width, 1)),
        Linear(base, (0, 0, kernel * kernel, kernel, 1)),
    )
    y = Linear(first * stride - 1, (stride, 0, 0, 1, 0))
    x = Linear(base - 1, (0, stride, 0, 0, 1))
    skips = (y, Linear(height - 1 - y.base, (-stride, 0, 0, -1, 0)), x,
             Linear(in_width - 3 - x.base, (0, -stride, 0, 0, -1)))  # fmt: skip
    guards = (Linear(int(rng.integers(rows, 3 * rows + 1)) - 1 - first, (-1, 0, 0, 0, 0)),)
    return TileProduct((rows, width, channels, kernel, kernel), operands, guards, skips)


@pytest.mark.parametrize("overwrites", [True, False])
@pytest.mark.parametrize("seed", range(15))
def test_convolutions_with_borders(seed, overwrites):
    sum_ = convolution(np.random.default_rng(seed))
    plans = ProductPlans(sum_)
    for step in range(3):
        plan = plans.plan([int(column[step]) for column in plans.columns])
        wanted = expected(sum_, step)
        assert run(plan.begin(overwrites), {}) == wanted, seed
        assert run(plan.accumulate(), {k: Counter() for k in wanted}) == wanted, seed


def test_a_plain_sum_overwrites_in_one_instruction_and_adds_in_another():
    base = np.zeros(1, np.int64)
    sum_ = TileProduct((4, 8), (Linear(base, (1, 0)), Linear(base, (8, 1)), Linear(base, (0, 1))))
    plans = ProductPlans(sum_)
    plan = plans.plan([int(column[0]) for column in plans.columns])
    assert [(mode, k.outer.count * k.inner.count * len(k.uops)) for mode, k in plan.begin(True)] == [
        (Mode.OVERWRITE, 4),
        (Mode.ACCUMULATE, 28),
    ]
    assert [mode for mode, _ in plan.begin(False)] == [Mode.RESET, Mode.ACCUMULATE]
    assert len(list(plan.accumulate())) == 1


def test_loops_that_walk_alike_are_fused():
    kernel = make_kernel([Loop(3, (8, 0, 0)), Loop(8, (1, 0, 0)), Loop(2, (0, 1, 1))], [(0, 0, 0)])
    assert (kernel.outer.count, kernel.inner.count, len(kernel.uops)) == (24, 2, 1)


def test_backward_loops_are_unrolled():
    kernel = make_kernel([Loop(5, (1, -1, 0))], [(0, 9, 0)])
    assert kernel.uops.tolist() == [[k, 9 - k, 0] for k in range(5)]
    assert kernel.span(1) == (5, 10)


def test_a_kernel_in_pieces_is_the_same_kernel():
    kernel = make_kernel([Loop(7, (1, 0, 0)), Loop(3, (0, 1, 0)), Loop(5, (0, 0, 2)), Loop(2, (0, 9, 9))], [(0, 0, 0)])
    parts = list(pieces(kernel, 4))
    assert max(len(part.uops) for part in parts) <= 4
    assert sorted(step for part in parts for step in steps_of(part)) == sorted(steps_of(kernel))
