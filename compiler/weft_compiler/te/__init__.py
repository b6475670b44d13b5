"""Tensor expressions, their schedules, and the loop nests these become."""

from .expr import (
    Axis,
    Combiner,
    Const,
    Expr,
    Reduce,
    const,
    every,
    exp,
    float_of_bits,
    maximum,
    minimum,
    round_even,
    select,
    sqrt,
    tanh,
)
from .intrinsic import Intrinsic
from .schedule import Schedule, Stage
from .tensor import Tensor, commutative, compute, max, min, placeholder, reduce_axis, scan, sum

__all__ = [
    "Axis",
    "Combiner",
    "Const",
    "Expr",
    "Intrinsic",
    "Reduce",
    "Schedule",
    "Stage",
    "Tensor",
    "commutative",
    "compute",
    "const",
    "every",
    "exp",
    "float_of_bits",
    "max",
    "maximum",
    "min",
    "minimum",
    "placeholder",
    "reduce_axis",
    "round_even",
    "scan",
    "select",
    "sqrt",
    "sum",
    "tanh",
]
