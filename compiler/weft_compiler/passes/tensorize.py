"""Replace contractions in the scratchpads by the hardware's GEMM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xdsl.context import Context
from xdsl.dialects import arith
from xdsl.dialects.builtin import MemRefType, ModuleOp
from xdsl.dialects.linalg.ops import FillOp, GenericOp
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import (
    GreedyRewritePatternApplier,
    PatternRewriter,
    PatternRewriteWalker,
    RewritePattern,
    op_type_rewrite_pattern,
)

from ..dialects import accel
from ..intrinsic import Intrinsic

OPERAND_SPACES = ["inp", "wgt", "acc"]


@dataclass(frozen=True)
class _Contraction(RewritePattern):
    intrinsic: Intrinsic

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: GenericOp, rewriter: PatternRewriter) -> None:
        if not all(isinstance(operand.type, MemRefType) for operand in op.operands):
            return
        if [accel.space(operand) for operand in op.operands] != OPERAND_SPACES:
            return
        maps = self.intrinsic.outer_maps(op)
        if maps is not None:
            inp, wgt, acc = op.operands
            rewriter.replace(op, accel.GemmOp(inp, wgt, acc, maps), [])


class _ZeroFill(RewritePattern):
    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: FillOp, rewriter: PatternRewriter) -> None:
        value, target = op.operands
        constant = value.owner
        if accel.space(target) != "acc" or not isinstance(constant, arith.ConstantOp):
            return
        if accel.constant_value(value) == 0:
            rewriter.replace(op, accel.ResetOp(target), [])
            if not constant.result.uses:
                rewriter.erase(constant)


@dataclass(frozen=True)
class Tensorize(ModulePass):
    """A `linalg.generic` that contains the intrinsic becomes `accel.gemm`, a fill with zero `accel.reset`.

    What lies in DRAM, or computes anything else, is left alone.
    """

    name: ClassVar[str] = "tensorize"

    intrinsic: Intrinsic

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        patterns = GreedyRewritePatternApplier([_Contraction(self.intrinsic), _ZeroFill()])
        PatternRewriteWalker(patterns).rewrite_module(op)
