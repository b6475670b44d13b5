import itertools
import random

import numpy as np
from support.convolution import CONFIGS
from weft_compiler.kernels import Kernel, Loop, MicroCodeBuilder, distinct_rows, gemm_rows, make_kernel
from weft_compiler.streams import Contraction
from weft_hardware.encoding import unpack_uops


def indices(kernel: Kernel) -> list[tuple[int, ...]]:
    """Tile indices (dst, src, wgt) of every product, sorted."""
    found = []
    for out, inner in itertools.product(range(kernel.outer.count), range(kernel.inner.count)):
        moved = out * np.array(kernel.outer.steps) + inner * np.array(kernel.inner.steps)
        found += [tuple(row) for row in (kernel.uops + moved).tolist()]
    return sorted(found)


def test_random_kernels_visit_every_point_once():
    for seed in range(100):
        print(f"seed {seed}")
        rng = random.Random(seed)
        loops = [Loop(rng.randint(1, 4), tuple(rng.randint(0, 9) for _ in range(3))) for _ in range(rng.randint(0, 5))]
        base = (rng.randint(0, 9), rng.randint(0, 9), rng.randint(0, 9))
        points = [
            tuple(b + sum(i * loop.steps[k] for i, loop in zip(point, loops, strict=True)) for k, b in enumerate(base))
            for point in itertools.product(*(range(loop.count) for loop in loops))
        ]
        assert indices(make_kernel(loops, base)) == sorted(points)


def test_the_longest_loops_are_the_hardwares():
    loops = [Loop(3, (0, 1, 5)), Loop(14, (14, 16, 0)), Loop(2, (0, 2, 9)), Loop(13, (1, 1, 0))]
    kernel = make_kernel(loops, (0, 0, 0))
    assert (kernel.outer, kernel.inner) == (loops[1], loops[3])
    assert len(kernel.uops) == 6


def test_loops_that_go_on_seamlessly_are_one():
    kernel = make_kernel([Loop(4, (0, 3, 3)), Loop(3, (0, 1, 1))], (0, 0, 0))
    assert kernel.inner == Loop(12, (0, 1, 1))
    assert len(kernel.uops) == 1


def test_equal_micro_ops_are_kept_once_and_long_lists_are_cut():
    builder = MicroCodeBuilder(CONFIGS["shallow-queues"])  # 4 micro-ops
    uops = np.arange(18).reshape(6, 3)
    kernel = Kernel(Loop(1, (0, 0, 0)), Loop(1, (0, 0, 0)), uops)
    pieces = builder.add(kernel)
    assert len(pieces) == 2
    assert builder.add(kernel) == pieces
    code = builder.build()
    assert (code.begin.tolist(), code.size.tolist(), code.resident) == ([0, 4], [4, 2], False)
    assert unpack_uops(code.uops, CONFIGS["shallow-queues"])["dst"].tolist() == uops[:, 0].tolist()


def test_steps_of_equal_shape_share_a_kernel_and_fresh_ones_reset_first():
    two, one, none = (np.full(4, v) for v in (2, 1, 0))
    contraction = Contraction(bounds=(two, two), dst=(one, none), src=(none, one), wgt=(two, one))
    slots = np.array([0, 0, 8, 8])
    fresh = np.array([True, False, True, False])
    rows, code = gemm_rows(contraction, (slots, none, none), fresh, CONFIGS["vta"])
    assert rows.step.tolist() == [0, 0, 1, 2, 2, 3]
    assert rows.columns["reset"].tolist() == [1, 0, 0, 1, 0, 0]
    assert rows.columns["iter_in"].tolist() == [2, 2, 2, 2, 2, 2]
    # The micro-op of a reset equals that of the sum, so each slot needs one.
    assert len(code.uops) == 2
    assert rows.piece[1] == rows.piece[2] != rows.piece[4]


def test_distinct_rows_agree_with_numpy_even_where_values_are_huge():
    for seed in range(20):
        print(f"seed {seed}")
        rng = np.random.default_rng(seed)
        table = rng.integers(-(1 << 40), 1 << 40, (6, 4))[rng.integers(0, 6, 50)]
        rows, which = distinct_rows(list(table.T), 50)
        assert (rows[which] == table).all()
        assert len(rows) == len(np.unique(table, axis=0))
