import numpy as np
import pytest
from support.onnx_models import ModelBuilder
from support.ort import reference
from support.qgraph_ir import apply, function, outline
from weft_compiler.dialects import qgraph
from weft_compiler.passes.fold_constants import FoldConstants, FoldDequantized, constant_of
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


@pytest.mark.parametrize("axis", [0, 1, None])
def test_dequantised_constants_become_onnxruntimes_floats(axis: int | None) -> None:
    rng = np.random.default_rng(3)
    values = rng.integers(0, 256, (5, 7)).astype(np.uint8)
    count = 1 if axis is None else values.shape[axis]
    scale = rng.uniform(1e-3, 3, count).astype(np.float32)
    zero = rng.integers(0, 256, count).astype(np.uint8)

    def body(emit):
        y = qgraph.tensor_type(values.shape, np.float32)
        x = emit(qgraph.ConstantOp(values))
        return emit(qgraph.DequantizeOp(x, scale.tolist(), zero.tolist(), y, axis or 0))

    assert returned(apply(FoldDequantized(), function([], body))).tobytes() == dequantised(values, scale, zero, axis)


def dequantised(values: np.ndarray, scale: np.ndarray, zero: np.ndarray, axis: int | None) -> bytes:
    b = ModelBuilder()
    if axis is None:
        scale, zero = scale[0], zero[0]
    operands = ["x", b.constant(np.asarray(scale)), b.constant(np.asarray(zero))]
    y = b.node("DequantizeLinear", operands, axis=axis or 0)
    model = b.build([("x", values.shape, np.uint8)], [(y, values.shape, np.float32)])
    return reference(model, {"x": values})[0].tobytes()


def test_a_dequantised_argument_is_left_alone() -> None:
    def body(emit, x):
        return emit(qgraph.DequantizeOp(x, [0.5], [3], F32))

    module = function([qgraph.tensor_type((2, 3), np.int8)], body)
    before = outline(module)
    assert outline(apply(FoldDequantized(), module)) == before
