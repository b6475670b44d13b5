import numpy as np
import pytest
from support.qgraph_ir import apply, function, outline
from weft_compiler.dialects import qgraph
from weft_compiler.passes.quantise import Quantise

X = qgraph.tensor_type((2, 3), np.int8)
XF = qgraph.tensor_type((2, 3), np.float32)
YF = qgraph.tensor_type((2, 4), np.float32)
Y = qgraph.tensor_type((2, 4), np.uint8)


def dense(weights: np.ndarray, transposed: bool, bias: np.ndarray | None, bias_scale: float | None = 0.125):
    """A dense layer between x·0.5, w·0.25 and y·0.1."""

    def body(emit, x):
        x = emit(qgraph.DequantizeOp(x, [0.5], [1], XF))
        kind = qgraph.tensor_type(weights.shape, np.float32)
        w = emit(qgraph.DequantizeOp(emit(qgraph.ConstantOp(weights)), [0.25], [0], kind))
        b = None
        if bias is not None:
            b = emit(qgraph.ConstantOp(bias))
            if bias_scale is not None:
                b = emit(qgraph.DequantizeOp(b, [bias_scale], [0], qgraph.tensor_type(bias.shape, np.float32)))
        return emit(qgraph.QuantizeOp(emit(qgraph.DenseOp(x, w, b, transposed, YF)), [0.1], [5], Y))

    return function([X], body)


def only(module, kind):
    (found,) = [op for op in module.walk() if isinstance(op, kind)]
    return found


@pytest.mark.parametrize("transposed", [True, False])
def test_a_dense_layer_between_quantisers(transposed: bool) -> None:
    weights = np.arange(12, dtype=np.int8).reshape(4, 3)
    module = apply(Quantise(), dense(weights if transposed else np.ascontiguousarray(weights.T), transposed, None))
    assert outline(module) == ["v0 = qdense(a0, const)", "return v0"]
    op = only(module, qgraph.QDenseOp)
    assert op.w.owner.values.tolist() == weights.tolist()
    assert qgraph.array(op.scale).tobytes() == (np.float32(0.5) * np.float32([0.25]) / np.float32(0.1)).tobytes()
    assert (op.x_zero.value.data, op.y_zero.value.data) == (1, 5)
    assert (op.low.value.data, op.high.value.data) == (0, 255)


def test_a_bias_in_units_of_the_sum_is_taken_as_it_is() -> None:
    bias = np.array([1, -2, 3, 1 << 30], np.int32)
    module = apply(Quantise(), dense(np.ones((4, 3), np.int8), True, bias))
    assert only(module, qgraph.QDenseOp).bias.owner.values.tolist() == bias.tolist()


def test_a_float_bias_is_rounded_to_units_of_the_sum() -> None:
    bias = np.array([0.125, -0.0625, 0.1875, 1e30], np.float32)
    module = apply(Quantise(), dense(np.ones((4, 3), np.int8), True, bias, None))
    assert only(module, qgraph.QDenseOp).bias.owner.values.tolist() == [1, 0, 2, 2**31 - 1]


def test_a_float_layer_stays() -> None:
    def body(emit, x):
        return emit(qgraph.DenseOp(x, emit(qgraph.ConstantOp(np.ones((4, 3), np.float32))), None, True, YF))

    assert outline(apply(Quantise(), function([XF], body))) == ["v0 = dense(a0, const)", "return v0"]


def test_other_operations_are_left_alone() -> None:
    module = function([XF], lambda emit, x: emit(qgraph.ReluOp(x)))
    assert outline(apply(Quantise(), module)) == ["v0 = relu(a0)", "return v0"]
