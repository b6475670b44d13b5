"""Products of channels as sums over a diagonal: the same values, and what is refused."""

import numpy as np
import pytest
from weft_compiler import te
from weft_compiler.errors import ScheduleError
from weft_compiler.te.kernel import build
from weft_compiler.te.reference import evaluate


def depthwise(dtype="int8", channels=12):
    x, w = te.placeholder((channels, 7), dtype, "X"), te.placeholder((3, channels), dtype, "W")
    p = te.reduce_axis(3, "p")
    wide = "int32" if dtype == "int8" else "float32"
    return te.compute(
        (channels, 5), lambda c, i: te.sum(x[c, i + p].cast(wide) * w[p, c].cast(wide), p, reassociable=True), "Y"
    )


def test_the_operand_has_one_more_dimension_and_the_other_is_read_in_whole_groups():
    y = depthwise()
    s = te.Schedule(y)
    spread = s[y].diagonal("c", 4, "W")
    assert (spread.name, spread.shape) == ("W.diagonal", (3, 12, 4))
    assert "W.diagonal[i0, i1, i] = select(i1 % 4 == i, W[i0, i1], 0)" in s.loops()
    assert "Y[c, i] + int32(X[c // 4 * 4 + i_1, i + p]) * int32(W.diagonal[p, c, i_1])" in s.loops()
    values = {t: np.random.default_rng(3).integers(-128, 128, t.shape, np.int8) for t in s.program.inputs}
    np.testing.assert_array_equal(build(s)(*values.values()), evaluate([y], values)[0])
    assert te.Schedule.replay(y, s.trace).loops() == s.loops()


def refused(y, message, axis="c", factor=4, operand="W", before=None):
    s = te.Schedule(y)
    if before:
        before(s)
    with pytest.raises(ScheduleError) as error:
        s[y].diagonal(axis, factor, operand)
    assert str(error.value) == f"Y.diagonal({axis}, factor={factor}, operand={operand}): {message}"


def test_refusals():
    y = depthwise()
    refused(y, "axis c has 12 iterations, no whole number of 5; pad the tensor", factor=5)
    refused(y, "axis i of Y does not index one dimension of W by itself", axis="i")
    refused(y, "axis p of Y does not index one dimension of W by itself", axis="p")
    refused(
        y,
        "the loops of Y are scheduled already; diagonal comes first",
        axis="i",
        before=lambda s: s[y].split("c", 4),
    )
    other = "Y is no sum of products of whole numbers of W and another tensor"
    refused(depthwise("float32"), other)
    x = te.placeholder((12, 7), "int32", "W")
    p = te.reduce_axis(3, "p")
    refused(te.compute((12, 5), lambda c, i: te.sum(x[c, i + p], p), "Y"), other)
