import numpy as np
import pytest
from weft_compiler.dialects import qgraph
from xdsl.dialects.builtin import BytesAttr
from xdsl.ir import Block, Operation, SSAValue
from xdsl.utils.exceptions import VerifyException


def argument(shape: tuple[int, ...], dtype: type) -> SSAValue:
    return Block(arg_types=[qgraph.tensor_type(shape, dtype)]).args[0]


def dense(scales: int, result: type = np.int8) -> Operation:
    y = qgraph.tensor_type((1, 4), np.int8)
    properties = qgraph.requantising_properties(0, [0], np.ones(scales), 0, y)
    y = qgraph.tensor_type((1, 4), result)
    return qgraph.QDenseOp(argument((1, 3), np.int8), argument((4, 3), np.int8), None, properties, y)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.float32])
def test_a_constant_gives_its_values_back(dtype: type) -> None:
    values = np.arange(6).astype(dtype).reshape(2, 3)
    constant = qgraph.ConstantOp(values)
    constant.verify()
    assert constant.values.dtype == dtype
    assert constant.values.tolist() == values.tolist()


def test_a_constant_of_a_transposed_array_is_row_major() -> None:
    values = np.arange(6, dtype=np.int8).reshape(2, 3).T
    assert qgraph.ConstantOp(values).values.tolist() == values.tolist()


def test_floats_keep_every_bit() -> None:
    values = np.float32([0.1, 1e-45, -3.4e38])
    assert qgraph.array(qgraph.floats(values)).tobytes() == values.tobytes()


@pytest.mark.parametrize("scales", [1, 4])
def test_scales_for_the_tensor_or_for_each_channel(scales: int) -> None:
    dense(scales).verify()


def test_combined_scale_rounds_at_each_step() -> None:
    x, w, y = np.float32(0.1), np.float32([0.3, 0.7]), np.float32(0.013)
    expected = [np.float32(np.float32(x * s) / y) for s in w]
    assert qgraph.combined_scale(x, w, y).tolist() == expected


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: dense(3), "3 values of scale for 4 channels"),
        (lambda: dense(1, np.float32), "quantised operations work on int8 and uint8"),
        (
            lambda: qgraph.QuantizeOp(argument((2,), np.float32), [1], [0], qgraph.tensor_type((2,), np.int32)),
            "quantize gives int8 or uint8",
        ),
        (
            lambda: qgraph.DequantizeOp(argument((2,), np.int8), [1, 2, 3], [0, 0, 0], qgraph.tensor_type((2,), "f4")),
            r"3 scales do not fit axis 0 of \(2,\)",
        ),
        (
            lambda: qgraph.ReshapeOp(argument((2, 3), np.int8), (5,)),
            r"reshape of \(2, 3\) to \(5,\) changes the element count",
        ),
    ],
)
def test_what_the_verifier_refuses(make, sentence: str) -> None:
    with pytest.raises(VerifyException, match=sentence):
        make().verify()


def test_a_constant_with_too_few_bytes_is_refused() -> None:
    constant = qgraph.ConstantOp(np.zeros(4, np.int32))
    constant.properties["data"] = BytesAttr(bytes(3))
    with pytest.raises(VerifyException, match="constant holds 3 bytes, its type needs 16"):
        constant.verify()
