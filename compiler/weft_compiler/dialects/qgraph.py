"""`qgraph`: quantised networks as SSA over static tensors, from the ONNX file down to accelerator tasks.

Three groups share the dialect, so that a pass rewrites one operation at a time:

- as imported: `quantize`, `dequantize`, `conv`, `dense`, `relu`, `clip`, more in `floats.py`, and what moves data,
  here and in `movement.py`;
- quantised: `qconv`, `qdense`, `clamp`, more in `quantised.py`, whose arithmetic is onnxruntime's;
- laid out for the accelerator: `pack`, `accumulate`, `requantize`.

A layer's name and its ONNX operator type travel as the attributes ``layer`` and ``onnx_op``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import (
    BytesAttr,
    DenseArrayBase,
    Float32Type,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    Signedness,
    StringAttr,
    TensorType,
    f32,
    i64,
)
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from ..conv_task import Addition, Fold, Requantisation
from ..pool_task import PoolTask

si8 = IntegerType(8, Signedness.SIGNED)
ui8 = IntegerType(8, Signedness.UNSIGNED)
si32 = IntegerType(32, Signedness.SIGNED)

_DTYPES: dict[Attribute, np.dtype[Any]] = {
    si8: np.dtype("i1"),
    ui8: np.dtype("u1"),
    si32: np.dtype("<i4"),
    f32: np.dtype("<f4"),
}
_ELEMENTS = {dtype: element for element, dtype in _DTYPES.items()}


def tensor_type(shape: Sequence[int], dtype: Any) -> TensorType:
    """The tensor type of a numpy array's shape and dtype (int8, uint8, int32 or float32)."""
    return TensorType(_ELEMENTS[np.dtype(dtype).newbyteorder("<")], list(shape))


def has_dtype(dtype: Any) -> bool:
    """Whether the dialect has tensors of a numpy dtype."""
    return np.dtype(dtype).newbyteorder("<") in _ELEMENTS


def element_dtype(type_: TensorType) -> np.dtype[Any]:
    """The numpy dtype of a tensor type's elements."""
    return _DTYPES[type_.element_type]


def dtype_of(value: SSAValue) -> np.dtype[Any]:
    """The numpy dtype of a tensor's elements."""
    assert isinstance(value.type, TensorType)
    return element_dtype(value.type)


def shape_of(value: SSAValue) -> tuple[int, ...]:
    """The static shape of a tensor."""
    assert isinstance(value.type, TensorType)
    return value.type.get_shape()


def is_quantised(value: SSAValue) -> bool:
    """Whether a tensor holds 8-bit integers."""
    return dtype_of(value).itemsize == 1


def floats(values: NDArray[Any] | Sequence[float]) -> DenseArrayBase:
    """A float32 array as an attribute."""
    return DenseArrayBase(f32, BytesAttr(np.asarray(values, "<f4").tobytes()))


def integers(values: NDArray[Any] | Sequence[int]) -> DenseArrayBase:
    """An array of 64-bit integers as an attribute."""
    return DenseArrayBase(i64, BytesAttr(np.asarray(values, "<i8").tobytes()))


def array(attribute: DenseArrayBase) -> NDArray[Any]:
    """The values of `floats` or `integers` as a numpy array of one dimension."""
    return np.frombuffer(attribute.data.data, "<f4" if isinstance(attribute.elt_type, Float32Type) else "<i8")


def ints(attribute: DenseArrayBase) -> tuple[int, ...]:
    """The values of `integers` as a tuple."""
    return tuple(int(v) for v in array(attribute))


def integer(value: int) -> IntegerAttr:
    return IntegerAttr(value, i64)


def number(value: float | np.floating[Any]) -> FloatAttr:
    """One float32 as an attribute."""
    return FloatAttr(float(np.float32(value)), f32)


def combined_scale(x_scale: Any, w_scale: NDArray[np.float32], y_scale: Any) -> NDArray[np.float32]:
    """``(x_scale · w_scale) / y_scale``, each step rounded to float32, in onnxruntime's order."""
    return np.float32(x_scale) * w_scale / np.float32(y_scale)


def describe(op: Operation, layer: str, onnx_op: str) -> Operation:
    """Attach the layer's name and operator type."""
    op.attributes["layer"] = StringAttr(layer)
    op.attributes["onnx_op"] = StringAttr(onnx_op)
    return op


def copy_description(source: Operation, target: Operation) -> Operation:
    """Give one operation the layer of another."""
    for name in ("layer", "onnx_op"):
        if name in source.attributes:
            target.attributes[name] = source.attributes[name]
    return target


def layer_of(op: Operation) -> str:
    """The layer's name, or the operation's own where none was attached."""
    layer = op.attributes.get("layer")
    return layer.data if isinstance(layer, StringAttr) else op.name


def onnx_op_of(op: Operation) -> str:
    """The ONNX operator type that the operation came from."""
    onnx_op = op.attributes.get("onnx_op")
    return onnx_op.data if isinstance(onnx_op, StringAttr) else op.name


class TensorOp(IRDLOperation):
    """An operation without side effects whose single result is ``y``."""

    traits = traits_def(Pure())
    y = result_def(TensorType)


class OneTensorOp(TensorOp):
    """An operation on one tensor."""

    x = operand_def(TensorType)


@irdl_op_definition
class ConstantOp(TensorOp):
    """A tensor known at compile time: its bytes, little-endian and row-major; in text, hexadecimal."""

    name = "qgraph.constant"
    data = prop_def(BytesAttr)

    def print(self, printer: Printer) -> None:
        printer.print_string(f' "{self.data.data.hex()}"')
        printer.print_op_attributes(self.attributes)
        printer.print_string(" : ")
        printer.print_attribute(self.y.type)

    @classmethod
    def parse(cls, parser: Parser) -> ConstantOp:
        begin = parser.pos
        text = parser.parse_str_literal()
        try:
            data = bytes.fromhex(text)
        except ValueError:
            parser.raise_error(f"{text[:40]!r} are no bytes in hexadecimal", begin)
        attributes = parser.parse_optional_attr_dict()
        parser.parse_punctuation(":")
        return cls.create(
            properties={"data": BytesAttr(data)}, attributes=attributes, result_types=[parser.parse_type()]
        )

    def __init__(self, values: NDArray[Any]):
        super().__init__(
            properties={
                "data": BytesAttr(np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes())
            },
            result_types=[tensor_type(values.shape, values.dtype)],
        )

    @property
    def values(self) -> NDArray[Any]:
        return np.frombuffer(self.data.data, dtype_of(self.y)).reshape(shape_of(self.y))

    def verify_(self) -> None:
        expected = int(np.prod(shape_of(self.y))) * dtype_of(self.y).itemsize
        if len(self.data.data) != expected:
            raise VerifyException(f"constant holds {len(self.data.data)} bytes, its type needs {expected}")


def _verify_axis_parameters(op: QuantizeOp | DequantizeOp) -> None:
    scale, zero = array(op.scale), array(op.zero_point)
    if scale.size != zero.size:
        raise VerifyException(f"{scale.size} scales, but {zero.size} zero points")
    if scale.size != 1 and shape_of(op.x)[op.axis.value.data] != scale.size:
        raise VerifyException(f"{scale.size} scales do not fit axis {op.axis.value.data} of {shape_of(op.x)}")


class _ScaleOp(OneTensorOp):
    """Conversion between float32 and 8-bit (or int32) with one scale, or one for each index of ``axis``."""

    scale = prop_def(DenseArrayBase)
    zero_point = prop_def(DenseArrayBase)
    axis = prop_def(IntegerAttr)

    def __init__(self, x: SSAValue, scale: Any, zero_point: Any, result: TensorType, axis: int = 0):
        super().__init__(
            operands=[x],
            properties={"scale": floats(scale), "zero_point": integers(zero_point), "axis": integer(axis)},
            result_types=[result],
        )


@irdl_op_definition
class QuantizeOp(_ScaleOp):
    """``clamp(rne(x / scale) + zero_point)`` to the result's type."""

    name = "qgraph.quantize"

    def verify_(self) -> None:
        _verify_axis_parameters(self)
        if not is_quantised(self.y):
            raise VerifyException("quantize gives int8 or uint8")


@irdl_op_definition
class DequantizeOp(_ScaleOp):
    """``float32(x - zero_point) · scale``."""

    name = "qgraph.dequantize"

    def verify_(self) -> None:
        _verify_axis_parameters(self)
        if dtype_of(self.y) != np.float32:
            raise VerifyException("dequantize gives float32")


class _WindowOp(TensorOp):
    """Strides and dilations by rows and columns; pads at the top, left, bottom and right."""

    strides = prop_def(DenseArrayBase)
    pads = prop_def(DenseArrayBase)
    dilations = prop_def(DenseArrayBase)


def window_properties(
    strides: Sequence[int], pads: Sequence[int], dilations: Sequence[int]
) -> dict[str, DenseArrayBase]:
    """The properties that convolutions and pools share."""
    return {"strides": integers(strides), "pads": integers(pads), "dilations": integers(dilations)}


@irdl_op_definition
class ConvOp(_WindowOp):
    """Convolution of floats: x (N, C, H, W), w (O, C / groups, kh, kw), bias (O)."""

    name = "qgraph.conv"
    x = operand_def(TensorType)
    w = operand_def(TensorType)
    bias = opt_operand_def(TensorType)
    groups = prop_def(IntegerAttr)

    def __init__(
        self,
        x: SSAValue,
        w: SSAValue,
        bias: SSAValue | None,
        window: dict[str, DenseArrayBase],
        groups: int,
        y: TensorType,
    ):
        super().__init__(operands=[x, w, bias], properties={**window, "groups": integer(groups)}, result_types=[y])


@irdl_op_definition
class DenseOp(TensorOp):
    """Matrix product of floats over the last axis: x (…, K), w (N, K), or (K, N) unless ``transposed``, bias (N)."""

    name = "qgraph.dense"
    x = operand_def(TensorType)
    w = operand_def(TensorType)
    bias = opt_operand_def(TensorType)
    transposed = prop_def(IntegerAttr)

    def __init__(self, x: SSAValue, w: SSAValue, bias: SSAValue | None, transposed: bool, y: TensorType):
        super().__init__(operands=[x, w, bias], properties={"transposed": integer(transposed)}, result_types=[y])


@irdl_op_definition
class ReluOp(OneTensorOp):
    """``max(x, 0)`` of floats."""

    name = "qgraph.relu"

    def __init__(self, x: SSAValue):
        super().__init__(operands=[x], result_types=[x.type])


@irdl_op_definition
class ClipOp(OneTensorOp):
    """``min(max(x, low), high)`` of floats."""

    name = "qgraph.clip"
    low = prop_def(FloatAttr)
    high = prop_def(FloatAttr)

    def __init__(self, x: SSAValue, low: float, high: float):
        super().__init__(operands=[x], properties={"low": number(low), "high": number(high)}, result_types=[x.type])


@irdl_op_definition
class MaxPoolOp(_WindowOp):
    """Largest value of each window of x (N, C, H, W); padding never wins."""

    name = "qgraph.max_pool"
    x = operand_def(TensorType)
    kernel = prop_def(DenseArrayBase)

    def __init__(self, x: SSAValue, kernel: Sequence[int], window: dict[str, DenseArrayBase], y: TensorType):
        super().__init__(operands=[x], properties={**window, "kernel": integers(kernel)}, result_types=[y])


@irdl_op_definition
class ReshapeOp(OneTensorOp):
    """The same elements in the same order under another shape."""

    name = "qgraph.reshape"

    def __init__(self, x: SSAValue, shape: Sequence[int]):
        super().__init__(operands=[x], result_types=[tensor_type(shape, dtype_of(x))])

    def verify_(self) -> None:
        if np.prod(shape_of(self.x)) != np.prod(shape_of(self.y)):
            raise VerifyException(f"reshape of {shape_of(self.x)} to {shape_of(self.y)} changes the element count")


@irdl_op_definition
class TransposeOp(OneTensorOp):
    """``y`` axis k is ``x`` axis ``permutation[k]``."""

    name = "qgraph.transpose"
    permutation = prop_def(DenseArrayBase)

    def __init__(self, x: SSAValue, permutation: Sequence[int]):
        shape = [shape_of(x)[axis] for axis in permutation]
        super().__init__(
            operands=[x],
            properties={"permutation": integers(permutation)},
            result_types=[tensor_type(shape, dtype_of(x))],
        )


@irdl_op_definition
class ClampOp(OneTensorOp):
    """``min(max(x, low), high)`` of 8-bit integers."""

    name = "qgraph.clamp"
    low = prop_def(IntegerAttr)
    high = prop_def(IntegerAttr)

    def __init__(self, x: SSAValue, low: int, high: int):
        super().__init__(operands=[x], properties={"low": integer(low), "high": integer(high)}, result_types=[x.type])


class _RequantisingOp(TensorOp):
    """An integer sum, then requantisation: ``clamp(rne(float32(sum) · scale) + y_zero, low, high)``.

    The sum is ``wrap32(Σ (x - x_zero) · (w - w_zero) + bias)``.
    ``scale`` is ``float32((x_scale · w_scale) / y_scale)``, one value or one for each output channel.
    """

    x = operand_def(TensorType)
    w = operand_def(TensorType)
    bias = opt_operand_def(TensorType)
    x_zero = prop_def(IntegerAttr)
    w_zero = prop_def(DenseArrayBase)
    scale = prop_def(DenseArrayBase)
    y_zero = prop_def(IntegerAttr)
    low = prop_def(IntegerAttr)
    high = prop_def(IntegerAttr)

    def __init__(
        self,
        x: SSAValue,
        w: SSAValue,
        bias: SSAValue | None,
        properties: dict[str, Attribute],
        y: TensorType,
    ):
        super().__init__(operands=[x, w, bias], properties=properties, result_types=[y])

    @property
    def channels(self) -> int:
        return shape_of(self.w)[0]

    def verify_(self) -> None:
        for name, attribute in (("scale", self.scale), ("w_zero", self.w_zero)):
            if array(attribute).size not in (1, self.channels):
                raise VerifyException(f"{array(attribute).size} values of {name} for {self.channels} channels")
        if not is_quantised(self.y) or not is_quantised(self.x) or not is_quantised(self.w):
            raise VerifyException("quantised operations work on int8 and uint8")


def requantising_properties(x_zero: int, w_zero: Any, scale: Any, y_zero: int, y: TensorType) -> dict[str, Attribute]:
    """The properties that `QConvOp` and `QDenseOp` share; the clamp is the whole range of ``y``."""
    return {
        "x_zero": integer(x_zero),
        "w_zero": integers(w_zero),
        "scale": floats(scale),
        **output_properties(y_zero, y),
    }


def output_properties(y_zero: int, y: TensorType) -> dict[str, Attribute]:
    """Zero point and clamp of a result; the clamp is its whole range."""
    limits = np.iinfo(element_dtype(y))
    return {"y_zero": integer(y_zero), "low": integer(limits.min), "high": integer(limits.max)}


@irdl_op_definition
class QConvOp(_RequantisingOp):
    """Quantised convolution; padding stands for ``x_zero``."""

    name = "qgraph.qconv"
    strides = prop_def(DenseArrayBase)
    pads = prop_def(DenseArrayBase)
    dilations = prop_def(DenseArrayBase)
    groups = prop_def(IntegerAttr)


@irdl_op_definition
class QDenseOp(_RequantisingOp):
    """Quantised matrix product: x (…, K), w (N, K)."""

    name = "qgraph.qdense"


@irdl_op_definition
class PackOp(OneTensorOp):
    """x (N, C, H, W) to (n, ic, ih, iw, batch, block_in) int8: ``x - shift`` inside, ``pad_value`` in the padding.

    Channels and images beyond x hold 0. With ``rows`` set, x is (M, K) and its rows lie along iw instead of n.
    With ``fold`` (pitch, window and dilation of a `fold.Fold`) windows of pixels are the channels.
    """

    name = "qgraph.pack"
    shift = prop_def(IntegerAttr)
    pad_value = prop_def(IntegerAttr)
    pads = prop_def(DenseArrayBase)
    rows = prop_def(IntegerAttr)
    fold = opt_prop_def(DenseArrayBase)

    def __init__(
        self,
        x: SSAValue,
        *,
        shift: int,
        pad_value: int,
        pads: Sequence[int],
        rows: bool,
        y: TensorType,
        fold: Fold | None = None,
    ):
        super().__init__(
            operands=[x],
            properties={
                "shift": integer(shift),
                "pad_value": integer(pad_value),
                "pads": integers(pads),
                "rows": integer(rows),
                "fold": None if fold is None else integers((*fold.pitch, *fold.window, *fold.dilation)),
            },
            result_types=[y],
        )

    @property
    def folding(self) -> Fold | None:
        """How windows become channels."""
        if self.fold is None:
            return None
        numbers = ints(self.fold)
        return Fold((numbers[0], numbers[1]), (numbers[2], numbers[3]), (numbers[4], numbers[5]))


@irdl_op_definition
class AccumulateOp(TensorOp):
    """One convolution task of the accelerator: packed x and w to raw accumulators (n, oc, oh, ow, batch, block_out).

    ``phases`` are the numbers of a `conv_task.Phases`, pair by pair; w has dimensions for them before its taps then.
    """

    name = "qgraph.accumulate"
    x = operand_def(TensorType)
    w = operand_def(TensorType)
    strides = prop_def(DenseArrayBase)
    pads = prop_def(DenseArrayBase)
    dilations = prop_def(DenseArrayBase)
    phases = opt_prop_def(DenseArrayBase)

    def __init__(self, x: SSAValue, w: SSAValue, window: dict[str, DenseArrayBase], y: TensorType):
        super().__init__(operands=[x, w], properties=window, result_types=[y])


@irdl_op_definition
class ConvolveOp(TensorOp):
    """One convolution task of the accelerator, requantised on the way out: packed x and w to packed int8.

    ``params`` int32 (oc, block_out, 2) holds the bias and the bits of the float32 scale of each output channel, or of
    each of its ``phases``: (oc, phases, phases, block_out, 2). See `QConvOp` for the arithmetic, `AccumulateOp` for
    phases. Then ``residual``, packed as the result is, is added, and the result looked up in ``table`` int8 (256); how,
    says `requantisation`.
    """

    name = "qgraph.convolve"
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    x = operand_def(TensorType)
    w = operand_def(TensorType)
    params = operand_def(TensorType)
    residual = opt_operand_def(TensorType)
    table = opt_operand_def(TensorType)
    strides = prop_def(DenseArrayBase)
    pads = prop_def(DenseArrayBase)
    dilations = prop_def(DenseArrayBase)
    phases = opt_prop_def(DenseArrayBase)
    pad_value = prop_def(IntegerAttr)
    y_zero = prop_def(IntegerAttr)
    low = prop_def(IntegerAttr)
    high = prop_def(IntegerAttr)
    addition = opt_prop_def(DenseArrayBase)
    addition_bounds = opt_prop_def(DenseArrayBase)

    def __init__(
        self,
        x: SSAValue,
        w: SSAValue,
        params: SSAValue,
        window: Mapping[str, Attribute],
        *,
        pad_value: int,
        how: Requantisation,
        y: TensorType,
        residual: SSAValue | None = None,
        table: SSAValue | None = None,
    ):
        assert (residual is None) == (how.addition is None)
        assert (table is None) == (not how.table)
        properties = {**window, "pad_value": integer(pad_value), **_requantisation_properties(how)}
        super().__init__(operands=[x, w, params, residual, table], properties=properties, result_types=[y])

    @property
    def requantisation(self) -> Requantisation:
        """What happens to the sums on their way out."""
        return Requantisation(
            zero_point=self.y_zero.value.data,
            low=self.low.value.data,
            high=self.high.value.data,
            addition=_addition(self.addition, self.addition_bounds),
            table=self.table is not None,
        )


def _requantisation_properties(how: Requantisation) -> dict[str, Attribute | None]:
    numbers = {"y_zero": how.zero_point, "low": how.low, "high": how.high}
    properties: dict[str, Attribute | None] = {name: integer(value) for name, value in numbers.items()}
    if how.addition is not None:
        added = how.addition
        properties["addition"] = floats([added.scale, added.residual_scale, added.offset])
        properties["addition_bounds"] = integers([added.low, added.high, added.swap])
    return properties


def _addition(numbers: DenseArrayBase | None, bounds: DenseArrayBase | None) -> Addition | None:
    if numbers is None or bounds is None:
        return None
    scale, residual_scale, offset = (float(v) for v in array(numbers))
    low, high, swap = ints(bounds)
    return Addition(scale=scale, residual_scale=residual_scale, offset=offset, swap=bool(swap), low=low, high=high)


@irdl_op_definition
class PoolOp(TensorOp):
    """One pooling task of the accelerator: packed int8 to packed int8, see `pool_task.PoolTask`.

    ``eye`` is the identity matrix. A sum has ``params`` int32 (channels, block_out, 2) as `ConvolveOp` has.
    """

    name = "qgraph.pool"
    x = operand_def(TensorType)
    eye = operand_def(TensorType)
    params = opt_operand_def(TensorType)
    kernel = prop_def(DenseArrayBase)
    strides = prop_def(DenseArrayBase)
    pads = prop_def(DenseArrayBase)
    pad_value = prop_def(IntegerAttr)
    y_zero = opt_prop_def(IntegerAttr)
    low = opt_prop_def(IntegerAttr)
    high = opt_prop_def(IntegerAttr)

    def __init__(self, x: SSAValue, eye: SSAValue, params: SSAValue | None, task: PoolTask, y: TensorType):
        properties: dict[str, Attribute | None] = {
            "kernel": integers((task.kh, task.kw)),
            "strides": integers(task.stride),
            "pads": integers(task.pads),
            "pad_value": integer(task.pad_value),
        }
        if task.requantisation is not None:
            properties |= _requantisation_properties(task.requantisation)
        super().__init__(operands=[x, eye, params], properties=properties, result_types=[y])

    @property
    def requantisation(self) -> Requantisation | None:
        """What happens to sums on their way out; maxima have none."""
        if self.y_zero is None or self.low is None or self.high is None:
            return None
        return Requantisation(zero_point=self.y_zero.value.data, low=self.low.value.data, high=self.high.value.data)


@irdl_op_definition
class UnpackOp(OneTensorOp):
    """Packed int8 to (N, C, H, W), or to (M, K) with ``rows``: ``x + shift``, without lanes beyond; see `PackOp`."""

    name = "qgraph.unpack"
    shift = prop_def(IntegerAttr)
    rows = prop_def(IntegerAttr)

    def __init__(self, x: SSAValue, *, shift: int, rows: bool, y: TensorType):
        super().__init__(operands=[x], properties={"shift": integer(shift), "rows": integer(rows)}, result_types=[y])


@irdl_op_definition
class RequantizeOp(TensorOp):
    """Raw accumulators to (N, O, H, W), or to (M, N) with ``rows``; see `QConvOp` for the arithmetic.

    ``bias`` int32 and ``scale`` float32 hold one value for each output channel.
    """

    name = "qgraph.requantize"
    x = operand_def(TensorType)
    bias = operand_def(TensorType)
    scale = operand_def(TensorType)
    y_zero = prop_def(IntegerAttr)
    low = prop_def(IntegerAttr)
    high = prop_def(IntegerAttr)
    rows = prop_def(IntegerAttr)

    def __init__(
        self,
        x: SSAValue,
        bias: SSAValue,
        scale: SSAValue,
        *,
        y_zero: int,
        low: int,
        high: int,
        rows: bool,
        y: TensorType,
    ):
        super().__init__(
            operands=[x, bias, scale],
            properties={
                "y_zero": integer(y_zero),
                "low": integer(low),
                "high": integer(high),
                "rows": integer(rows),
            },
            result_types=[y],
        )


ACCELERATED = (AccumulateOp, ConvolveOp, PoolOp)
"""What runs on the accelerator once it is laid out in tiles."""
