import numpy as np
from support.qgraph_ir import apply, function, outline
from weft_compiler.dialects import qgraph
from weft_compiler.passes.common_subexpressions import CommonSubexpressions

X = qgraph.tensor_type((2, 3), np.float32)
Y = qgraph.tensor_type((2, 3), np.int8)


def test_a_tensor_quantised_twice_is_quantised_once() -> None:
    def body(emit, x):
        first, second = (emit(qgraph.QuantizeOp(x, [0.5], [1], Y)) for _ in range(2))
        a, b = (emit(qgraph.DequantizeOp(q, [0.5], [1], X)) for q in (first, second))
        return emit(qgraph.ReluOp(a)) if a is b else emit(qgraph.ReluOp(b))

    module = apply(CommonSubexpressions(), function([X], body))
    assert outline(module) == ["v0 = quantize(a0)", "v1 = dequantize(v0)", "v2 = relu(v1)", "return v2"]


def test_other_parameters_are_left_alone() -> None:
    def body(emit, x):
        emit(qgraph.QuantizeOp(x, [0.5], [1], Y))
        return emit(qgraph.QuantizeOp(x, [0.5], [2], Y))

    module = apply(CommonSubexpressions(), function([X], body))
    assert outline(module) == ["v0 = quantize(a0)", "v1 = quantize(a0)", "return v1"]
