"""Move dequantisation behind everything that commutes with it, and activations before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import (
    GreedyRewritePatternApplier,
    PatternRewriter,
    PatternRewriteWalker,
    RewritePattern,
    op_type_rewrite_pattern,
)

from ..dialects import movement, qgraph

_MOVING = (
    *(qgraph.MaxPoolOp, qgraph.ReshapeOp, qgraph.TransposeOp),
    *(movement.SliceOp, movement.GatherOp, movement.PadOp, movement.BroadcastOp),
)
"""Operations that only pick and move elements, and so commute with dequantisation."""


def per_tensor(op: qgraph.QuantizeOp | qgraph.DequantizeOp) -> tuple[np.float32, int] | None:
    """Scale and zero point, if there is one of each."""
    scale, zero = qgraph.array(op.scale), qgraph.array(op.zero_point)
    return (scale[0], int(zero[0])) if scale.size == 1 else None


def _dequantized(value: SSAValue) -> qgraph.DequantizeOp | None:
    """The per-tensor dequantisation of an 8-bit tensor that defines a value."""
    source = value.owner
    if isinstance(source, qgraph.DequantizeOp) and per_tensor(source) and qgraph.is_quantised(source.x):
        return source
    return None


def _quantised_value(op: qgraph.QuantizeOp, value: float) -> int:
    """What one float becomes."""
    parameters = per_tensor(op)
    assert parameters is not None
    scale, zero = parameters
    limits = np.iinfo(qgraph.dtype_of(op.y))
    return int(np.rint(np.clip(np.float32(value) / scale, limits.min - zero, limits.max - zero))) + zero


class _SinkThrough(RewritePattern):
    """``op(dequantize(x))`` to ``dequantize(op(x))`` for operations that only pick or move elements."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, _MOVING):
            return
        source = _dequantized(op.x)
        if source is None:
            return
        properties = dict(op.properties)
        if isinstance(op, movement.PadOp):
            if op.value.value.data != 0:
                return
            properties["value"] = qgraph.number(int(qgraph.array(source.zero_point)[0]))
        _dequantize_after(op, _moved(op, [source.x], properties), source, rewriter)


def _moved(op: Operation, operands: list[SSAValue], properties: dict[str, Attribute]) -> Operation:
    """An operation on the 8-bit values behind its operands."""
    y = qgraph.tensor_type(qgraph.shape_of(op.results[0]), qgraph.dtype_of(operands[0]))
    return type(op).create(operands=operands, result_types=[y], properties=properties, attributes=dict(op.attributes))


class _SinkThroughConcat(RewritePattern):
    """``concat(dequantize(x), …)`` to ``dequantize(concat(x, …))`` where all stand for the same values."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: movement.ConcatOp, rewriter: PatternRewriter) -> None:
        sources = [_dequantized(part) for part in op.parts]
        known = [source for source in sources if source is not None]
        if len(known) != len(sources) or len({per_tensor(source) for source in known}) != 1:
            return
        if len({qgraph.dtype_of(source.x) for source in known}) == 1:
            moved = _moved(op, [source.x for source in known], dict(op.properties))
            _dequantize_after(op, moved, known[0], rewriter)


def _dequantize_after(op: Operation, moved: Operation, source: qgraph.DequantizeOp, rewriter: PatternRewriter) -> None:
    result = op.results[0].type
    after = qgraph.DequantizeOp.create(
        operands=[moved.results[0]],
        result_types=[result],
        properties=dict(source.properties),
        attributes=dict(source.attributes),
    )
    rewriter.replace(op, [moved, after])


class _ReluOfDequantized(RewritePattern):
    """``relu(dequantize(x))`` to ``dequantize(max(x, zero_point))``."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: qgraph.ReluOp, rewriter: PatternRewriter) -> None:
        source = _dequantized(op.x)
        if source is None:
            return
        limits = np.iinfo(qgraph.dtype_of(source.x))
        low = int(qgraph.array(source.zero_point)[0])
        clamp = qgraph.copy_description(op, qgraph.ClampOp(source.x, low, int(limits.max)))
        _dequantize_after(op, clamp, source, rewriter)


class _QuantizedActivation(RewritePattern):
    """``quantize(clip(x))`` to ``clamp(quantize(x))``: exact, because quantisation is monotone."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: qgraph.QuantizeOp, rewriter: PatternRewriter) -> None:
        activation = op.x.owner
        if not isinstance(activation, qgraph.ReluOp | qgraph.ClipOp) or per_tensor(op) is None:
            return
        low, high = 0.0, np.inf
        if isinstance(activation, qgraph.ClipOp):
            low, high = activation.low.value.data, activation.high.value.data
        before = op.clone()
        before.operands[0] = activation.x
        clamp = qgraph.ClampOp(before.results[0], _quantised_value(op, low), _quantised_value(op, high))
        qgraph.copy_description(activation, clamp)
        rewriter.replace(op, [before, clamp])


class _HoistQuantize(RewritePattern):
    """``quantize(op(x))`` to ``op(quantize(x))`` for operations that give each element of x, or the largest of some."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: qgraph.QuantizeOp, rewriter: PatternRewriter) -> None:
        mover = op.x.owner
        if not isinstance(mover, qgraph.ReshapeOp | qgraph.TransposeOp | qgraph.MaxPoolOp):
            return
        if per_tensor(op) is None or not op.x.has_one_use():
            return
        before = type(op).create(
            operands=[mover.x],
            result_types=[qgraph.tensor_type(qgraph.shape_of(mover.x), qgraph.dtype_of(op.y))],
            properties=dict(op.properties),
            attributes=dict(op.attributes),
        )
        rewriter.replace(op, [before, _moved(mover, [before.y], dict(mover.properties))])


class _CancelPair(RewritePattern):
    """``quantize(dequantize(x))`` with equal parameters is ``x``."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: qgraph.QuantizeOp, rewriter: PatternRewriter) -> None:
        source = _dequantized(op.x)
        if source and per_tensor(source) == per_tensor(op) and source.x.type == op.y.type:
            rewriter.replace(op, [], [source.x])


@dataclass(frozen=True)
class SinkDequantize(ModulePass):
    """Bring Q/DQ pairs together and cancel them.

    ``dequantize`` moves behind max-pool, ReLU and everything that moves data, with the zero point as padding; ReLU
    and Clip move behind ``quantize``, where
    they are clamps of integers. What is left of either has a convolution, a matrix product or the graph's edge next
    to it.
    """

    name: ClassVar[str] = "sink-dequantize"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        patterns: list[RewritePattern] = [
            *(_SinkThrough(), _SinkThroughConcat()),
            *(_ReluOfDequantized(), _QuantizedActivation(), _HoistQuantize(), _CancelPair()),
        ]
        PatternRewriteWalker(GreedyRewritePatternApplier(patterns)).rewrite_module(op)
