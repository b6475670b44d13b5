import numpy as np
import pytest
from support.qgraph_ir import apply, function, outline
from weft_compiler.dialects import floats, qgraph
from weft_compiler.passes.fuse_bias import FuseBias

X = qgraph.tensor_type((2, 3), np.float32)
Y = qgraph.tensor_type((2, 4), np.float32)


def dense_then_add(bias: np.ndarray):
    def body(emit, x):
        weights = emit(qgraph.ConstantOp(np.ones((4, 3), np.float32)))
        y = emit(qgraph.DenseOp(x, weights, None, True, Y))
        return emit(floats.BinaryOp("add", y, emit(qgraph.ConstantOp(bias))))

    return function([X], body)


@pytest.mark.parametrize("shape", [(4,), (1, 4)])
def test_a_constant_along_the_channels_becomes_the_bias(shape: tuple[int, ...]) -> None:
    module = apply(FuseBias(), dense_then_add(np.ones(shape, np.float32)))
    assert outline(module) == ["v0 = reshape(const)", "v1 = dense(a0, const, v0)", "return v1"]


def test_a_constant_along_the_rows_is_left_alone() -> None:
    module = apply(FuseBias(), dense_then_add(np.ones((2, 1), np.float32)))
    assert outline(module) == ["v0 = dense(a0, const)", "v1 = binary(v0, const)", "return v1"]


def test_a_convolution_takes_a_bias_of_one_value_a_channel() -> None:
    image = qgraph.tensor_type((1, 1, 4, 4), np.float32)

    def body(emit, x):
        weights = emit(qgraph.ConstantOp(np.ones((4, 1, 1, 1), np.float32)))
        y = qgraph.tensor_type((1, 4, 4, 4), np.float32)
        window = qgraph.window_properties((1, 1), (0, 0, 0, 0), (1, 1))
        conv = emit(qgraph.ConvOp(x, weights, None, window, 1, y))
        return emit(floats.BinaryOp("add", conv, emit(qgraph.ConstantOp(np.ones((4, 1, 1), np.float32)))))

    module = apply(FuseBias(), function([image], body))
    assert outline(module) == ["v0 = reshape(const)", "v1 = conv(a0, const, v0)", "return v1"]
