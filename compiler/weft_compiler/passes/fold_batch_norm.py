"""Fold scales and shifts of the channels into a float convolution or matrix product before them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, PatternRewriteWalker, RewritePattern, op_type_rewrite_pattern

from ..dialects import floats, qgraph
from .fold_constants import constant_of


def _channels(value: SSAValue, op: qgraph.ConvOp | qgraph.DenseOp) -> NDArray[np.float32] | None:
    """A constant with one value for each output channel, as a vector; None if it is something else."""
    constant = constant_of(value)
    if constant is None:
        return None
    trailing = 2 if isinstance(op, qgraph.ConvOp) else 0
    shape, rank = constant.values.shape, len(qgraph.shape_of(op.y))
    padded = (1,) * (rank - len(shape)) + shape
    channels = qgraph.shape_of(op.y)[rank - 1 - trailing]
    expected = tuple(channels if k == rank - 1 - trailing else 1 for k in range(rank))
    if padded != expected and constant.values.size != 1:
        return None
    return np.broadcast_to(constant.values.reshape(-1), channels)


class _Fold(RewritePattern):
    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: floats.BinaryOp, rewriter: PatternRewriter) -> None:
        producer = op.a.owner
        if not isinstance(producer, qgraph.ConvOp | qgraph.DenseOp) or op.function.data not in ("mul", "add"):
            return
        if not producer.y.has_one_use() or producer.y.type != op.y.type:
            return
        w, values = constant_of(producer.w), _channels(op.b, producer)
        bias = None if producer.bias is None else constant_of(producer.bias)
        if w is None or values is None or (producer.bias is not None and bias is None):
            return
        b_values = np.zeros(values.size, np.float32) if bias is None else bias.values.reshape(-1)
        w_values = w.values
        if op.function.data == "mul":
            first = isinstance(producer, qgraph.ConvOp) or bool(producer.transposed.value.data)
            w_values = w_values * values.reshape((-1, *(1,) * (w_values.ndim - 1)) if first else (1, -1))
            b_values = b_values * values
        else:
            b_values = b_values + values
        made: list[Operation] = [qgraph.ConstantOp(v.astype(np.float32)) for v in (w_values, b_values)]
        fused = type(producer).create(
            operands=[producer.x, made[0].results[0], made[1].results[0]],
            result_types=[op.y.type],
            properties=dict(producer.properties),
            attributes=dict(producer.attributes),
        )
        rewriter.replace(op, [*(qgraph.copy_description(producer, new) for new in made), fused])
        rewriter.erase(producer)


@dataclass(frozen=True)
class FoldBatchNorm(ModulePass):
    """``conv(x, w, b) · s + t`` to ``conv(x, w · s, b · s + t)``: batch normalisation, as it is imported.

    Quantised weights are left alone: their scale and their bias would have to be rounded again.
    """

    name: ClassVar[str] = "fold-batch-norm"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        PatternRewriteWalker(_Fold()).rewrite_module(op)
