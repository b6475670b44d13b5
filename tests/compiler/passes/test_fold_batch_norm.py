import numpy as np
import pytest
from support.qgraph_ir import apply, function, outline
from weft_compiler.dialects import floats, qgraph
from weft_compiler.passes.fold_batch_norm import FoldBatchNorm

X = qgraph.tensor_type((1, 2, 3, 3), np.float32)
Y = qgraph.tensor_type((1, 4, 3, 3), np.float32)
W = np.arange(8, dtype=np.float32).reshape(4, 2, 1, 1)
BIAS = np.float32([1, 2, 3, 4])
SCALE = np.float32([2, 3, 4, 5]).reshape(4, 1, 1)
SHIFT = np.float32([10, 20, 30, 40]).reshape(1, 4, 1, 1)


def scaled(scale: np.ndarray, twice: bool = False):
    def body(emit, x):
        window = qgraph.window_properties((1, 1), (0, 0, 0, 0), (1, 1))
        w, bias = emit(qgraph.ConstantOp(W)), emit(qgraph.ConstantOp(BIAS))
        y = emit(qgraph.ConvOp(x, w, bias, window, 1, Y))
        z = emit(floats.BinaryOp("mul", y, emit(qgraph.ConstantOp(scale))))
        z = emit(floats.BinaryOp("add", z, emit(qgraph.ConstantOp(SHIFT))))
        return emit(floats.BinaryOp("add", z, y)) if twice else z

    return apply(FoldBatchNorm(), function([X], body))


def test_scale_and_shift_go_into_weights_and_bias() -> None:
    module = scaled(SCALE)
    assert outline(module) == ["v0 = conv(a0, const, const)", "return v0"]
    conv = next(op for op in module.walk() if isinstance(op, qgraph.ConvOp))
    assert conv.w.owner.values.tolist() == (W * SCALE.reshape(4, 1, 1, 1)).tolist()
    assert conv.bias.owner.values.tolist() == (BIAS * SCALE.reshape(4) + SHIFT.reshape(4)).tolist()


@pytest.mark.parametrize(("scale", "twice"), [(np.ones((1, 3, 3), np.float32), False), (SCALE, True)])
def test_what_is_left_alone(scale: np.ndarray, twice: bool) -> None:
    """A scale of the pixels, and a convolution that somebody else reads."""
    assert outline(scaled(scale, twice))[:2] == ["v0 = conv(a0, const, const)", "v1 = binary(v0, const)"]
