"""Fold clamps of integers into the requantisation before them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, PatternRewriteWalker, RewritePattern, op_type_rewrite_pattern

from ..dialects import qgraph, quantised

CLAMPING = (
    *(qgraph.QConvOp, qgraph.QDenseOp, qgraph.ClampOp, quantised.QConvTransposeOp),
    *(quantised.QAddOp, quantised.QMulOp, quantised.QGlobalAveragePoolOp, quantised.QMatMulOp),
)
"""Operations that clamp their results anyway."""


class _FuseClamp(RewritePattern):
    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: qgraph.ClampOp, rewriter: PatternRewriter) -> None:
        low, high = op.low.value.data, op.high.value.data
        limits = np.iinfo(qgraph.dtype_of(op.y))
        if low <= limits.min and high >= limits.max:
            rewriter.replace(op, [], [op.x])
            return
        producer = op.x.owner
        if not isinstance(producer, CLAMPING) or not op.x.has_one_use():
            return
        # Clamping twice is clamping once to the second's image of the first's bounds.
        first_low, first_high = producer.low.value.data, producer.high.value.data
        producer.properties["low"] = qgraph.integer(min(max(first_low, low), high))
        producer.properties["high"] = qgraph.integer(min(max(first_high, low), high))
        rewriter.replace(op, [], [op.x])


@dataclass(frozen=True)
class FuseClamp(ModulePass):
    """``clamp(qconv(x))`` becomes the bounds of the qconv; a clamp to the whole range disappears."""

    name: ClassVar[str] = "fuse-clamp"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        PatternRewriteWalker(_FuseClamp()).rewrite_module(op)
