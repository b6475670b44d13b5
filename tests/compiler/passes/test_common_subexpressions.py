import numpy as np
from support.qgraph_ir import apply, function, outline
from weft_compiler.dialects import floats, qgraph
from weft_compiler.passes.common_subexpressions import CommonSubexpressions, share_constants
from weft_compiler.passes.plan_memory import main_function

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


def test_constants_of_the_same_bytes_are_one() -> None:
    shape = (16, 16)

    def body(emit, x):
        for number in (1.0, 2.0, 1.0):
            x = emit(floats.BinaryOp("add", x, emit(qgraph.ConstantOp(np.full(shape, number, np.float32)))))
            x = emit(floats.BinaryOp("add", x, emit(qgraph.ConstantOp(np.ones((1, 1), np.float32)))))
        return x

    module = function([qgraph.tensor_type(shape, np.float32)], body)
    share_constants(module)
    module.verify()
    constants = [op.values for op in main_function(module).body.block.ops if isinstance(op, qgraph.ConstantOp)]
    assert [float(values[0, 0]) for values in constants if values.size > 1] == [1.0, 2.0]
    assert sum(values.size == 1 for values in constants) == 3
