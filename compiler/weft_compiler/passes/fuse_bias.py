"""Fold the addition of a constant into the convolution or matrix product before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, PatternRewriteWalker, RewritePattern, op_type_rewrite_pattern

from ..dialects import floats, qgraph
from .fold_constants import constant_of


def _bias_values(value: SSAValue) -> qgraph.ConstantOp | None:
    """The constant behind a bias, float or dequantised."""
    if isinstance(value.owner, qgraph.DequantizeOp):
        return constant_of(value.owner.x)
    return constant_of(value)


class _FuseBias(RewritePattern):
    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: floats.BinaryOp, rewriter: PatternRewriter) -> None:
        if op.function.data != "add":
            return
        producer, bias = op.a.owner, op.b
        if constant_of(op.a) is not None or qgraph.shape_of(op.y) != qgraph.shape_of(op.a):
            producer, bias = op.b.owner, op.a
        if not isinstance(producer, qgraph.ConvOp | qgraph.DenseOp) or producer.bias is not None:
            return
        if _bias_values(bias) is None or not producer.y.has_one_use() or producer.y.type != op.y.type:
            return
        # ONNX broadcasts from the last axis, so a convolution's bias arrives as (O, 1, 1), a dense layer's as (N,).
        channels = qgraph.shape_of(producer.w)[0] if isinstance(producer, qgraph.ConvOp) else qgraph.shape_of(op.y)[-1]
        trailing = (1, 1) if isinstance(producer, qgraph.ConvOp) else ()
        if qgraph.shape_of(bias)[-1 - len(trailing) :] != (channels, *trailing):
            return
        if int(np.prod(qgraph.shape_of(bias))) != channels:
            return
        vector = qgraph.copy_description(op, qgraph.ReshapeOp(bias, (channels,)))
        fused = type(producer).create(
            operands=[producer.x, producer.w, vector.results[0]],
            result_types=[op.y.type],
            properties=dict(producer.properties),
            attributes=dict(producer.attributes),
        )
        rewriter.replace(op, [vector, fused])
        rewriter.erase(producer)


@dataclass(frozen=True)
class FuseBias(ModulePass):
    """``add(conv(x, w), b)`` to ``conv(x, w, b)``, where b is a vector of constants along the channels.

    A float b is rounded to units of the sum, as onnxruntime rounds an operator's own bias and an addition behind a
    MatMul. It computes an addition behind a Conv or Gemm in floats: there a result near a half may be one step apart.
    """

    name: ClassVar[str] = "fuse-bias"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        PatternRewriteWalker(_FuseBias()).rewrite_module(op)
