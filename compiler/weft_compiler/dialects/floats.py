"""Float operations of `qgraph`: what becomes quantised with its neighbours, and what stays and runs on the host.

Convolution, matrix product with constant weights, ReLU and Clip are in `qgraph`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from xdsl.dialects.builtin import DenseArrayBase, FloatAttr, IntegerAttr, StringAttr, TensorType
from xdsl.ir import SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, opt_operand_def, prop_def, var_operand_def
from xdsl.utils.exceptions import VerifyException

from .qgraph import OneTensorOp, TensorOp, floats, integer, integers, number, shape_of, tensor_type


@irdl_op_definition
class UnaryOp(OneTensorOp):
    """A function of each element, by its name in `te.functions`, with that function's numbers."""

    name = "qgraph.unary"
    function = prop_def(StringAttr)
    numbers = prop_def(DenseArrayBase)

    def __init__(self, function: str, x: SSAValue, numbers: Sequence[float] = ()):
        properties = {"function": StringAttr(function), "numbers": floats(numbers)}
        super().__init__(operands=[x], properties=properties, result_types=[x.type])


@irdl_op_definition
class BinaryOp(TensorOp):
    """``add``, ``sub``, ``mul``, ``div``, ``pow``, ``min`` or ``max`` of two tensors that broadcast."""

    name = "qgraph.binary"
    a = operand_def(TensorType)
    b = operand_def(TensorType)
    function = prop_def(StringAttr)

    def __init__(self, function: str, a: SSAValue, b: SSAValue):
        y = tensor_type(np.broadcast_shapes(shape_of(a), shape_of(b)), np.float32)
        super().__init__(operands=[a, b], properties={"function": StringAttr(function)}, result_types=[y])

    def verify_(self) -> None:
        if np.broadcast_shapes(shape_of(self.a), shape_of(self.b)) != shape_of(self.y):
            raise VerifyException(f"{shape_of(self.a)} and {shape_of(self.b)} do not broadcast to {shape_of(self.y)}")


@irdl_op_definition
class ReduceOp(OneTensorOp):
    """``mean``, ``sum``, ``max`` or ``min`` over axes, which the result keeps or has not."""

    name = "qgraph.reduce"
    function = prop_def(StringAttr)
    axes = prop_def(DenseArrayBase)

    def __init__(self, function: str, x: SSAValue, axes: Sequence[int], y: TensorType):
        properties = {"function": StringAttr(function), "axes": integers(axes)}
        super().__init__(operands=[x], properties=properties, result_types=[y])


@irdl_op_definition
class MatMulOp(TensorOp):
    """Product of a (…, M, K) and b (…, K, N), whose leading axes broadcast."""

    name = "qgraph.matmul"
    a = operand_def(TensorType)
    b = operand_def(TensorType)

    def __init__(self, a: SSAValue, b: SSAValue):
        left, right = shape_of(a), shape_of(b)
        shape = (*np.broadcast_shapes(left[:-2], right[:-2]), left[-2], right[-1])
        super().__init__(operands=[a, b], result_types=[tensor_type(shape, np.float32)])

    def verify_(self) -> None:
        if shape_of(self.a)[-1] != shape_of(self.b)[-2]:
            raise VerifyException(f"inner sizes of {shape_of(self.a)} and {shape_of(self.b)} differ")


@irdl_op_definition
class SoftmaxOp(OneTensorOp):
    """``exp(x − max) / Σ exp(x − max)`` along the last axis."""

    name = "qgraph.softmax"

    def __init__(self, x: SSAValue):
        super().__init__(operands=[x], result_types=[x.type])


@irdl_op_definition
class NormalizeOp(TensorOp):
    """``(x − mean) / sqrt(variance + epsilon) · scale + bias`` of each row of the last axis.

    ``affine`` is nothing, or scale and bias, each with one value for each element of a row.
    """

    name = "qgraph.normalize"
    x = operand_def(TensorType)
    affine = var_operand_def(TensorType)
    epsilon = prop_def(FloatAttr)

    def __init__(self, x: SSAValue, epsilon: float, affine: Sequence[SSAValue] = ()):
        properties = {"epsilon": number(epsilon)}
        super().__init__(operands=[x, list(affine)], properties=properties, result_types=[x.type])

    def verify_(self) -> None:
        if len(self.affine) not in (0, 2) or any(
            int(np.prod(shape_of(v))) != shape_of(self.x)[-1] for v in self.affine
        ):
            raise VerifyException(f"scale and bias do not fit rows of {shape_of(self.x)[-1]}")


@irdl_op_definition
class AveragePoolOp(OneTensorOp):
    """Mean of each window of x (N, C, H, W), of its taps inside x alone unless ``include_pad``."""

    name = "qgraph.average_pool"
    kernel = prop_def(DenseArrayBase)
    strides = prop_def(DenseArrayBase)
    pads = prop_def(DenseArrayBase)
    dilations = prop_def(DenseArrayBase)
    include_pad = prop_def(IntegerAttr)

    def __init__(
        self, x: SSAValue, kernel: Sequence[int], window: dict[str, DenseArrayBase], include_pad: bool, y: TensorType
    ):
        properties = {**window, "kernel": integers(kernel), "include_pad": integer(include_pad)}
        super().__init__(operands=[x], properties=properties, result_types=[y])


@irdl_op_definition
class GlobalAveragePoolOp(OneTensorOp):
    """Mean of each plane of x (N, C, …)."""

    name = "qgraph.global_average_pool"

    def __init__(self, x: SSAValue):
        shape = shape_of(x)
        y = tensor_type((*shape[:2], *(1 for _ in shape[2:])), np.float32)
        super().__init__(operands=[x], result_types=[y])


@irdl_op_definition
class ConvTransposeOp(TensorOp):
    """The gradient of a convolution by its input: x (N, C, H, W), w (C, O / groups, kh, kw), bias (O).

    ``pads`` are those of the convolution of x with zeros between its elements, so that a pad may be negative; see
    `quantised.QConvTransposeOp`.
    """

    name = "qgraph.conv_transpose"
    x = operand_def(TensorType)
    w = operand_def(TensorType)
    bias = opt_operand_def(TensorType)
    expansion = prop_def(DenseArrayBase)
    pads = prop_def(DenseArrayBase)
    dilations = prop_def(DenseArrayBase)
    groups = prop_def(IntegerAttr)

    def __init__(
        self,
        x: SSAValue,
        w: SSAValue,
        bias: SSAValue | None,
        geometry: tuple[Sequence[int], Sequence[int], Sequence[int]],
        groups: int,
        y: TensorType,
    ):
        expansion, pads, dilations = map(integers, geometry)
        properties = {"expansion": expansion, "pads": pads, "dilations": dilations, "groups": integer(groups)}
        super().__init__(operands=[x, w, bias], properties=properties, result_types=[y])


@irdl_op_definition
class RecurrentOp(TensorOp):
    """An LSTM, GRU or RNN over x (steps, N, inputs), giving y (steps, directions, N, hidden).

    ``w`` (directions, gates · hidden, inputs), ``r`` (directions, gates · hidden, hidden) and ``bias`` (directions,
    2 · gates · hidden) are laid out as in ONNX, and ``direction`` is as there. ``h`` and ``c`` (directions, N, hidden)
    are the initial states, ``c`` an LSTM's alone. The last axis of y holds an LSTM's cell state, too, behind the hidden
    one; a GRU's has as much room for its own use.
    """

    name = "qgraph.recurrent"
    x = operand_def(TensorType)
    w = operand_def(TensorType)
    r = operand_def(TensorType)
    bias = operand_def(TensorType)
    h = operand_def(TensorType)
    c = opt_operand_def(TensorType)
    cell = prop_def(StringAttr)
    direction = prop_def(StringAttr)
    linear_before_reset = prop_def(IntegerAttr)

    def __init__(
        self,
        cell: str,
        operands: Sequence[SSAValue | None],
        direction: str,
        y: TensorType,
        linear_before_reset: bool = False,
    ):
        properties = {
            "cell": StringAttr(cell),
            "direction": StringAttr(direction),
            "linear_before_reset": integer(linear_before_reset),
        }
        super().__init__(operands=list(operands), properties=properties, result_types=[y])
