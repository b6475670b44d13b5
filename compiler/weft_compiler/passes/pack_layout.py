"""Lay accelerated operations out in tiles: pack, convolve, unpack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from xdsl.context import Context
from xdsl.dialects.builtin import DenseArrayBase, ModuleOp, TensorType
from xdsl.ir import Operation
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, PatternRewriteWalker, RewritePattern, op_type_rewrite_pattern

from ..accel.intrinsics.requantise import parameters
from ..accel.plain import PLANES
from ..accelerated import AcceleratedConv, Mapped, accelerate, shift_of
from ..accelerated_sums import AcceleratedSum, accelerate_sum
from ..conv_task import ConvTask, Requantisation
from ..dialects import qgraph, quantised
from ..errors import CompileError
from .common_subexpressions import share_constants
from .pack_neighbours import PackLookup, PackPool
from .pack_products import PackProduct
from .place import is_placed


@dataclass(frozen=True)
class _Pack(RewritePattern):
    config: AcceleratorConfig

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, Mapped):
            return
        if "placement" not in op.attributes:
            raise CompileError(
                f"{op.name} of layer {qgraph.layer_of(op)!r} has no placement; run the pass place before"
            )
            return
        if is_placed(op):
            rewriter.replace(op, self.laid_out(op))

    def laid_out(self, op: Mapped, total: quantised.QAddOp | None = None) -> list[Operation]:
        """The operations that stand for one; with ``total`` for the sum to which it belongs."""
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
            self._requantised(op, plan, packed, weights, total)
            if task.requantisation
            else self._raw(op, plan, packed, weights)
        )
        for new in made:
            new.attributes.update(op.attributes)
        return made

    def _raw(
        self, op: Mapped, plan: AcceleratedConv, packed: qgraph.PackOp, weights: qgraph.ConstantOp
    ) -> list[Operation]:
        """Accumulators leave whole, the host requantises."""
        task = plan.task
        sums = qgraph.AccumulateOp(
            packed.y,
            weights.y,
            _window(task),
            self._tiles(task, np.int32) if self.config.raw_store else self._planes(task),
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
        self,
        op: Mapped,
        plan: AcceleratedConv,
        packed: qgraph.PackOp,
        weights: qgraph.ConstantOp,
        total: quantised.QAddOp | None,
    ) -> list[Operation]:
        """The accelerator requantises, the host brings the result into the network's layout."""
        task, how = plan.task, plan.task.requantisation
        assert how is not None
        residual: qgraph.PackOp | qgraph.ConstantOp | None = None
        if total is not None:
            added = accelerate_sum(total, self.config)
            assert not isinstance(added, str), added
            how = _with_sum(how, added)
            other = total.operands[1 - added.operand]
            shift, y = shift_of(qgraph.dtype_of(other)), self._tiles(task, np.int8)
            if isinstance(other.owner, qgraph.ConstantOp):
                whole = np.broadcast_to(other.owner.values, qgraph.shape_of(total.y))
                residual = qgraph.ConstantOp(_in_tiles(whole.astype(np.int16) - shift, plan.rows, y.get_shape()))
            else:
                residual = qgraph.PackOp(other, shift=shift, pad_value=0, pads=(0, 0, 0, 0), rows=plan.rows, y=y)
        scale = np.broadcast_to(qgraph.array(op.scale), op.channels)
        # Groups put together may have channels beyond the last one.
        missing = (0, max(0, task.outputs * self.config.block_out - len(scale)))
        biases = np.pad(plan.bias.reshape(len(scale), -1), (missing, (0, 0)))
        scales = np.broadcast_to(np.pad(scale, missing)[:, None], biases.shape)
        block, count = self.config.block_out, biases.shape[1]
        each = parameters(biases.reshape(-1), scales.reshape(-1), block * count).reshape(-1, block, count, 2)
        # Channels of a block come behind the pixels or phases that differ.
        shape = (task.outputs, *plan.bias.shape[1:], block, 2)
        params = qgraph.ConstantOp(each.swapaxes(1, 2).reshape(shape))
        sums = qgraph.ConvolveOp(
            packed.y,
            weights.y,
            params.y,
            _window(task),
            pad_value=task.pad_value,
            how=how,
            y=self._tiles(task, np.int8),
            residual=None if residual is None else residual.y,
        )
        dtype = qgraph.dtype_of(op.y)
        y = qgraph.tensor_type(qgraph.shape_of(op.y), dtype)
        result = qgraph.UnpackOp(sums.y, shift=shift_of(dtype), rows=plan.rows, y=y)
        return [packed, *([] if residual is None else [residual]), weights, params, sums, result]

    def _planes(self, task: ConvTask) -> TensorType:
        """The bytes of accumulators, the lowest of all of them first."""
        return qgraph.tensor_type((PLANES, *self._tiles(task, np.int8).get_shape()), np.int8)

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


def _in_tiles(values: NDArray[Any], rows: bool, tiles: Sequence[int]) -> NDArray[np.int8]:
    """What `qgraph.PackOp` makes of a constant without padding."""
    n, blocks, height, width, batch, block = tiles
    images = values.reshape(-1, values.shape[-1]).T[None] if rows else values
    # Rows of a matrix lie along the width, images of a batch side by side.
    count, channels = (1, images.shape[1]) if rows else images.shape[:2]
    pixels = images.reshape(count, channels, -1)
    padded = np.zeros(
        (count if rows else n * batch, blocks * block, width * batch if rows else height * width), np.int8
    )
    padded[:count, :channels, : pixels.shape[2]] = pixels
    if rows:
        return np.ascontiguousarray(padded.reshape(blocks, block, width, batch).transpose(0, 2, 3, 1)).reshape(tiles)
    split = padded.reshape(n, batch, blocks, block, height, width)
    return np.ascontiguousarray(split.transpose(0, 2, 4, 5, 1, 3))


def _with_sum(how: Requantisation, added: AcceleratedSum) -> Requantisation:
    """The requantisation of a convolution whose result is added on."""
    return replace(
        how,
        zero_point=how.zero_point + added.shift,
        low=how.low + added.shift,
        high=how.high + added.shift,
        addition=added.addition,
    )


@dataclass(frozen=True)
class _PackSum(RewritePattern):
    """The sum takes its convolution's place: it comes behind its other operand."""

    config: AcceleratorConfig

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: quantised.QAddOp, rewriter: PatternRewriter) -> None:
        if not is_placed(op):
            return
        added = accelerate_sum(op, self.config)
        assert not isinstance(added, str), added
        producer = op.operands[added.operand].owner
        assert isinstance(producer, qgraph.QConvOp | qgraph.QDenseOp)
        rewriter.replace(op, _Pack(self.config).laid_out(producer, op))
        rewriter.erase(producer)


@dataclass(frozen=True)
class PackLayout(ModulePass):
    """``qconv`` placed on the accelerator to ``unpack(convolve(pack(x), packed weights, params))``.

    Without an epilogue it becomes ``requantize(accumulate(pack(x), packed weights))``, whose first part is the host's.

    A sum placed on the accelerator becomes its convolution's residual operand, a table its last step; a pool becomes
    ``unpack(pool(pack(x), identity matrix))``. Products of two activations: see `pack_products`.

    Channels are padded up to whole blocks, images to whole batches; weights are packed here, at compile time. Constants
    that are alike, for example of the steps of a loop, are one.
    Operations on the host are left alone.
    """

    name: ClassVar[str] = "pack-layout"
    config: AcceleratorConfig

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for pattern in (
            _PackSum(self.config),
            _Pack(self.config),
            PackProduct(self.config),
            PackLookup(),
            PackPool(self.config),
        ):
            PatternRewriteWalker(pattern, apply_recursively=False).rewrite_module(op)
        share_constants(op)
