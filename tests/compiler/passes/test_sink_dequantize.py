import numpy as np
import pytest
from support.qgraph_ir import apply, function, outline
from weft_compiler.dialects import qgraph
from weft_compiler.passes.plan_memory import main_function
from weft_compiler.passes.sink_dequantize import SinkDequantize

SHAPE = (1, 2, 4, 4)
S8 = qgraph.tensor_type(SHAPE, np.int8)
F32 = qgraph.tensor_type(SHAPE, np.float32)
WINDOW = qgraph.window_properties((2, 2), (0, 0, 0, 0), (1, 1))


def pool(x):
    return qgraph.MaxPoolOp(x, (2, 2), WINDOW, qgraph.tensor_type((1, 2, 2, 2), np.float32))


def test_a_pool_between_equal_quantisers_becomes_an_integer_pool() -> None:
    def body(emit, x):
        y = emit(pool(emit(qgraph.DequantizeOp(x, [0.5], [3], F32))))
        return emit(qgraph.QuantizeOp(y, [0.5], [3], qgraph.tensor_type((1, 2, 2, 2), np.int8)))

    module = apply(SinkDequantize(), function([S8], body))
    assert outline(module) == ["v0 = max_pool(a0)", "return v0"]


def test_a_pool_between_different_quantisers_keeps_both() -> None:
    def body(emit, x):
        y = emit(pool(emit(qgraph.DequantizeOp(x, [0.5], [3], F32))))
        return emit(qgraph.QuantizeOp(y, [0.25], [3], qgraph.tensor_type((1, 2, 2, 2), np.int8)))

    assert outline(apply(SinkDequantize(), function([S8], body))) == [
        "v0 = max_pool(a0)",
        "v1 = dequantize(v0)",
        "v2 = quantize(v1)",
        "return v2",
    ]


@pytest.mark.parametrize(("zero", "dtype"), [(-128, np.int8), (7, np.int8), (0, np.uint8), (200, np.uint8)])
def test_relu_becomes_a_clamp_at_the_zero_point(zero: int, dtype: type) -> None:
    integers = qgraph.tensor_type(SHAPE, dtype)

    def body(emit, x):
        y = emit(qgraph.ReluOp(emit(qgraph.DequantizeOp(x, [0.5], [zero], F32))))
        return emit(qgraph.QuantizeOp(y, [0.5], [zero], integers))

    module = apply(SinkDequantize(), function([integers], body))
    last = main_function(module).body.block.last_op
    assert last is not None
    clamp = last.operands[0].owner
    assert isinstance(clamp, qgraph.ClampOp)
    assert (clamp.low.value.data, clamp.high.value.data) == (zero, np.iinfo(dtype).max)


def test_clip_before_quantise_becomes_a_clamp_at_the_quantised_bounds() -> None:
    def body(emit, x):
        return emit(qgraph.QuantizeOp(emit(qgraph.ClipOp(x, 0.0, 6.0)), [0.1], [-10], S8))

    module = apply(SinkDequantize(), function([F32], body))
    clamp = main_function(module).body.block.last_op.operands[0].owner  # type: ignore[union-attr]
    assert isinstance(clamp, qgraph.ClampOp)
    assert (clamp.low.value.data, clamp.high.value.data) == (-10, 50)


def test_per_channel_quantisers_are_left_alone() -> None:
    def body(emit, x):
        y = emit(qgraph.DequantizeOp(x, [0.5, 0.25], [0, 0], F32, axis=1))
        return emit(qgraph.QuantizeOp(y, [0.5, 0.25], [0, 0], S8, axis=1))

    module = function([S8], body)
    before = outline(module)
    assert outline(apply(SinkDequantize(), module)) == before
