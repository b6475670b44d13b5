"""Functions of one 8-bit tensor become tables of 256 entries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
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

from ..dialects import floats, qgraph, quantised
from ..float32 import fma
from ..tables import dequantised, quantise
from ..te.functions import BINARY, FUNCTIONS, values_of, values_of_two
from .fold_constants import constant_of
from .quantise import erase_dead
from .sink_dequantize import per_tensor

Values = NDArray[np.float32]


class _Cone:
    """The float value that an expression has for each of the 256 values of the one 8-bit tensor that it depends on."""

    def __init__(self) -> None:
        self.source: SSAValue | None = None

    def values(self, value: SSAValue) -> Values | None:
        """256 floats, or None if the value is no function of one tensor alone."""
        op = value.owner
        if isinstance(op, qgraph.DequantizeOp):
            return self._leaf(op) if constant_of(op.x) is None else _scalar(op)
        if isinstance(op, qgraph.ConstantOp):
            return _single(op.values)
        if isinstance(op, qgraph.ReluOp):
            return self._unary(op.x, "relu", ())
        if isinstance(op, qgraph.ClipOp):
            return self._unary(op.x, "clip", (op.low.value.data, op.high.value.data))
        if isinstance(op, floats.UnaryOp):
            return self._unary(op.x, op.function.data, tuple(float(v) for v in qgraph.array(op.numbers)))
        if isinstance(op, floats.BinaryOp):
            a, b = self.values(op.a), self.values(op.b)
            if a is None or b is None:
                return None
            return values_of_two(BINARY[op.function.data], *np.broadcast_arrays(a, b))
        return None

    def _leaf(self, op: qgraph.DequantizeOp) -> Values | None:
        parameters = per_tensor(op)
        if parameters is None or not qgraph.is_quantised(op.x) or self.source not in (None, op.x):
            return None
        self.source = op.x
        return dequantised(quantised.by_bits(qgraph.dtype_of(op.x)), parameters)

    def _unary(self, x: SSAValue, name: str, numbers: tuple[float, ...]) -> Values | None:
        values = self.values(x)
        return None if values is None else values_of(lambda v: FUNCTIONS[name](v, *numbers), values)


def _scalar(op: qgraph.DequantizeOp) -> Values | None:
    constant, parameters = constant_of(op.x), per_tensor(op)
    if constant is None or parameters is None or constant.values.size != 1:
        return None
    return dequantised(constant.values.reshape(1), parameters)


def _single(values: NDArray) -> Values | None:
    return values.reshape(1) if values.size == 1 and values.dtype == np.float32 else None


class _Tabulate(RewritePattern):
    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: qgraph.QuantizeOp, rewriter: PatternRewriter) -> None:
        parameters, cone = per_tensor(op), _Cone()
        if parameters is None:
            return
        values = cone.values(op.x)
        # What broadcasts a tensor has another shape than it.
        if values is None or cone.source is None or qgraph.shape_of(cone.source) != qgraph.shape_of(op.y):
            return
        target = parameters[0], qgraph.dtype_of(op.y).type(parameters[1])
        lookup = quantised.LookupOp(cone.source, quantise(values, target))
        described = op.x.owner if not isinstance(op.x.owner, qgraph.DequantizeOp) else op
        assert isinstance(described, Operation)
        rewriter.replace(op, qgraph.copy_description(described, lookup))


class _WithNumber(RewritePattern):
    """A quantised sum or product of a tensor and one number is a table, with their arithmetic."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, quantised.QAddOp | quantised.QMulOp):
            return
        numbers = [constant_of(value) for value in (op.a, op.b)]
        single = [constant is not None and constant.values.size == 1 for constant in numbers]
        if single not in ([True, False], [False, True]):
            return
        x = op.operands[single.index(False)]
        if qgraph.shape_of(x) != qgraph.shape_of(op.y):
            return
        everything = quantised.by_bits(qgraph.dtype_of(x))
        a, b = (everything if number is None else number.values.reshape(1) for number in numbers)
        result = np.clip(np.rint(_exact(op, a, b)), op.low.value.data, op.high.value.data)
        rewriter.replace(op, qgraph.copy_description(op, quantised.LookupOp(x, result.astype(qgraph.dtype_of(op.y)))))


def _exact(op: quantised.QAddOp | quantised.QMulOp, a: NDArray, b: NDArray) -> Values:
    """What a sum or product rounds."""
    if isinstance(op, quantised.QAddOp):
        a_scale, b_scale = (np.float32(scale.value.data) for scale in (op.a_scale, op.b_scale))
        return fma(a.astype(np.float32), a_scale, fma(b.astype(np.float32), b_scale, op.offset))
    product = (a.astype(np.int32) - op.a_zero.value.data) * (b.astype(np.int32) - op.b_zero.value.data)
    return product.astype(np.float32) * np.float32(op.scale.value.data) + np.float32(op.y_zero.value.data)


class _Compose(RewritePattern):
    """``lookup(lookup(x))`` and ``lookup(clamp(x))`` are one table."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: quantised.LookupOp, rewriter: PatternRewriter) -> None:
        producer = op.x.owner
        if isinstance(producer, quantised.LookupOp):
            first = producer.values
        elif isinstance(producer, qgraph.ClampOp):
            everything = quantised.by_bits(qgraph.dtype_of(producer.x))
            first = np.clip(everything, producer.low.value.data, producer.high.value.data)
        else:
            return
        table = op.values[first.view(np.uint8)]
        rewriter.replace(op, qgraph.copy_description(op, quantised.LookupOp(producer.x, table)))


class _Simplify(RewritePattern):
    """A table that clamps is a clamp, which the operation before it can take."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: quantised.LookupOp, rewriter: PatternRewriter) -> None:
        dtype = qgraph.dtype_of(op.x)
        if dtype != qgraph.dtype_of(op.y):
            return
        everything, table = quantised.by_bits(dtype), op.values
        low, high = int(table.min()), int(table.max())
        if np.array_equal(np.clip(everything, low, high), table):
            rewriter.replace(op, qgraph.copy_description(op, qgraph.ClampOp(op.x, low, high)))


@dataclass(frozen=True)
class Tabulate(ModulePass):
    """``quantize(f(dequantize(x)))`` to ``lookup(x)``, for every f of single elements, scalars included.

    So are quantised sums and products with one number. Tables that follow each other become one; one that only clamps
    becomes a clamp. Functions of two tensors are left alone, and so is what somebody reads as float.
    """

    name: ClassVar[str] = "tabulate"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        patterns: list[RewritePattern] = [_Tabulate(), _WithNumber(), _Compose(), _Simplify()]
        PatternRewriteWalker(GreedyRewritePatternApplier(patterns)).rewrite_module(op)
        erase_dead(op)
