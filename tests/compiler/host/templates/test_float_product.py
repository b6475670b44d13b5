"""Float products at every level of this machine."""

import numpy as np
import pytest
from support.host_templates import HERE, Compiled
from weft_compiler.host.templates.named import float32_product


@pytest.mark.parametrize("level", HERE, ids=lambda level: level.name)
@pytest.mark.parametrize(("rows", "columns", "depth"), [(8, 32, 100), (1, 8, 3), (5, 12, 7), (7, 6, 1)])
def test_products_are_added(level, rows, columns, depth):
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(rows, depth)).astype(np.float32), rng.normal(size=(depth, columns)).astype(np.float32)
    c = rng.normal(size=(rows, columns)).astype(np.float32)
    expected = c.astype(np.float64) + a.astype(np.float64) @ b
    Compiled(float32_product(rows, columns, depth), level)(c, a, b)
    np.testing.assert_allclose(c, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("level", HERE, ids=lambda level: level.name)
def test_vectors_are_as_wide_as_the_level_says(level):
    text = Compiled(float32_product(4, 32, 16), level).assembly
    widest = "zmm" if "zmm" in text else "ymm" if "ymm" in text else "xmm"
    assert widest == {64: "zmm", 32: "ymm", 16: "xmm"}[level.vector_bytes]
