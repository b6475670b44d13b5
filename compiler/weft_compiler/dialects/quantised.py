"""Quantised operations of `qgraph` beside convolution and matrix product: their arithmetic is onnxruntime's.

``rne`` rounds to the nearest integer, ties to even; every other operation on floats rounds to float32 on its own,
``fma`` as a whole. All give ``clamp(…, low, high)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import BytesAttr, DenseArrayBase, FloatAttr, IntegerAttr, TensorType
from xdsl.ir import Attribute, SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, opt_operand_def, prop_def
from xdsl.utils.exceptions import VerifyException

from ..float32 import fma
from .qgraph import (
    OneTensorOp,
    TensorOp,
    array,
    dtype_of,
    floats,
    integer,
    integers,
    is_quantised,
    number,
    output_properties,
    shape_of,
    tensor_type,
)


class _BinaryOp(TensorOp):
    """Two 8-bit tensors that broadcast to the result's shape."""

    a = operand_def(TensorType)
    b = operand_def(TensorType)
    a_zero = prop_def(IntegerAttr)
    b_zero = prop_def(IntegerAttr)
    y_zero = prop_def(IntegerAttr)
    low = prop_def(IntegerAttr)
    high = prop_def(IntegerAttr)

    def verify_(self) -> None:
        if not all(map(is_quantised, (self.a, self.b, self.y))):
            raise VerifyException("quantised operations work on int8 and uint8")
        if np.broadcast_shapes(shape_of(self.a), shape_of(self.b)) != shape_of(self.y):
            raise VerifyException(f"{shape_of(self.a)} and {shape_of(self.b)} do not broadcast to {shape_of(self.y)}")


@irdl_op_definition
class QAddOp(_BinaryOp):
    """``rne(fma(a, a_scale, fma(b, b_scale, offset)))``: QLinearAdd.

    ``a_scale`` and ``b_scale`` are the inputs' scales over the result's. The zero points are in the offset
    ``y_zero − fma(a_scale, a_zero, b_scale · b_zero)``, so that rounding sees them.
    """

    name = "qgraph.qadd"
    a_scale = prop_def(FloatAttr)
    b_scale = prop_def(FloatAttr)

    def __init__(
        self, a: SSAValue, b: SSAValue, scales: tuple[Any, Any], zeros: tuple[int, int], y_zero: int, y: TensorType
    ):
        properties = {
            **{"a_scale": number(scales[0]), "b_scale": number(scales[1])},
            **{"a_zero": integer(zeros[0]), "b_zero": integer(zeros[1])},
            **output_properties(y_zero, y),
        }
        super().__init__(operands=[a, b], properties=properties, result_types=[y])

    @property
    def offset(self) -> np.float32:
        """What is added to the scaled operands."""
        a_scale, b_scale = (np.float32(scale.value.data) for scale in (self.a_scale, self.b_scale))
        a_zero, b_zero, y_zero = (np.float32(z.value.data) for z in (self.a_zero, self.b_zero, self.y_zero))
        return np.float32(y_zero - fma(a_scale, a_zero, b_scale * b_zero))


def qadd(
    a: SSAValue,
    b: SSAValue,
    scales: tuple[Any, Any],
    zeros: tuple[int, int],
    y_scale: Any,
    y_zero: int,
    y: TensorType,
) -> QAddOp:
    """`QAddOp` as onnxruntime computes it: an operand that is constant along the last axes goes second."""
    if _constant_run(shape_of(a), y) and not _constant_run(shape_of(b), y):
        a, b, scales, zeros = b, a, (scales[1], scales[0]), (zeros[1], zeros[0])
    ratios = np.float32(scales[0]) / np.float32(y_scale), np.float32(scales[1]) / np.float32(y_scale)
    return QAddOp(a, b, ratios, zeros, y_zero, y)


def _constant_run(shape: tuple[int, ...], y: TensorType) -> bool:
    """Whether an operand repeats its elements along the last axis of the result that is longer than 1."""
    result = y.get_shape()
    padded = (1,) * (len(result) - len(shape)) + shape
    last = next((k for k in reversed(range(len(result))) if result[k] != 1), None)
    return last is not None and padded[last] == 1


@irdl_op_definition
class QMulOp(_BinaryOp):
    """``rne(float32((a − a_zero) · (b − b_zero)) · scale + y_zero)``: QLinearMul.

    ``scale`` is ``(a's scale · b's scale) / the result's``.
    """

    name = "qgraph.qmul"
    scale = prop_def(FloatAttr)

    def __init__(self, a: SSAValue, b: SSAValue, scale: Any, zeros: tuple[int, int], y_zero: int, y: TensorType):
        properties = {
            "scale": number(scale),
            **{"a_zero": integer(zeros[0]), "b_zero": integer(zeros[1])},
            **output_properties(y_zero, y),
        }
        super().__init__(operands=[a, b], properties=properties, result_types=[y])


@irdl_op_definition
class LookupOp(OneTensorOp):
    """``table[bits of x as uint8]``: any function of one 8-bit value, for example a sigmoid or another scale."""

    name = "qgraph.lookup"
    table = prop_def(BytesAttr)

    def __init__(self, x: SSAValue, table: NDArray[Any]):
        properties = {"table": BytesAttr(table.tobytes())}
        super().__init__(operands=[x], properties=properties, result_types=[tensor_type(shape_of(x), table.dtype)])

    @property
    def values(self) -> NDArray[Any]:
        """The 256 results, of the result's type, in the order of the operand's bits as uint8."""
        return np.frombuffer(self.table.data, dtype_of(self.y))

    def verify_(self) -> None:
        if not is_quantised(self.x) or not is_quantised(self.y) or len(self.table.data) != 256:
            raise VerifyException("a lookup takes and gives 8-bit integers, by 256 bytes")


def by_bits(dtype: Any) -> NDArray[Any]:
    """All values of an 8-bit type in the order of their bits as uint8: what a table is indexed by.

    >>> by_bits("int8")[[0, 127, 128, 255]].tolist()
    [0, 127, -128, -1]
    """
    return np.arange(256, dtype=np.uint8).view(dtype)


def same_quantisation(a: tuple[Any, Any], b: tuple[Any, Any]) -> bool:
    """Whether two pairs of scale and typed zero point stand for the same values."""
    return bool(a[0] == b[0] and a[1] == b[1] and a[1].dtype == b[1].dtype)


class _PoolOp(OneTensorOp):
    """An average of 8-bit values."""

    x_zero = prop_def(IntegerAttr)
    y_zero = prop_def(IntegerAttr)
    low = prop_def(IntegerAttr)
    high = prop_def(IntegerAttr)


@irdl_op_definition
class QGlobalAveragePoolOp(_PoolOp):
    """``rne(float32(Σ (x − x_zero)) · scale) + y_zero`` of each plane of x (N, C, …): QLinearGlobalAveragePool.

    ``scale`` is ``x's scale / (the result's · elements of a plane)``.
    """

    name = "qgraph.qglobal_average_pool"
    scale = prop_def(FloatAttr)

    def __init__(self, x: SSAValue, scale: Any, x_zero: int, y_zero: int, y: TensorType):
        properties = {"scale": number(scale), "x_zero": integer(x_zero), **output_properties(y_zero, y)}
        super().__init__(operands=[x], properties=properties, result_types=[y])


def qglobal_average_pool(x: SSAValue, source: tuple[Any, Any], target: tuple[Any, Any]) -> QGlobalAveragePoolOp:
    """`QGlobalAveragePoolOp` from scale and zero point, typed, of input and result."""
    shape, (scale, zero), (y_scale, y_zero) = shape_of(x), source, target
    pixels = np.float32(int(np.prod(shape[2:])))
    y = tensor_type((*shape[:2], *(1 for _ in shape[2:])), y_zero.dtype)
    ratio = np.float32(scale) / np.float32(np.float32(y_scale) * pixels)
    return QGlobalAveragePoolOp(x, ratio, int(zero), int(y_zero), y)


@irdl_op_definition
class QAveragePoolOp(_PoolOp):
    """``rne(Σ (x_scale · float32(x − x_zero)) / n / y_scale + y_zero)`` of each window: QLinearAveragePool.

    The floats of a window are summed row by row; n is the kernel's size with ``include_pad``, otherwise the number of
    its taps inside x (N, C, H, W).
    """

    name = "qgraph.qaverage_pool"
    kernel = prop_def(DenseArrayBase)
    strides = prop_def(DenseArrayBase)
    pads = prop_def(DenseArrayBase)
    dilations = prop_def(DenseArrayBase)
    include_pad = prop_def(IntegerAttr)
    x_scale = prop_def(FloatAttr)
    y_scale = prop_def(FloatAttr)

    def __init__(
        self,
        x: SSAValue,
        kernel: Sequence[int],
        window: dict[str, DenseArrayBase],
        include_pad: bool,
        scales: tuple[Any, Any],
        zeros: tuple[int, int],
        y: TensorType,
    ):
        properties = {
            **window,
            **{"kernel": integers(kernel), "include_pad": integer(include_pad)},
            **{"x_scale": number(scales[0]), "y_scale": number(scales[1]), "x_zero": integer(zeros[0])},
            **output_properties(zeros[1], y),
        }
        super().__init__(operands=[x], properties=properties, result_types=[y])


@irdl_op_definition
class QSoftmaxOp(OneTensorOp):
    """Softmax along the last axis: QLinearSoftmax.

    ``e = table[x + 255 − max(x)]``, ``rne(e · inverse_scale / Σe) + y_zero``, summed in order. Where
    ``e · inverse_scale`` overflows, as in rows of one or two elements, the result is y_zero, or 127 for int8 with a
    negative zero point.
    """

    name = "qgraph.qsoftmax"
    table = prop_def(DenseArrayBase)
    inverse_scale = prop_def(FloatAttr)
    y_zero = prop_def(IntegerAttr)

    def __init__(self, x: SSAValue, x_scale: Any, y_scale: Any, y_zero: int, y: TensorType):
        properties = {
            "table": floats(exponentials(np.float32(x_scale), shape_of(x)[-1])),
            "inverse_scale": number(np.floor(np.float32(1) / np.float32(y_scale))),
            "y_zero": integer(y_zero),
        }
        super().__init__(operands=[x], properties=properties, result_types=[y])


def exponentials(scale: np.float32, length: int) -> NDArray[np.float32]:
    """``exp((k − 255) · scale)``, scaled up as far as a sum of ``length`` of them stays finite."""
    largest = np.log(np.float32(np.finfo(np.float32).max / np.float32(length)))
    shift = max(0.0, float(largest) - 5.0) / float(scale)
    return np.exp((np.arange(256, dtype=np.float64) - 255 + shift) * float(scale)).astype(np.float32)


@irdl_op_definition
class QMatMulOp(_BinaryOp):
    """``rne(float32(Σ (a − a_zero) · (b − b_zero)) · scale) + y_zero`` of a (…, M, K) and b (…, K, N): QLinearMatMul.

    Leading axes broadcast. ``scale`` is ``(a's scale · b's scale) / the result's``, one or one for each column.
    """

    name = "qgraph.qmatmul"
    scale = prop_def(DenseArrayBase)

    def __init__(self, a: SSAValue, b: SSAValue, scale: Any, zeros: tuple[int, int], y_zero: int, y: TensorType):
        properties = {
            "scale": floats(scale),
            **{"a_zero": integer(zeros[0]), "b_zero": integer(zeros[1])},
            **output_properties(y_zero, y),
        }
        super().__init__(operands=[a, b], properties=properties, result_types=[y])

    def verify_(self) -> None:
        a, b, y = shape_of(self.a), shape_of(self.b), shape_of(self.y)
        expected = (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])
        if a[-1] != b[-2] or expected != y or array(self.scale).size not in (1, b[-1]):
            raise VerifyException(f"the product of {a} and {b} is not {y}")


@irdl_op_definition
class QConvTransposeOp(TensorOp):
    """A convolution of the input with zeros between its elements: byte for byte QLinearConv of that.

    ``expansion`` rows and columns lie between neighbours (1: none), ``pads`` surround the result, so that a pad may be
    negative; w (O, C / groups, kh, kw) is flipped and exchanged already. Zeros and padding stand for ``x_zero``.
    """

    name = "qgraph.qconv_transpose"
    x = operand_def(TensorType)
    w = operand_def(TensorType)
    bias = opt_operand_def(TensorType)
    expansion = prop_def(DenseArrayBase)
    pads = prop_def(DenseArrayBase)
    dilations = prop_def(DenseArrayBase)
    groups = prop_def(IntegerAttr)
    x_zero = prop_def(IntegerAttr)
    w_zero = prop_def(DenseArrayBase)
    scale = prop_def(DenseArrayBase)
    y_zero = prop_def(IntegerAttr)
    low = prop_def(IntegerAttr)
    high = prop_def(IntegerAttr)

    def __init__(
        self, x: SSAValue, w: SSAValue, bias: SSAValue | None, properties: dict[str, Attribute], y: TensorType
    ):
        super().__init__(operands=[x, w, bias], properties=properties, result_types=[y])

    @property
    def channels(self) -> int:
        return shape_of(self.w)[0]


@irdl_op_definition
class ConvIntegerOp(TensorOp):
    """``Σ (x − x_zero) · (w − w_zero)``, int32, as `qgraph.QConvOp` sums it: ConvInteger."""

    name = "qgraph.conv_integer"
    x = operand_def(TensorType)
    w = operand_def(TensorType)
    strides = prop_def(DenseArrayBase)
    pads = prop_def(DenseArrayBase)
    dilations = prop_def(DenseArrayBase)
    groups = prop_def(IntegerAttr)
    x_zero = prop_def(IntegerAttr)
    w_zero = prop_def(DenseArrayBase)

    def __init__(
        self,
        x: SSAValue,
        w: SSAValue,
        window: dict[str, DenseArrayBase],
        groups: int,
        zeros: tuple[int, NDArray[Any]],
        shape: Sequence[int],
    ):
        properties = {
            **window,
            **{"groups": integer(groups), "x_zero": integer(zeros[0]), "w_zero": integers(zeros[1])},
        }
        super().__init__(operands=[x, w], properties=properties, result_types=[tensor_type(shape, np.int32)])


@irdl_op_definition
class MatMulIntegerOp(TensorOp):
    """``Σ (a − a_zero) · (b − b_zero)``, int32, of a (…, M, K) and b (…, K, N): MatMulInteger.

    ``b_zero`` is one or one for each column.
    """

    name = "qgraph.matmul_integer"
    a = operand_def(TensorType)
    b = operand_def(TensorType)
    a_zero = prop_def(IntegerAttr)
    b_zero = prop_def(DenseArrayBase)

    def __init__(self, a: SSAValue, b: SSAValue, zeros: tuple[int, NDArray[Any]]):
        left, right = shape_of(a), shape_of(b)
        shape = (*np.broadcast_shapes(left[:-2], right[:-2]), left[-2], right[-1])
        properties = {"a_zero": integer(zeros[0]), "b_zero": integers(zeros[1])}
        super().__init__(operands=[a, b], properties=properties, result_types=[tensor_type(shape, np.int32)])

    def verify_(self) -> None:
        if shape_of(self.a)[-1] != shape_of(self.b)[-2]:
            raise VerifyException(f"inner sizes of {shape_of(self.a)} and {shape_of(self.b)} differ")
        if array(self.b_zero).size not in (1, shape_of(self.y)[-1]):
            raise VerifyException(f"{array(self.b_zero).size} zero points for {shape_of(self.y)[-1]} columns")
