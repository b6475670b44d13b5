"""Compute at compile time what depends on constants alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import (
    GreedyRewritePatternApplier,
    PatternRewriter,
    PatternRewriteWalker,
    RewritePattern,
    op_type_rewrite_pattern,
)

from ..dialects import qgraph


def constant_of(value: SSAValue) -> qgraph.ConstantOp | None:
    """The constant that defines a value, if one does."""
    return value.owner if isinstance(value.owner, qgraph.ConstantOp) else None


def _replace(op: Operation, values: np.ndarray, rewriter: PatternRewriter) -> None:
    rewriter.replace(op, qgraph.copy_description(op, qgraph.ConstantOp(values)))


class _FoldReshape(RewritePattern):
    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: qgraph.ReshapeOp, rewriter: PatternRewriter) -> None:
        if constant := constant_of(op.x):
            _replace(op, constant.values.reshape(qgraph.shape_of(op.y)), rewriter)


class _FoldTranspose(RewritePattern):
    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: qgraph.TransposeOp, rewriter: PatternRewriter) -> None:
        if constant := constant_of(op.x):
            _replace(op, constant.values.transpose(qgraph.ints(op.permutation)), rewriter)


def _along_axis(op: qgraph.QuantizeOp | qgraph.DequantizeOp) -> tuple[np.ndarray, np.ndarray]:
    """Scale and zero point in the shape in which they meet the tensor."""
    shape = [1] * len(qgraph.shape_of(op.x))
    if qgraph.array(op.scale).size > 1:
        shape[op.axis.value.data] = -1
    return qgraph.array(op.scale).reshape(shape), qgraph.array(op.zero_point).reshape(shape)


class _FoldQuantize(RewritePattern):
    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: qgraph.QuantizeOp, rewriter: PatternRewriter) -> None:
        constant = constant_of(op.x)
        if constant is None:
            return
        scale, zero = _along_axis(op)
        limits = np.iinfo(qgraph.dtype_of(op.y))
        rounded = np.rint(np.clip(constant.values / scale, limits.min - zero, limits.max - zero))
        _replace(op, (rounded + zero).astype(qgraph.dtype_of(op.y)), rewriter)


class _FoldDequantize(RewritePattern):
    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: qgraph.DequantizeOp, rewriter: PatternRewriter) -> None:
        if constant := constant_of(op.x):
            scale, zero = _along_axis(op)
            centred = constant.values.astype(np.int32) - zero.astype(np.int32)
            _replace(op, centred.astype(np.float32) * scale.astype(np.float32), rewriter)


@dataclass(frozen=True)
class FoldConstants(ModulePass):
    """Reshape, transpose and quantise of constants become constants; dequantised ones stay quantised.

    What quantised operators are made of is recognised by the dequantising before it, see `FoldDequantized`.
    """

    name: ClassVar[str] = "fold-constants"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        patterns: list[RewritePattern] = [_FoldReshape(), _FoldTranspose(), _FoldQuantize()]
        PatternRewriteWalker(GreedyRewritePatternApplier(patterns)).rewrite_module(op)


@dataclass(frozen=True)
class FoldDequantized(ModulePass):
    """Constants that are still dequantised become floats; for when all quantised operators have been found."""

    name: ClassVar[str] = "fold-dequantized"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        patterns: list[RewritePattern] = [_FoldDequantize(), _FoldReshape(), _FoldTranspose()]
        PatternRewriteWalker(GreedyRewritePatternApplier(patterns)).rewrite_module(op)
