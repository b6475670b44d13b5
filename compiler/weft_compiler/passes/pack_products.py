"""Lay products of two activations out in tiles: the host packs both factors."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from weft_hardware.config import AcceleratorConfig
from xdsl.dialects.builtin import TensorType
from xdsl.ir import Operation, SSAValue
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern

from ..accel.intrinsics.requantise import parameters
from ..accel.plain import PLANES
from ..accelerated import shift_of
from ..accelerated_products import AcceleratedProduct, Product, accelerate_product
from ..dialects import products, qgraph, quantised
from .place import is_placed


@dataclass(frozen=True)
class PackProduct(RewritePattern):
    """``matmul(a, b)`` to ``unpack_rows(convolve(pack_rows(a), pack_columns(b), column_parameters(b)))``."""

    config: AcceleratorConfig

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, Product) or not is_placed(op):
            return
        plan = accelerate_product(op, self.config)
        assert not isinstance(plan, str), plan
        made = self._laid_out(op, plan)
        for new in made:
            new.attributes.update(op.attributes)
        rewriter.replace(op, made)

    def _laid_out(self, op: Product, plan: AcceleratedProduct) -> list[Operation]:
        task, config = plan.task, self.config
        made: list[Operation] = []

        def matrices(value: SSAValue) -> SSAValue:
            """All rows as one matrix's where there is one product."""
            shape = qgraph.shape_of(value)
            if plan.leading or len(shape) == 2:
                return value
            made.append(qgraph.ReshapeOp(value, (prod(shape[:-1]), shape[-1])))
            return made[-1].results[0]

        a, b = matrices(op.a), matrices(op.b)
        tiles = qgraph.tensor_type((1, task.inputs, 1, task.iw, config.batch, config.block_in), np.int8)
        rows = products.PackRowsOp(a, plan.leading, plan.shifts[0], plan.copies, tiles)
        tiles = qgraph.tensor_type((task.outputs, task.ic, 1, 1, config.block_out, config.block_in), np.int8)
        columns = products.PackColumnsOp(b, plan.leading, plan.shifts[1], plan.parts, tiles)
        params = self._parameters(b, plan)
        made += [rows, columns, params]
        window = qgraph.window_properties((1, 1), (0, 0, 0, 0), (1, 1))
        shape = qgraph.shape_of(op.y)
        y = op.y.type if plan.leading else qgraph.tensor_type((prod(shape[:-1]), shape[-1]), qgraph.dtype_of(op.y))
        assert isinstance(y, TensorType)
        tiled = (1, task.outputs, 1, task.iw, config.batch, config.block_out)
        if task.requantisation is not None:
            out = qgraph.tensor_type(tiled, np.int8)
            sums = qgraph.ConvolveOp(rows.y, columns.y, params.y, window, pad_value=0, how=task.requantisation, y=out)
            made += [sums, products.UnpackRowsOp(sums.y, shift_of(qgraph.dtype_of(op.y)), y)]
        else:
            raw = qgraph.tensor_type(tiled, np.int32)
            planes = qgraph.tensor_type((PLANES, *tiled), np.int8)
            sums = qgraph.AccumulateOp(rows.y, columns.y, window, raw if config.raw_store else planes)
            names = ("y_zero", "low", "high") if isinstance(op, quantised.QMatMulOp) else ()
            made += [sums, products.RequantizeRowsOp(sums.y, params.y, {n: op.properties[n] for n in names}, y)]
        if y != op.y.type:
            made.append(qgraph.ReshapeOp(made[-1].results[0], shape))
        return made

    def _parameters(self, b: SSAValue, plan: AcceleratedProduct) -> qgraph.ConstantOp | products.ColumnParametersOp:
        """Biases and scales, a constant where columns do not matter."""
        task, block, columns = plan.task, self.config.block_out, qgraph.shape_of(b)[-1]
        if not plan.zero:
            each = parameters(np.zeros(columns, np.int32), np.broadcast_to(plan.scale, columns), block)
            return qgraph.ConstantOp(np.tile(each, (task.groups, 1, 1)))
        y = qgraph.tensor_type((task.outputs, block, 2), np.int32)
        return products.ColumnParametersOp(b, plan.leading, plan.zero, plan.b_zero, plan.scale, y)
