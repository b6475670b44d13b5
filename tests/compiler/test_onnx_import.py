"""What the importer makes of a model, and the sentence it gives for each kind of bad one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from support.onnx_models import ModelBuilder
from weft_compiler.dialects import qgraph
from weft_compiler.errors import CompileError
from weft_compiler.onnx_import import import_onnx
from weft_compiler.onnx_operators import IMPORTERS
from weft_compiler.passes.plan_memory import main_function


def refusal(source: str | Path | bytes, **options: int) -> str:
    """The sentence that an import is refused with."""
    with pytest.raises(CompileError) as caught:
        import_onnx(source, **options)
    return str(caught.value)


def relu_model(shape: list, **names: str) -> bytes:
    b = ModelBuilder()
    return b.build([("x", shape, np.float32)], [(b.node("Relu", ["x"], **names), shape, np.float32)])


def test_a_symbolic_first_dimension_becomes_the_batch() -> None:
    function = main_function(import_onnx(relu_model(["N", 3, 4]), batch=5))
    assert qgraph.shape_of(function.body.block.args[0]) == (5, 3, 4)


def test_names_of_nodes_and_tensors_survive() -> None:
    function = main_function(import_onnx(relu_model([2, 3], name="activation")))
    relu = function.body.block.first_op
    assert relu is not None
    assert (qgraph.layer_of(relu), qgraph.onnx_op_of(relu)) == ("activation", "Relu")
    assert function.arg_attrs is not None
    assert function.arg_attrs.data[0].data["name"].data == "x"  # type: ignore[attr-defined]


def test_reshape_resolves_zero_and_minus_one() -> None:
    b = ModelBuilder()
    y = b.node("Reshape", ["x", b.constant(np.array([0, -1], np.int64))])
    module = import_onnx(b.build([("x", [2, 3, 4], np.float32)], [(y, [2, 12], np.float32)]))
    reshape = main_function(module).body.block.first_op
    assert isinstance(reshape, qgraph.ReshapeOp)
    assert qgraph.shape_of(reshape.y) == (2, 12)


@pytest.mark.parametrize(
    ("mode", "pads"), [("SAME_UPPER", (0, 0, 1, 1)), ("SAME_LOWER", (1, 1, 0, 0)), ("VALID", (0,) * 4)]
)
def test_auto_pad(mode: str, pads: tuple[int, ...]) -> None:
    b = ModelBuilder()
    y = b.node("MaxPool", ["x"], kernel_shape=[2, 2], auto_pad=mode)
    size = 4 if mode == "VALID" else 5
    module = import_onnx(b.build([("x", [1, 1, 5, 5], np.float32)], [(y, [1, 1, size, size], np.float32)]))
    pool = main_function(module).body.block.first_op
    assert isinstance(pool, qgraph.MaxPoolOp)
    assert qgraph.ints(pool.pads) == pads
    assert qgraph.shape_of(pool.y) == (1, 1, size, size)


def test_qlinear_conv_has_onnxruntimes_scale() -> None:
    b = ModelBuilder()
    zero = b.constant(np.int8(0))
    scales = np.array([0.1, 0.3], np.float32)
    x_scale, y_scale = np.float32(0.7), np.float32(0.013)
    weights = b.constant(np.ones((2, 1, 1, 1), np.int8))
    inputs = ["x", b.constant(x_scale), zero, weights, b.constant(scales), b.constant(np.zeros(2, np.int8))]
    y = b.node("QLinearConv", [*inputs, b.constant(y_scale), zero])
    module = import_onnx(b.build([("x", [1, 1, 2, 2], np.int8)], [(y, [1, 2, 2, 2], np.int8)]))
    conv = next(op for op in module.walk() if isinstance(op, qgraph.QConvOp))
    assert qgraph.array(conv.scale).tobytes() == ((x_scale * scales) / y_scale).astype(np.float32).tobytes()


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "missing.onnx"
    assert refusal(path) == f"{path} cannot be read: No such file or directory; check the path"


def test_bytes_that_are_no_protobuf(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"\xff" * 100)
    assert refusal(path) == f"{path} is not an ONNX file (100 bytes do not parse); export it again"


def test_a_truncated_model() -> None:
    model = relu_model([1, 2])
    for length in range(0, len(model), 7):
        assert refusal(model[:length]).endswith("export it again")


def test_an_unsupported_node_is_named() -> None:
    b = ModelBuilder()
    model = b.build([("x", [1, 2], np.float32)], [(b.node("Det", ["x"], name="last"), [1, 2], np.float32)])
    assert refusal(model) == (
        "node 'last' (Det) is not supported; cut the model there or express it with the supported operators "
        + ", ".join(sorted(IMPORTERS))
    )


def test_a_dynamic_dimension_is_named() -> None:
    assert refusal(relu_model(["N", "length"])) == (
        "input 'x' has the dynamic dimension 'length' at axis 1; only the first one, the batch, may be symbolic, "
        "fix the others in the model"
    )


def test_a_batch_of_zero() -> None:
    assert refusal(relu_model(["N", 1]), batch=0) == "batch = 0 is no batch size; choose 1 or more"


def test_an_input_type_without_tensors() -> None:
    b = ModelBuilder()
    model = b.build([("x", [2], np.int64)], [(b.node("Identity", ["x"]), [2], np.int64)])
    assert refusal(model) == "input 'x' has type int64; use float32, int8 or uint8"


def test_a_scale_that_is_not_positive() -> None:
    b = ModelBuilder()
    y = b.quantize("x", -1.0, np.int8(0))
    model = b.build([("x", [2], np.float32)], [(y, [2], np.int8)])
    assert refusal(model) == (
        "node 'quantizelinear0' (QuantizeLinear) has scale = -1.0, which is not a positive number; "
        "quantise the model again"
    )


def test_weights_computed_at_run_time() -> None:
    b = ModelBuilder()
    zero, scale = b.constant(np.uint8(0)), b.constant(np.float32(1))
    y = b.node("QLinearConv", ["x", scale, zero, "w", scale, zero, scale, zero], name="conv")
    image = [1, 1, 2, 2]
    model = b.build([("x", image, np.uint8), ("w", image, np.uint8)], [(y, [1, 1, 1, 1], np.uint8)])
    assert refusal(model) == (
        "node 'conv' (QLinearConv) computes its weights at run time; make weights a constant of the model"
    )


def test_a_window_that_does_not_fit() -> None:
    b = ModelBuilder()
    y = b.node("MaxPool", ["x"], name="pool", kernel_shape=[4, 4])
    model = b.build([("x", [1, 1, 3, 3], np.float32)], [(y, [1, 1, 1, 1], np.float32)])
    assert refusal(model) == "node 'pool' (MaxPool) has a 4×4 window that does not fit its 3×3 input; enlarge it"


def test_a_scaled_gemm() -> None:
    b = ModelBuilder()
    y = b.node("Gemm", ["x", b.constant(np.ones((2, 2), np.float32))], name="dense", alpha=0.5)
    model = b.build([("x", [1, 2], np.float32)], [(y, [1, 2], np.float32)])
    assert refusal(model) == "node 'dense' (Gemm) has alpha = 0.5; only alpha = 1 is supported, fold it away"


def test_attributes_of_the_wrong_kind() -> None:
    b = ModelBuilder()
    y = b.node("MaxPool", ["x"], name="pool", kernel_shape=[2, 2], strides=[1])
    model = b.build([("x", [1, 1, 4, 4], np.float32)], [(y, [1, 1, 3, 3], np.float32)])
    assert refusal(model) == (
        "node 'pool' (MaxPool) has attributes or inputs of the wrong kind (tuple index out of range); "
        "export the model again"
    )


def test_scales_and_zero_points_of_different_numbers() -> None:
    b = ModelBuilder()
    y = b.dequantize("x", np.float32([1, 2]), np.zeros(3, np.int8))
    model = b.build([("x", [2], np.int8)], [(y, [2], np.float32)])
    assert refusal(model) == (
        "node 'dequantizelinear0' (DequantizeLinear) has 2 scales and 3 zero points; quantise the model again"
    )


def test_a_bias_of_another_shape() -> None:
    b = ModelBuilder()
    weights, bias = b.constant(np.ones((2, 3), np.float32)), b.constant(np.ones((4, 1), np.float32))
    y = b.node("Gemm", ["x", weights, bias], name="dense")
    model = b.build([("x", [4, 2], np.float32)], [(y, [4, 3], np.float32)])
    assert refusal(model) == (
        "node 'dense' (Gemm) has a bias of shape (4, 1); only one value for each of its 3 outputs is supported"
    )


def test_a_tensor_that_is_too_large() -> None:
    # 2³² × 2³² elements are 0 to 64-bit arithmetic.
    assert refusal(relu_model([1 << 32, 1 << 32])) == (
        "input 'x' of shape (4294967296, 4294967296) exceeds 2147483648 bytes; reduce it"
    )
    padded = ModelBuilder()
    weights = padded.dequantize(padded.constant(np.ones((1, 1, 1, 1), np.int8)), 1.0, np.int8(0))
    y = padded.node("Conv", ["x", weights], name="padded", pads=[1 << 40] * 4)
    model = padded.build([("x", [1, 1, 1, 1], np.float32)], [(y, ["a"] * 4, np.float32)])
    side = (1 << 41) + 1
    assert refusal(model) == (
        f"node 'padded' (Conv) gives a tensor of shape (1, 1, {side}, {side}), which exceeds 2147483648 bytes; "
        "reduce it"
    )


def test_nodes_of_one_name() -> None:
    b = ModelBuilder()
    y = b.node("Relu", ["x"], name="same")
    b.nodes[-1].output[0] = "between"
    y = b.node("Relu", ["between"], name="same")
    model = b.build([("x", [2], np.float32)], [(y, [2], np.float32)])
    assert refusal(model) == "the ONNX model has several nodes named 'same'; give each its own name, or none"


def test_a_zero_point_of_another_type() -> None:
    b = ModelBuilder()
    y = b.node("DequantizeLinear", ["x", b.constant(np.float32(1)), b.constant(np.int8(-3))], name="dq")
    model = b.build([("x", [2], np.uint8)], [(y, [2], np.float32)])
    assert refusal(model) == (
        "node 'dq' (DequantizeLinear) has a zero point of type int8 for uint8 values; store it as uint8"
    )


def test_a_type_that_the_operator_does_not_take() -> None:
    b = ModelBuilder()
    y = b.node("MaxPool", [b.constant(np.zeros((1, 1, 2, 2), np.int32))], name="pool", kernel_shape=[2, 2])
    model = b.build([("x", [1], np.float32)], [(y, ["a"] * 4, np.float32)])
    text = refusal(model)
    assert text.startswith("the ONNX model has inputs of the wrong type (")
    assert "MaxPool" in text


@pytest.mark.parametrize("axis", [-4, 4])
def test_flatten_at_no_axis(axis: int) -> None:
    b = ModelBuilder()
    y = b.node("Flatten", ["x"], name="flat", axis=axis)
    model = b.build([("x", [2, 3, 4], np.float32)], [(y, ["a", "b"], np.float32)])
    assert refusal(model) == (
        f"node 'flat' (Flatten) has axis = {axis}, outside the 3 dimensions of its input; correct it"
    )


def test_the_output_type_of_a_quantiser_without_zero_point() -> None:
    b = ModelBuilder()
    y = b.node("QuantizeLinear", ["x", b.constant(np.float32(1))], output_dtype=onnx.TensorProto.INT8)
    module = import_onnx(b.build([("x", [2], np.float32)], [(y, [2], np.int8)], opset=21))
    (quantize,) = (op for op in module.walk() if isinstance(op, qgraph.QuantizeOp))
    assert qgraph.dtype_of(quantize.y) == np.int8


def test_a_constant_is_an_output() -> None:
    b = ModelBuilder()
    y, constant = b.node("Relu", ["x"]), b.constant(np.float32([1, 2]))
    module = import_onnx(b.build([("x", [2], np.float32)], [(y, [2], np.float32), (constant, [2], np.float32)]))
    last = main_function(module).body.block.last_op
    assert last is not None
    assert [type(value.owner) for value in last.operands] == [qgraph.ReluOp, qgraph.ConstantOp]


def test_every_unsupported_node_is_named() -> None:
    b = ModelBuilder()
    y = b.node("Hardmax", [b.node("Det", ["x"], name="first")], name="second")
    text = refusal(b.build([("x", [1, 2, 2], np.float32)], [(y, [1], np.float32)]))
    assert text.startswith("node 'first' (Det) is not supported, nor are node 'second' (Hardmax); cut the model there")


def test_shapes_are_computed_here() -> None:
    """``Reshape(x, [Shape(x)[0], -1])``, as exporters write a flatten."""
    b = ModelBuilder()
    first = b.node("Gather", [b.node("Shape", ["x"]), b.constant(np.int64(0))])
    rows = b.node("Unsqueeze", [first, b.constant(np.array([0], np.int64))])
    target = b.node("Concat", [rows, b.constant(np.array([-1], np.int64))], axis=0)
    y = b.node("Reshape", ["x", target])
    module = import_onnx(b.build([("x", [2, 3, 4], np.float32)], [(y, [2, 12], np.float32)]))
    (reshape,) = [op for op in module.walk() if op.name.startswith("qgraph.")]
    assert isinstance(reshape, qgraph.ReshapeOp)
    assert qgraph.shape_of(reshape.y) == (2, 12)


def test_what_computes_shapes_of_data_is_refused() -> None:
    b = ModelBuilder()
    y = b.node("Cast", ["x"], name="cast", to=7)
    model = b.build([("x", [2], np.float32)], [(y, [2], np.int64)])
    assert refusal(model) == (
        "node 'cast' (Cast) computes something at run time; only of constants and of shapes is it supported"
    )


def test_text_that_is_not_utf8() -> None:
    model = relu_model([4], name="rectified").replace(b"rectified_out", b"rect\x87fied_out")
    assert refusal(model) == (
        "the ONNX model is not a valid ONNX model (text b'rect\\x87fied_out' is not UTF-8); export it again"
    )
