"""Lay accelerated operations out in tiles: pack, accumulate, requantise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from weft_hardware.config import AcceleratorConfig
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Operation
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, PatternRewriteWalker, RewritePattern

from ..accelerated import accelerate
from ..dialects import qgraph


@dataclass(frozen=True)
class _Pack(RewritePattern):
    config: AcceleratorConfig

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, qgraph.QConvOp | qgraph.QDenseOp):
            return
        if op.attributes.get("placement") != StringAttr("accelerator"):
            return
        plan = accelerate(op, self.config)
        assert not isinstance(plan, str), plan
        task, batch = plan.task, self.config.batch
        packed = qgraph.PackOp(
            op.x,
            shift=plan.shift,
            pad_value=plan.pad_value if any(plan.pads) else 0,
            pads=plan.pads,
            rows=plan.rows,
            y=qgraph.tensor_type((task.n, task.ic, task.ih, task.iw, batch, self.config.block_in), np.int8),
        )
        weights = qgraph.ConstantOp(plan.weights)
        sums = qgraph.AccumulateOp(
            packed.y,
            weights.y,
            qgraph.window_properties(task.stride, task.pads, task.dilation),
            qgraph.tensor_type((task.n, task.oc, task.oh, task.ow, batch, self.config.block_out), np.int32),
        )
        bias = qgraph.ConstantOp(plan.bias)
        scale = qgraph.ConstantOp(np.broadcast_to(qgraph.array(op.scale), op.channels))
        result = qgraph.RequantizeOp(
            sums.y,
            bias.y,
            scale.y,
            y_zero=op.y_zero.value.data,
            low=op.low.value.data,
            high=op.high.value.data,
            rows=plan.rows,
            y=qgraph.tensor_type(qgraph.shape_of(op.y), qgraph.dtype_of(op.y)),
        )
        new: list[Operation] = [packed, weights, sums, bias, scale, result]
        for made in new:
            made.attributes.update(op.attributes)
        rewriter.replace(op, new)


@dataclass(frozen=True)
class PackLayout(ModulePass):
    """``qconv`` placed on the accelerator to ``requantize(accumulate(pack(x), packed weights))``.

    Channels are padded up to whole blocks, images to whole batches; weights are packed here, at compile time.
    Operations on the host are left alone.
    """

    name: ClassVar[str] = "pack-layout"
    config: AcceleratorConfig

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        PatternRewriteWalker(_Pack(self.config), apply_recursively=False).rewrite_module(op)
