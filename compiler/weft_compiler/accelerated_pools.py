"""How pools of quantised tensors become tasks of the accelerator, or why they do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from xdsl.dialects.builtin import StringAttr
from xdsl.ir import Operation

from .accel.intrinsics.requantise import parameters
from .accelerated import shift_of
from .conv_task import Requantisation
from .dialects import qgraph, quantised
from .errors import CompileError
from .pool_task import MAX, SUM, PoolTask
from .tasks import lowered_pool

QPool: TypeAlias = qgraph.MaxPoolOp | quantised.QGlobalAveragePoolOp


@dataclass(frozen=True, eq=False)
class AcceleratedPool:
    """A task with its parameters.

    Parameters
    ----------
    params : int32 array, optional
        Bias and scale of each channel, shape (blocks, block_out, 2); maxima have none.
    """

    task: PoolTask
    params: NDArray[np.int32] | None = None


def accelerate_pool(op: QPool, config: AcceleratorConfig) -> AcceleratedPool | str:
    """Map a pool to the accelerator; a string says why it stays on the host."""
    source = op.x.owner
    if not qgraph.is_quantised(op.x) or len(qgraph.shape_of(op.x)) != 4:
        return "the accelerator pools images of 8-bit values"
    if not isinstance(source, Operation) or source.attributes.get("placement") != StringAttr("accelerator"):
        return "its input comes from the host, which pools it where it lies"
    if not config.raw_store and not config.epilogue_lanes:
        return "the accelerator pools with an epilogue or a raw store only (epilogue_lanes = 0, raw_store = false)"
    if (config.inp_bits, config.wgt_bits, config.out_bits) != (8, 8, 8):
        return "the accelerator has no 8-bit inputs, weights and outputs"
    planned = _largest(op, config) if isinstance(op, qgraph.MaxPoolOp) else _mean(op, config)
    if not isinstance(planned, str):
        try:
            lowered_pool(planned.task, config)
        except CompileError as error:
            return str(error)
    return planned


def _blocks(op: QPool, config: AcceleratorConfig) -> tuple[int, int]:
    images, channels = qgraph.shape_of(op.x)[:2]
    return -(-images // config.batch), -(-channels // config.block_in)


def _largest(op: qgraph.MaxPoolOp, config: AcceleratorConfig) -> AcceleratedPool | str:
    strides, pads, dilations, kernel = (qgraph.ints(x) for x in (op.strides, op.pads, op.dilations, op.kernel))
    if dilations != (1, 1):
        return f"its windows are dilated by {dilations[0]}×{dilations[1]}"
    if any(pads) and not config.pad_value:
        return "the accelerator pads with zeros only (pad_value = false)"
    images, channels = _blocks(op, config)
    _, _, height, width = qgraph.shape_of(op.x)
    oh, ow = qgraph.shape_of(op.y)[2:]
    # With ceil_mode the last windows reach farther than the pads say; less than there is is never touched.
    reach = (oh - 1) * strides[0] + kernel[0], (ow - 1) * strides[1] + kernel[1]
    bottom, right = max(0, reach[0] - height - pads[0]), max(0, reach[1] - width - pads[1])
    task = PoolTask(
        kind=MAX, n=images, channels=channels, ih=height, iw=width, kh=kernel[0], kw=kernel[1],
        stride=(strides[0], strides[1]), pads=(pads[0], pads[1], bottom, right),
    )  # fmt: skip
    return AcceleratedPool(task)


def _mean(op: quantised.QGlobalAveragePoolOp, config: AcceleratorConfig) -> AcceleratedPool | str:
    if not config.epilogue_lanes:
        return "the accelerator cannot requantise (epilogue_lanes = 0)"
    images, blocks = _blocks(op, config)
    _, channels, height, width = qgraph.shape_of(op.x)
    shift, out_shift = shift_of(qgraph.dtype_of(op.x)), shift_of(qgraph.dtype_of(op.y))
    how = Requantisation(
        zero_point=op.y_zero.value.data - out_shift,
        low=op.low.value.data - out_shift,
        high=op.high.value.data - out_shift,
    )
    task = PoolTask(
        kind=SUM, n=images, channels=blocks, ih=height, iw=width, kh=height, kw=width, pad_value=0, requantisation=how
    )
    bias = np.full(channels, -(op.x_zero.value.data - shift) * height * width, np.int32)
    scale = np.full(channels, np.float32(op.scale.value.data), np.float32)
    return AcceleratedPool(task, parameters(bias, scale, config.block_out))
