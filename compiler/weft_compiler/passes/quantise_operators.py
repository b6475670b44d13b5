"""Replace float operators between Q/DQ by the quantised ones that onnxruntime runs in their place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, PatternRewriteWalker, RewritePattern, op_type_rewrite_pattern

from ..dialects import floats, movement, qgraph, quantised
from ..tables import Quantisation, requantisation_table
from .fold_constants import constant_of
from .quantise import bias_constant, erase_dead
from .sink_dequantize import per_tensor


@dataclass(frozen=True)
class _Operand:
    """An 8-bit tensor and what it stands for; the zero point has the tensor's type."""

    value: SSAValue
    quantisation: Quantisation

    @property
    def scale(self) -> Any:
        return self.quantisation[0]

    @property
    def zero(self) -> int:
        return int(self.quantisation[1])


def _operand(value: SSAValue) -> _Operand | None:
    """What a float was dequantised from, per tensor."""
    source = value.owner
    if not isinstance(source, qgraph.DequantizeOp) or not qgraph.is_quantised(source.x):
        return None
    parameters = per_tensor(source)
    if parameters is None:
        return None
    return _Operand(source.x, (parameters[0], qgraph.dtype_of(source.x).type(parameters[1])))


def _target(op: qgraph.QuantizeOp) -> Quantisation | None:
    parameters = per_tensor(op)
    return None if parameters is None else (parameters[0], qgraph.dtype_of(op.y).type(parameters[1]))


Rule = Callable[[Any, Sequence[_Operand], Quantisation, Any], list[Operation] | None]
"""The operations for a float operator, from its operands, the result's quantisation and type."""


def _binary(op: floats.BinaryOp, operands: Sequence[_Operand], target: Quantisation, y: Any) -> list[Operation] | None:
    (a, b), (y_scale, y_zero) = operands, target
    if op.function.data == "add":
        scales, zeros = (a.scale, b.scale), (a.zero, b.zero)
        return [quantised.qadd(a.value, b.value, scales, zeros, y_scale, int(y_zero), y)]
    if op.function.data == "mul":
        scale = qgraph.combined_scale(a.scale, b.scale, y_scale)
        return [quantised.QMulOp(a.value, b.value, scale, (a.zero, b.zero), int(y_zero), y)]
    return None


def _matmul(op: floats.MatMulOp, operands: Sequence[_Operand], target: Quantisation, y: Any) -> list[Operation]:
    (a, b), (y_scale, y_zero) = operands, target
    scale = np.atleast_1d(qgraph.combined_scale(a.scale, b.scale, y_scale))
    return [quantised.QMatMulOp(a.value, b.value, scale, (a.zero, b.zero), int(y_zero), y)]


def _concat(op: movement.ConcatOp, operands: Sequence[_Operand], target: Quantisation, y: Any) -> list[Operation]:
    made: list[Operation] = []
    parts = []
    for operand in operands:
        if quantised.same_quantisation(operand.quantisation, target):
            parts.append(operand.value)
            continue
        table = requantisation_table(qgraph.dtype_of(operand.value), operand.quantisation, target)
        made.append(quantised.LookupOp(operand.value, table))
        parts.append(made[-1].results[0])
    return [*made, movement.ConcatOp(parts, op.axis.value.data)]


def _softmax(op: floats.SoftmaxOp, operands: Sequence[_Operand], target: Quantisation, y: Any) -> list[Operation]:
    (x,), (y_scale, y_zero) = operands, target
    return [quantised.QSoftmaxOp(x.value, x.scale, y_scale, int(y_zero), y)]


def _average_pool(
    op: floats.AveragePoolOp, operands: Sequence[_Operand], target: Quantisation, y: Any
) -> list[Operation]:
    (x,), (y_scale, y_zero) = operands, target
    window = {name: op.properties[name] for name in ("strides", "pads", "dilations")}
    scales, zeros = (x.scale, y_scale), (x.zero, int(y_zero))
    include_pad = bool(op.include_pad.value.data)
    return [quantised.QAveragePoolOp(x.value, qgraph.ints(op.kernel), window, include_pad, scales, zeros, y)]  # type: ignore[arg-type]


def _global_average_pool(
    op: floats.GlobalAveragePoolOp, operands: Sequence[_Operand], target: Quantisation, y: Any
) -> list[Operation]:
    return [quantised.qglobal_average_pool(operands[0].value, operands[0].quantisation, target)]


_RULES: dict[type[Operation], Rule] = {
    floats.BinaryOp: _binary,
    floats.MatMulOp: _matmul,
    floats.SoftmaxOp: _softmax,
    floats.AveragePoolOp: _average_pool,
    floats.GlobalAveragePoolOp: _global_average_pool,
    movement.ConcatOp: _concat,
}
"""What each operator becomes if all its operands are dequantised and its result is quantised, all of one type."""


class _Quantise(RewritePattern):
    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: qgraph.QuantizeOp, rewriter: PatternRewriter) -> None:
        producer, target = op.x.owner, _target(op)
        if not isinstance(producer, Operation) or type(producer) not in _RULES or target is None:
            return
        operands = [_operand(value) for value in producer.operands]
        known = [operand for operand in operands if operand is not None]
        # onnxruntime fuses where all tensors are of one type and nobody else reads the float result.
        if len(known) != len(operands) or not op.x.has_one_use():
            return
        if {qgraph.dtype_of(operand.value) for operand in known} != {qgraph.dtype_of(op.y)}:
            return
        made = _RULES[type(producer)](producer, known, target, op.y.type)
        if made:
            rewriter.replace(op, [qgraph.copy_description(producer, new) for new in made])


class _ConvTranspose(RewritePattern):
    """``quantize(conv_transpose(dequantize(x), dequantize(w), bias))``: as the convolution that it is equal to."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: qgraph.QuantizeOp, rewriter: PatternRewriter) -> None:
        producer, target = op.x.owner, _target(op)
        if not isinstance(producer, floats.ConvTransposeOp) or target is None:
            return
        x, source = _operand(producer.x), producer.w.owner
        if x is None or not isinstance(source, qgraph.DequantizeOp) or not qgraph.is_quantised(source.x):
            return
        constant, groups = constant_of(source.x), producer.groups.value.data
        w_scale, w_zero = qgraph.array(source.scale), qgraph.array(source.zero_point)
        if constant is None or (w_scale.size > 1 and (source.axis.value.data != 1 or groups > 1)):
            return
        new: list[Operation] = [qgraph.ConstantOp(_as_convolution(constant.values, groups))]
        bias = None
        if producer.bias is not None:
            values = bias_constant(producer.bias, (np.float32(x.scale) * w_scale).astype(np.float32))
            if values is None:
                return
            new.append(qgraph.ConstantOp(values))
            bias = new[-1].results[0]
        properties = qgraph.requantising_properties(
            x.zero, w_zero, qgraph.combined_scale(x.scale, w_scale, target[0]), int(target[1]), op.y.type
        )
        geometry = {name: producer.properties[name] for name in ("expansion", "pads", "dilations", "groups")}
        new.append(quantised.QConvTransposeOp(x.value, new[0].results[0], bias, properties | geometry, op.y.type))
        rewriter.replace(op, [qgraph.copy_description(producer, made) for made in new])


def _as_convolution(w: np.ndarray, groups: int) -> np.ndarray:
    """Weights (C, O / groups, kh, kw) of a transposed convolution as those (O, C / groups, kh, kw) of a convolution."""
    inputs, outputs, kh, kw = w.shape
    split = w.reshape(groups, inputs // groups, outputs, kh, kw)[..., ::-1, ::-1]
    return np.ascontiguousarray(split.transpose(0, 2, 1, 3, 4).reshape(groups * outputs, inputs // groups, kh, kw))


@dataclass(frozen=True)
class QuantiseOperators(ModulePass):
    """Sums, products, concatenations, softmax and averages between Q/DQ become quantised operations.

    A transposed convolution becomes the equivalent of QLinearConv, which onnxruntime computes in floats. What has
    another function, an operand that is not dequantised, mixed types, or a float result that others read, stays float.
    """

    name: ClassVar[str] = "quantise-operators"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        PatternRewriteWalker(_Quantise()).rewrite_module(op)
        PatternRewriteWalker(_ConvTranspose()).rewrite_module(op)
        erase_dead(op)
