"""Lay accelerated operations out in tiles: pack, convolve, unpack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from weft_hardware.config import AcceleratorConfig
from xdsl.context import Context
from xdsl.dialects.builtin import DenseArrayBase, ModuleOp, StringAttr, TensorType
from xdsl.ir import Operation
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, PatternRewriteWalker, RewritePattern

from ..accel.intrinsics.requantise import parameters
from ..accelerated import AcceleratedConv, Mapped, accelerate, shift_of
from ..conv_task import ConvTask
from ..dialects import qgraph


@dataclass(frozen=True)
class _Pack(RewritePattern):
    config: AcceleratorConfig

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, Mapped):
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
            fold=plan.fold,
            y=qgraph.tensor_type((task.n, task.inputs, task.ih, task.iw, batch, self.config.block_in), np.int8),
        )
        weights = qgraph.ConstantOp(plan.weights)
        made = (
            self._requantised(op, plan, packed, weights)
            if task.requantisation
            else self._raw(op, plan, packed, weights)
        )
        for new in made:
            new.attributes.update(op.attributes)
        rewriter.replace(op, made)

    def _raw(
        self, op: Mapped, plan: AcceleratedConv, packed: qgraph.PackOp, weights: qgraph.ConstantOp
    ) -> list[Operation]:
        """Accumulators leave whole, the host requantises."""
        task = plan.task
        sums = qgraph.AccumulateOp(
            packed.y,
            weights.y,
            _window(task),
            self._tiles(task, np.int32),
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
        return [packed, weights, sums, bias, scale, result]

    def _requantised(
        self, op: Mapped, plan: AcceleratedConv, packed: qgraph.PackOp, weights: qgraph.ConstantOp
    ) -> list[Operation]:
        """The accelerator requantises, the host brings the result into the network's layout."""
        task, how = plan.task, plan.task.requantisation
        assert how is not None
        scale = np.broadcast_to(qgraph.array(op.scale), op.channels)
        # Groups put together may have channels beyond the last one.
        missing = (0, max(0, task.outputs * self.config.block_out - len(scale)))
        biases = plan.bias.reshape(len(scale), -1).T
        each = [parameters(np.pad(bias, missing), np.pad(scale, missing), self.config.block_out) for bias in biases]
        if task.phases is not None and task.parameters > 1:
            stacked = np.stack(each, 1)
            params = qgraph.ConstantOp(stacked.reshape(task.outputs, *task.phases.count, *stacked.shape[2:]))
        else:
            params = qgraph.ConstantOp(each[0])
        sums = qgraph.ConvolveOp(
            packed.y,
            weights.y,
            params.y,
            _window(task),
            pad_value=task.pad_value,
            y_zero=how.zero_point,
            low=how.low,
            high=how.high,
            y=self._tiles(task, np.int8),
        )
        dtype = qgraph.dtype_of(op.y)
        y = qgraph.tensor_type(qgraph.shape_of(op.y), dtype)
        return [packed, weights, params, sums, qgraph.UnpackOp(sums.y, shift=shift_of(dtype), rows=plan.rows, y=y)]

    def _tiles(self, task: ConvTask, dtype: type) -> TensorType:
        down, right = task.phases.count if task.phases is not None else (1, 1)
        size = (task.oh * down, task.ow * right)
        return qgraph.tensor_type((task.n, task.outputs, *size, self.config.batch, self.config.block_out), dtype)


def _window(task: ConvTask) -> dict[str, DenseArrayBase]:
    """The geometry of a task as properties."""
    window = qgraph.window_properties(task.stride, task.pads, task.dilation)
    if task.phases is None:
        return window
    p = task.phases
    return {**window, "phases": qgraph.integers((*p.count, *p.offset, *p.kernel, *p.size))}


@dataclass(frozen=True)
class PackLayout(ModulePass):
    """``qconv`` placed on the accelerator to ``unpack(convolve(pack(x), packed weights, params))``.

    Without an epilogue it becomes ``requantize(accumulate(pack(x), packed weights))``, whose first part is the host's.

    Channels are padded up to whole blocks, images to whole batches; weights are packed here, at compile time.
    Operations on the host are left alone.
    """

    name: ClassVar[str] = "pack-layout"
    config: AcceleratorConfig

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        PatternRewriteWalker(_Pack(self.config), apply_recursively=False).rewrite_module(op)
