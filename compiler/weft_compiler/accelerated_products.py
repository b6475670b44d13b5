"""How a product of two activations becomes a task of the accelerator, or why it does not."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig

from .accelerated import requantisation_of, shift_of, width_obstacle
from .conv_task import ConvTask
from .dialects import qgraph, quantised
from .errors import CompileError
from .tasks import lowered

Product: TypeAlias = quantised.QMatMulOp | quantised.MatMulIntegerOp
"""Products whose second factor need not be constant."""

LARGEST_PART = 127
"""Of a zero point, in a lane of weights."""


@dataclass(frozen=True, eq=False)
class AcceleratedProduct:
    """A task with what the host does around it; see `dialects.products`.

    Parameters
    ----------
    task : ConvTask
        What the accelerator computes: a group for each product.
    leading : tuple of int
        Leading axes of the result, empty where b is one matrix: then all rows of a are one matrix's.
    shifts : tuple of int
        Subtracted from a and from b so that they fit int8.
    zero : int
        What remains of a's zero point.
    b_zero : int array
        Zero points of b, one or one for each column.
    parts : int array
        What the copies of a's rows beyond the first meet, shape (copies − 1, 1 or N).
    scale : float32 array
        Of the requantisation, one or one for each column; 1 where sums leave whole.
    """

    task: ConvTask
    leading: tuple[int, ...]
    shifts: tuple[int, int]
    zero: int
    b_zero: NDArray[np.int64]
    parts: NDArray[np.int64]
    scale: NDArray[np.float32]

    @property
    def copies(self) -> int:
        """How often a row of a lies in memory."""
        return 1 + len(self.parts)


def accelerate_product(op: Product, config: AcceleratorConfig) -> AcceleratedProduct | str:
    """Map a product of two activations to the accelerator; a string says why it stays on the host."""
    obstacle = width_obstacle(config)
    if obstacle is not None:
        return obstacle
    a, b, y = (qgraph.shape_of(value) for value in (op.a, op.b, op.y))
    if not prod(y) or not a[-1]:
        return "it has no elements"
    shifts = shift_of(qgraph.dtype_of(op.a)), shift_of(qgraph.dtype_of(op.b))
    if isinstance(op, quantised.MatMulIntegerOp):
        how, b_zero, scale = None, qgraph.array(op.b_zero), np.ones(1, np.float32)
    else:
        how, b_zero, scale = requantisation_of(op, config), np.array([op.b_zero.value.data]), qgraph.array(op.scale)
    parts = _parts(shifts[1] - b_zero)
    leading = y[:-2] if prod(b[:-2]) > 1 else ()
    rows = y[-2] if leading else prod(y[:-1])
    task = ConvTask(
        groups=prod(leading),
        ic=-(-(1 + len(parts)) * a[-1] // config.block_in),
        oc=-(-y[-1] // config.block_out),
        ih=1,
        iw=-(-rows // config.batch),
        kh=1,
        kw=1,
        requantisation=how,
    )
    try:
        lowered(task, config)
    except CompileError as error:
        return str(error)
    return AcceleratedProduct(
        task=task,
        leading=leading,
        shifts=shifts,
        zero=op.a_zero.value.data - shifts[0],
        b_zero=b_zero,
        parts=parts,
        scale=scale,
    )


def _parts(zeros: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers as sums of as few that fit int8 as all of them need: shape (count, numbers).

    >>> _parts(np.array([0, 128])).tolist()
    [[0, 64], [0, 64]]
    """
    count = -(-int(np.abs(zeros).max()) // LARGEST_PART)
    if not count:
        return np.zeros((0, len(zeros)), np.int64)
    each, rest = np.divmod(np.abs(zeros), count)
    return np.sign(zeros) * (each + (np.arange(count)[:, None] < rest))
