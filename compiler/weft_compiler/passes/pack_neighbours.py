"""Lay out what works on tiles behind convolutions: tables that they look their results up in, and pools."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from xdsl.ir import Operation
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from ..accel.pooling import identity
from ..accelerated import shift_of
from ..accelerated_pools import accelerate_pool
from ..dialects import qgraph, quantised
from .place import is_placed

WINDOW = ("strides", "pads", "dilations", "phases")


@dataclass(frozen=True)
class PackLookup(RewritePattern):
    """``lookup(unpack(convolve(x)))`` to ``unpack(convolve(x, table))``."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: quantised.LookupOp, rewriter: PatternRewriter) -> None:
        if not is_placed(op):
            return
        unpack = op.x.owner
        assert isinstance(unpack, qgraph.UnpackOp)
        source = unpack.x.owner
        assert isinstance(source, qgraph.ConvolveOp)
        table = qgraph.ConstantOp(_shifted_table(op))
        looked_up = qgraph.ConvolveOp(
            source.x,
            source.w,
            source.params,
            {name: source.properties[name] for name in WINDOW if name in source.properties},
            pad_value=source.pad_value.value.data,
            how=replace(source.requantisation, table=True),
            y=source.y.type,
            residual=source.residual,
            table=table.y,
        )
        dtype = qgraph.dtype_of(op.y)
        rows = bool(unpack.rows.value.data)
        result = qgraph.UnpackOp(looked_up.y, shift=shift_of(dtype), rows=rows, y=op.y.type)
        for new in (table, looked_up, result):
            new.attributes.update(source.attributes)
        rewriter.replace(op, [table, looked_up, result])
        rewriter.erase(unpack)
        rewriter.erase(source)


def _shifted_table(op: quantised.LookupOp) -> NDArray[np.int8]:
    """The table for values that lie in memory less their types' shifts, in the order of their bits as uint8."""
    stored = quantised.by_bits("int8").astype(np.int64)
    bits = (stored + shift_of(qgraph.dtype_of(op.x))) & 255
    return (op.values[bits].astype(np.int64) - shift_of(qgraph.dtype_of(op.y))).astype(np.int8)


@dataclass(frozen=True)
class PackPool(RewritePattern):
    """``pool(x)`` to ``unpack(pool(pack(x), identity matrix))``."""

    config: AcceleratorConfig

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, qgraph.MaxPoolOp | quantised.QGlobalAveragePoolOp) or not is_placed(op):
            return
        plan = accelerate_pool(op, self.config)
        assert not isinstance(plan, str), plan
        task, tile = plan.task, (self.config.batch, self.config.block_in)
        shape, shift = (task.n, task.channels, task.ih, task.iw, *tile), shift_of(qgraph.dtype_of(op.x))
        pack = qgraph.PackOp(
            op.x, shift=shift, pad_value=0, pads=(0, 0, 0, 0), rows=False, y=qgraph.tensor_type(shape, np.int8)
        )
        eye = qgraph.ConstantOp(identity(self.config))
        params = None if plan.params is None else qgraph.ConstantOp(plan.params)
        y = qgraph.tensor_type((task.n, task.channels, task.oh, task.ow, *tile), np.int8)
        pool = qgraph.PoolOp(pack.y, eye.y, None if params is None else params.y, task, y)
        result = qgraph.UnpackOp(pool.y, shift=shift_of(qgraph.dtype_of(op.y)), rows=False, y=op.y.type)
        made = [pack, eye, *([] if params is None else [params]), pool, result]
        for new in made:
            new.attributes.update(op.attributes)
        rewriter.replace(op, made)
