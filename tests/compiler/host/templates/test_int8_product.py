"""Byte products at every level of this machine: exact where 16-bit sums would saturate, nothing written outside."""

import numpy as np
import pytest
from support.host_templates import HERE, Compiled, extremes, grouped
from weft_compiler.host.templates.named import byte_product


@pytest.mark.parametrize("level", HERE, ids=lambda level: level.name)
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize(("rows", "columns", "depth"), [(8, 32, 64), (1, 16, 4), (5, 48, 12)])
def test_products_are_added_exactly(level, dtype, rows, columns, depth):
    product = Compiled(byte_product(dtype, rows, columns, depth), level)
    rng = np.random.default_rng(1)
    info = np.iinfo(dtype)
    operands = [(rng.integers(info.min, info.max + 1, (depth, rows)).astype(dtype), "random")]
    operands += [(values, "extreme") for values in extremes(dtype, (depth, rows))]
    for a, _ in operands:
        for b in (rng.integers(-128, 128, (depth, columns)).astype(np.int8), *extremes("int8", (depth, columns))):
            c = rng.integers(-(2**31), 2**31, (rows, columns)).astype(np.int32)
            expected = (a.T.astype(np.int64) @ b.astype(np.int64) + c).astype(np.int32)
            product(c, grouped(a), grouped(b))
            np.testing.assert_array_equal(c, expected)


@pytest.mark.parametrize("level", HERE, ids=lambda level: level.name)
def test_each_level_has_its_own_instructions(level):
    wanted = {"vnni": "vpdpbusd", "avx2": "vpmaddwd"}
    text = Compiled(byte_product("uint8", 4, 16, 16), level).assembly
    for name, instruction in wanted.items():
        assert (instruction in text) == (name == level.name)
    assert "vpmaddubsw" not in text, "it saturates"
