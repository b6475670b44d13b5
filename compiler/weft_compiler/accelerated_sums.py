"""How a sum of quantised tensors becomes part of the convolution before it, or why it does not."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from weft_hardware.config import AcceleratorConfig
from xdsl.dialects.builtin import StringAttr
from xdsl.ir import SSAValue

from .conv_task import Addition
from .dialects import qgraph, quantised
from .shifted_sum import shifted_addition


@dataclass(frozen=True)
class AcceleratedSum:
    """A sum that the requantising store of a convolution or product adds.

    Parameters
    ----------
    operand : int
        Which operand of the sum the convolution gives; the other is its residual operand.
    addition : Addition
        Of what lies in memory.
    shift : int
        Added to the requantised values as they lie in memory, before the sum.
    """

    operand: int
    addition: Addition
    shift: int


_addition = lru_cache(maxsize=256)(shifted_addition)


def accelerate_sum(op: quantised.QAddOp, config: AcceleratorConfig) -> AcceleratedSum | str:
    """Map a sum to the accelerator; a string says why it stays on the host.

    uint8 tensors lie in memory as int8, less 128: the sum then has numbers of its own, see `shifted_sum`.
    """
    if not (config.epilogue_lanes and config.residual):
        return "the accelerator has no residual operands (residual = false)"
    whole = [k for k in (0, 1) if _is_whole(op.operands[k], op)]
    if not whole or not all(_is_whole(value, op) or _is_constant(value) for value in (op.a, op.b)):
        return "its operands differ in shape; the accelerator adds tile by tile"
    types = {qgraph.dtype_of(value) for value in (op.a, op.b, op.y)}
    if len(types) > 1:
        return f"its tensors are {' and '.join(sorted(t.name for t in types))}; the accelerator adds those of one type"
    able = [k for k in whole if _takes_residual(op.operands[k])]
    if not able:
        return "no operand comes from a convolution on the accelerator that nobody else reads"
    # The longer a convolution takes, the better it hides that its results leave one by one.
    operand = max(able, key=lambda k: (_macs(op.operands[k]), k))
    scales = [float(np.float32(scale.value.data)) for scale in (op.a_scale, op.b_scale)]
    addition = Addition(
        dtype=types.pop().name,
        scale=scales[operand],
        residual_scale=scales[1 - operand],
        offset=float(op.offset),
        swap=operand == 1,
        low=op.low.value.data,
        high=op.high.value.data,
    )
    if addition.dtype == "int8":
        return AcceleratedSum(operand, addition, 0)
    producer = op.operands[operand].owner
    assert isinstance(producer, qgraph.QConvOp | qgraph.QDenseOp)
    found = _addition(addition, producer.low.value.data, producer.high.value.data)
    if found is None:
        return "no float32 numbers give its bytes from values that lie less 128"
    shifted, shift = found
    return AcceleratedSum(operand, shifted, 128 - shift)


def _is_whole(value: SSAValue, op: quantised.QAddOp) -> bool:
    """Whether an operand has as many elements as the result: what is constant is repeated when compiling."""
    return qgraph.shape_of(value) == qgraph.shape_of(op.y)


def _is_constant(value: SSAValue) -> bool:
    return isinstance(value.owner, qgraph.ConstantOp)


def _takes_residual(value: SSAValue) -> bool:
    """Whether a value's producer can add on its way out."""
    producer = value.owner
    if not isinstance(producer, qgraph.QConvOp | qgraph.QDenseOp) or not value.has_one_use():
        return False
    return producer.attributes.get("placement") == StringAttr("accelerator")


def _macs(value: SSAValue) -> int:
    producer = value.owner
    assert isinstance(producer, qgraph.QConvOp | qgraph.QDenseOp)
    return int(np.prod(qgraph.shape_of(producer.w)[1:]))
