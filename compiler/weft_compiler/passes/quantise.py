"""Replace ``quantize(conv(dequantize(x), dequantize(w), b))`` by the quantised operation it stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, TensorType
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, PatternRewriteWalker, RewritePattern, op_type_rewrite_pattern

from ..dialects import qgraph
from .fold_constants import constant_of
from .sink_dequantize import per_tensor


def bias_constant(value: SSAValue, sum_scale: NDArray[np.float32]) -> NDArray[np.int32] | None:
    """A bias as int32 in units of the sum, or None if it is not known.

    A bias stored in those units is taken as it is; a float one is rounded to them.
    """
    source = value.owner
    if isinstance(source, qgraph.ReshapeOp):
        inner = bias_constant(source.x, sum_scale)
        return None if inner is None else inner.reshape(-1)
    if isinstance(source, qgraph.DequantizeOp):
        constant = constant_of(source.x)
        if constant is None or qgraph.array(source.zero_point).any():
            return None
        scale = qgraph.array(source.scale)
        if constant.values.dtype == np.int32 and np.allclose(scale, sum_scale, rtol=1e-3, atol=0):
            return constant.values.reshape(-1)
        values = constant.values.reshape(-1).astype(np.float64) * scale
    elif (constant := constant_of(value)) is not None:
        values = constant.values.reshape(-1).astype(np.float64)
    else:
        return None
    limits = np.iinfo(np.int32)
    return np.clip(np.rint(values / sum_scale), limits.min, limits.max).astype(np.int32)


def _weights(op: qgraph.ConvOp | qgraph.DenseOp) -> tuple[NDArray, NDArray, NDArray] | None:
    """Constant weights with output channels first, their scales and zero points; None if they are not quantised so."""
    source = op.w.owner
    if not isinstance(source, qgraph.DequantizeOp) or not qgraph.is_quantised(source.x):
        return None
    constant = constant_of(source.x)
    if constant is None:
        return None
    values, scale, zero = constant.values, qgraph.array(source.scale), qgraph.array(source.zero_point)
    channel_axis = 0
    if isinstance(op, qgraph.DenseOp) and not op.transposed.value.data:
        values, channel_axis = np.ascontiguousarray(values.T), 1
    if scale.size > 1 and source.axis.value.data != channel_axis:
        return None
    return values, scale, zero


class _Quantise(RewritePattern):
    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: qgraph.QuantizeOp, rewriter: PatternRewriter) -> None:
        producer = op.x.owner
        if not isinstance(producer, qgraph.ConvOp | qgraph.DenseOp):
            return
        source, output, weights = producer.x.owner, per_tensor(op), _weights(producer)
        if not isinstance(source, qgraph.DequantizeOp) or not qgraph.is_quantised(source.x):
            return
        inputs = per_tensor(source)
        if inputs is None or output is None or weights is None:
            return
        w_values, w_scale, w_zero = weights
        new: list[Operation] = [qgraph.copy_description(producer, qgraph.ConstantOp(w_values))]
        bias: SSAValue | None = None
        if producer.bias is not None:
            values = bias_constant(producer.bias, (inputs[0] * w_scale).astype(np.float32))
            if values is None:
                return
            new.append(qgraph.copy_description(producer, qgraph.ConstantOp(values)))
            bias = new[-1].results[0]
        result = qgraph.tensor_type(qgraph.shape_of(op.y), qgraph.dtype_of(op.y))
        properties = qgraph.requantising_properties(
            inputs[1], w_zero, qgraph.combined_scale(inputs[0], w_scale, output[0]), output[1], result
        )
        new.append(self._operation(producer, source.x, new[0].results[0], bias, properties, result))
        rewriter.replace(op, new)

    @staticmethod
    def _operation(
        producer: qgraph.ConvOp | qgraph.DenseOp,
        x: SSAValue,
        w: SSAValue,
        bias: SSAValue | None,
        properties: dict[str, Attribute],
        result: TensorType,
    ) -> Operation:
        if isinstance(producer, qgraph.ConvOp):
            geometry = {name: producer.properties[name] for name in ("strides", "pads", "dilations", "groups")}
            made = qgraph.QConvOp(x, w, bias, properties | geometry, result)
        else:
            made = qgraph.QDenseOp(x, w, bias, properties, result)
        return qgraph.copy_description(producer, made)


@dataclass(frozen=True)
class Quantise(ModulePass):
    """Convolutions and matrix products between Q/DQ become `qconv` and `qdense`.

    Dead operations are erased. A convolution or product that is left over stays float: its input, its weights or its
    result are not quantised.
    """

    name: ClassVar[str] = "quantise"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        PatternRewriteWalker(_Quantise()).rewrite_module(op)
        erase_dead(op)


def erase_dead(module: ModuleOp) -> None:
    """Erase `qgraph` operations that nobody reads."""
    for op in reversed(list(module.walk())):
        if op.name.startswith("qgraph.") and not any(result.uses.get_length() for result in op.results):
            op.detach()
            op.erase()
