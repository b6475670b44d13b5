"""Take out layout changes that undo each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, PatternRewriteWalker, RewritePattern, op_type_rewrite_pattern

from ..dialects import qgraph


class _Cancel(RewritePattern):
    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: qgraph.PackOp, rewriter: PatternRewriter) -> None:
        unpack = op.x.owner
        if isinstance(unpack, qgraph.ReshapeOp):
            _cancel_through_view(op, unpack, rewriter)
            return
        if not isinstance(unpack, qgraph.UnpackOp) or any(qgraph.ints(op.pads)) or op.fold is not None:
            return
        alike = op.shift == unpack.shift and op.rows == unpack.rows
        if alike and qgraph.shape_of(unpack.x) == qgraph.shape_of(op.y):
            rewriter.replace(op, [], [unpack.x])
            if not unpack.y.uses:
                rewriter.erase(unpack)


def _cancel_through_view(op: qgraph.PackOp, view: qgraph.ReshapeOp, rewriter: PatternRewriter) -> None:
    """One pixel of one image, (1, C, 1, 1), has as tiles what one row of a matrix, (1, C), has."""
    unpack = view.x.owner
    if not isinstance(unpack, qgraph.UnpackOp) or not op.rows.value.data or unpack.rows.value.data:
        return
    shape, tiles = qgraph.shape_of(unpack.y), qgraph.shape_of(unpack.x)
    single = shape[0] == 1 and shape[2:] == (1, 1) and qgraph.shape_of(view.y) == shape[:2]
    if single and op.shift == unpack.shift and not any(qgraph.ints(op.pads)) and tiles == qgraph.shape_of(op.y):
        rewriter.replace(op, [], [unpack.x])
        for unread in (view, unpack):
            if not unread.results[0].uses:
                rewriter.erase(unread)


@dataclass(frozen=True)
class CancelLayout(ModulePass):
    """``pack(unpack(x))`` of the same layout is ``x``: one layer's tiles are the next one's.

    The lanes beyond the last channel differ, which meet weights that are 0. What else reads the unpacked tensor still
    does; layout changes that add padding, or go from images to rows of a matrix, are left alone.
    """

    name: ClassVar[str] = "cancel-layout"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        PatternRewriteWalker(_Cancel(), apply_recursively=False).rewrite_module(op)
