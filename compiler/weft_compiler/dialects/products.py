"""Products of two activations as the host lays them out for the accelerator.

One product is a *group* of a convolution task of 1×1 pixels: of a (…, M, K) and b (…, K, N) each combination of the
leading axes is one, G in all. Rows of a lie along the image's width, columns of b are output channels.

The accelerator sums ``Σ (a − shift_a) · (b − b_zero)``. Where ``b_zero`` is not what b is shifted by, each row of a
lies in memory several times: b meets the first copy, ``shift_b − b_zero``, in *parts* that fit int8, the others. What
``a_zero`` still adds depends on the columns of b alone: it is a bias, which the host sums.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray
from xdsl.dialects.builtin import DenseArrayBase, IntegerAttr, TensorType
from xdsl.ir import Attribute, SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, opt_prop_def, prop_def

from .qgraph import OneTensorOp, TensorOp, floats, integer, integers


@irdl_op_definition
class PackRowsOp(OneTensorOp):
    """x (…, M, K) to (1, G · ic, 1, rows, batch, block_in) int8: ``x − shift``, ``copies`` times side by side.

    ``leading`` are the leading axes of the product, to which those of x broadcast. Lanes and rows beyond hold 0.
    """

    name = "qgraph.pack_rows"
    leading = prop_def(DenseArrayBase)
    shift = prop_def(IntegerAttr)
    copies = prop_def(IntegerAttr)

    def __init__(self, x: SSAValue, leading: Sequence[int], shift: int, copies: int, y: TensorType):
        properties = {"leading": integers(leading), "shift": integer(shift), "copies": integer(copies)}
        super().__init__(operands=[x], properties=properties, result_types=[y])


@irdl_op_definition
class PackColumnsOp(OneTensorOp):
    """x (…, K, N) to (G · oc, ic, 1, 1, block_out, block_in) int8: ``x − shift``, then ``parts`` down each column.

    ``parts`` holds one number, or one for each column, of each copy of the other factor's rows beyond the first.
    """

    name = "qgraph.pack_columns"
    leading = prop_def(DenseArrayBase)
    shift = prop_def(IntegerAttr)
    copies = prop_def(IntegerAttr)
    parts = prop_def(DenseArrayBase)

    def __init__(self, x: SSAValue, leading: Sequence[int], shift: int, parts: NDArray[Any], y: TensorType):
        properties = {
            **{"leading": integers(leading), "shift": integer(shift)},
            **{"copies": integer(1 + len(parts)), "parts": integers(parts.reshape(-1))},
        }
        super().__init__(operands=[x], properties=properties, result_types=[y])


@irdl_op_definition
class ColumnParametersOp(OneTensorOp):
    """Parameters int32 (G · oc, block_out, 2) of x (…, K, N): ``bias = −zero · Σ (x − x_zero)``, and bits of ``scale``.

    ``zero`` is what remains of the other factor's zero point; ``x_zero`` and ``scale`` are one or one for each column.
    """

    name = "qgraph.column_parameters"
    leading = prop_def(DenseArrayBase)
    zero = prop_def(IntegerAttr)
    x_zero = prop_def(DenseArrayBase)
    scale = prop_def(DenseArrayBase)

    def __init__(
        self, x: SSAValue, leading: Sequence[int], zero: int, x_zero: NDArray[Any], scale: NDArray[Any], y: TensorType
    ):
        properties = {
            **{"leading": integers(leading), "zero": integer(zero)},
            **{"x_zero": integers(x_zero), "scale": floats(scale)},
        }
        super().__init__(operands=[x], properties=properties, result_types=[y])


@irdl_op_definition
class UnpackRowsOp(OneTensorOp):
    """x (1, G · oc, 1, rows, batch, block_out) int8 to (…, M, N): ``x + shift``, without lanes and rows beyond."""

    name = "qgraph.unpack_rows"
    shift = prop_def(IntegerAttr)

    def __init__(self, x: SSAValue, shift: int, y: TensorType):
        super().__init__(operands=[x], properties={"shift": integer(shift)}, result_types=[y])


@irdl_op_definition
class RequantizeRowsOp(TensorOp):
    """Raw accumulators, or planes of their bytes, to (…, M, N): the sums with their biases, int32, or requantised.

    See `QMatMulOp` for the arithmetic; ``params`` as the requantising store takes them. Sums that stay whole have no
    ``y_zero``, ``low`` and ``high``.
    """

    name = "qgraph.requantize_rows"
    x = operand_def(TensorType)
    params = operand_def(TensorType)
    y_zero = opt_prop_def(IntegerAttr)
    low = opt_prop_def(IntegerAttr)
    high = opt_prop_def(IntegerAttr)

    def __init__(self, x: SSAValue, params: SSAValue, numbers: Mapping[str, Attribute], y: TensorType):
        super().__init__(operands=[x, params], properties=dict(numbers), result_types=[y])
