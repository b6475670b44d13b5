import numpy as np
from support.qgraph_ir import apply, function, outline
from weft_compiler.dialects import qgraph
from weft_compiler.passes.fold_constants import FoldConstants, constant_of
from weft_compiler.passes.plan_memory import main_function
from xdsl.dialects.builtin import ModuleOp

F32 = qgraph.tensor_type((2, 3), np.float32)


def returned(module: ModuleOp) -> np.ndarray:
    last = main_function(module).body.block.last_op
    assert last is not None
    constant = constant_of(last.operands[0])
    assert constant is not None
    return constant.values


def test_transpose_and_reshape_of_a_constant_are_computed() -> None:
    values = np.arange(6, dtype=np.int8).reshape(2, 3)

    def body(emit):
        transposed = emit(qgraph.TransposeOp(emit(qgraph.ConstantOp(values)), (1, 0)))
        return emit(qgraph.ReshapeOp(transposed, (6,)))

    module = apply(FoldConstants(), function([], body))
    assert outline(module) == ["return const"]
    assert returned(module).tolist() == [0, 3, 1, 4, 2, 5]


def test_quantise_of_a_constant_rounds_half_to_even_and_saturates() -> None:
    values = np.array([0.5, 1.5, 2.5, -0.5, 1000, -1000], np.float32)

    def body(emit):
        y = qgraph.tensor_type((6,), np.int8)
        return emit(qgraph.QuantizeOp(emit(qgraph.ConstantOp(values)), [1.0], [3], y))

    assert returned(apply(FoldConstants(), function([], body))).tolist() == [3, 5, 5, 3, 127, -128]


def test_a_scalar_stays_a_scalar() -> None:
    def body(emit):
        scalar = emit(qgraph.ReshapeOp(emit(qgraph.ConstantOp(np.float32([2.5]))), ()))
        return emit(qgraph.QuantizeOp(scalar, [1.0], [0], qgraph.tensor_type((), np.int8)))

    folded = returned(apply(FoldConstants(), function([], body)))
    assert (folded.shape, folded.item()) == ((), 2)


def test_what_depends_on_an_argument_is_left_alone() -> None:
    module = function([F32], lambda emit, x: emit(qgraph.TransposeOp(emit(qgraph.ReluOp(x)), (1, 0))))
    before = outline(module)
    assert outline(apply(FoldConstants(), module)) == before
