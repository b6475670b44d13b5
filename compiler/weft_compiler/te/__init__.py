"""Tensor expressions, their schedules, and the loop nests these become."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .auto_tensorize import auto_tensorize
from .expr import (
    INDEX,
    Axis,
    Combiner,
    Const,
    Expr,
    Reduce,
    const,
    erf,
    every,
    exp,
    float_of_bits,
    fma,
    log,
    maximum,
    minimum,
    power,
    round_even,
    select,
    sqrt,
    tanh,
)
from .intrinsic import Intrinsic
from .schedule import Schedule, Stage
from .tensor import Tensor, commutative, compute, max, min, placeholder, reduce_axis, scan, sum

if TYPE_CHECKING:
    from .kernel import Kernel

__all__ = [
    "INDEX",
    "Axis",
    "Combiner",
    "Const",
    "Expr",
    "Intrinsic",
    "Reduce",
    "Schedule",
    "Stage",
    "Tensor",
    "auto_tensorize",
    "build",
    "commutative",
    "compute",
    "const",
    "erf",
    "every",
    "exp",
    "float_of_bits",
    "fma",
    "log",
    "max",
    "maximum",
    "min",
    "minimum",
    "placeholder",
    "power",
    "reduce_axis",
    "round_even",
    "scan",
    "select",
    "sqrt",
    "sum",
    "tanh",
]


def build(schedule: Schedule, name: str = "kernel", threads: int | None = None) -> Kernel:
    """Compile a schedule for this machine: a function on numpy arrays.

    Parameters
    ----------
    threads : int, optional
        How many share the iterations of a parallel loop; as many as there are processors if left out.
    """
    # The language and its schedules need numpy alone; IR and LLVM are loaded by the first compilation.
    from .kernel import build

    return build(schedule, name, threads)
