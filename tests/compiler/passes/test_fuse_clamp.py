import numpy as np
import pytest
from support.qgraph_ir import apply, function, outline
from weft_compiler.dialects import qgraph, quantised
from weft_compiler.passes.fuse_clamp import FuseClamp

X = qgraph.tensor_type((2, 3), np.int8)


def clamped_dense(bounds: list[tuple[int, int]]):
    def body(emit, x):
        weights = emit(qgraph.ConstantOp(np.ones((3, 3), np.int8)))
        properties = qgraph.requantising_properties(0, [0], [0.1], 0, X)
        y = emit(qgraph.QDenseOp(x, weights, None, properties, X))
        for low, high in bounds:
            y = emit(qgraph.ClampOp(y, low, high))
        return y

    return function([X], body)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [([(0, 127)], (0, 127)), ([(0, 100), (-5, 20)], (0, 20)), ([(50, 100), (-5, 20)], (20, 20)), ([], (-128, 127))],
)
def test_clamps_become_the_bounds(bounds: list[tuple[int, int]], expected: tuple[int, int]) -> None:
    module = apply(FuseClamp(), clamped_dense(bounds))
    assert outline(module) == ["v0 = qdense(a0, const)", "return v0"]
    (dense,) = [op for op in module.walk() if isinstance(op, qgraph.QDenseOp)]
    assert (dense.low.value.data, dense.high.value.data) == expected


def test_a_clamp_to_the_whole_range_disappears() -> None:
    module = function([X], lambda emit, x: emit(qgraph.ClampOp(x, -128, 127)))
    assert outline(apply(FuseClamp(), module)) == ["return a0"]


def test_a_clamp_of_an_argument_is_left_alone() -> None:
    module = function([X], lambda emit, x: emit(qgraph.ClampOp(x, 0, 127)))
    assert outline(apply(FuseClamp(), module)) == ["v0 = clamp(a0)", "return v0"]


def test_a_transposed_convolution_clamps_its_results() -> None:
    x_type, y_type = qgraph.tensor_type((1, 2, 3, 3), np.int8), qgraph.tensor_type((1, 4, 6, 6), np.int8)

    def body(emit, x):
        weights = emit(qgraph.ConstantOp(np.ones((4, 2, 2, 2), np.int8)))
        properties = qgraph.requantising_properties(0, [0], [0.1], 0, y_type)
        geometry = {"expansion": (2, 2), "pads": (1, 1, 1, 1), "dilations": (1, 1)}
        properties |= {**{name: qgraph.integers(v) for name, v in geometry.items()}, "groups": qgraph.integer(1)}
        y = emit(quantised.QConvTransposeOp(x, weights, None, properties, y_type))
        return emit(qgraph.ClampOp(y, 0, 100))

    module = apply(FuseClamp(), function([x_type], body))
    assert outline(module) == ["v0 = qconv_transpose(a0, const)", "return v0"]
    (op,) = [op for op in module.walk() if isinstance(op, quantised.QConvTransposeOp)]
    assert (op.low.value.data, op.high.value.data) == (0, 100)
