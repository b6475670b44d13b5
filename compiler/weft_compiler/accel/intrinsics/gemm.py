"""GEMM: a matrix product of single tiles, added to an accumulator tile."""

from __future__ import annotations

from math import prod

import numpy as np
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Gemm, GemmOverwrite, Memory, Queue

from ... import te
from ...te.intrinsic import declared
from ..emitter import Emitter, loop_columns
from ..expand import Expanded
from ..gemm import Mode, TileProduct
from ..intrinsic import AcceleratorIntrinsic
from ..kernels import OPERANDS
from ..operations import Operation
from ..stream import Touch
from .tiles import dtype, shape, tile


@declared
def gemm(config: AcceleratorConfig) -> AcceleratorIntrinsic:
    """``acc[b, o] += Σᵢ inp[b, i] · wgt[o, i]``, in the accumulators' type."""
    inp, wgt, wide = tile(config, "inp", "inp"), tile(config, "wgt", "wgt"), dtype(config, "acc")
    i = te.reduce_axis(config.block_in, "i")
    acc = te.compute(shape(config, "acc"), lambda b, o: te.sum(inp[b, i].cast(wide) * wgt[o, i].cast(wide), i), "acc")
    return AcceleratorIntrinsic("gemm", acc, (inp, wgt), ("acc", "inp", "wgt"), te.const(0, wide), emit=_emit)


def _emit(operation: Operation, emitter: Emitter) -> None:
    """A reduction's first instruction overwrites where the accelerator can, otherwise one resets before it.

    What an input has as zero padding is not multiplied.
    """
    dst, (src, wgt) = operation.output, operation.inputs
    skips = (*operation.omits, *operation.zeros)
    product = TileProduct(operation.extents, (dst.tile, src.tile, wgt.tile), operation.guards, skips)
    rows = emitter.products(product, operation, emitter.config.gemm_overwrite)
    emitter.macs += operation.steps * prod(operation.extents) * emitter.config.macs
    overwrites = rows.columns["mode"] == Mode.OVERWRITE.value
    for cls, chosen in ((Gemm, rows.only(~overwrites)), (GemmOverwrite, rows.only(overwrites))):
        _append(cls, operation, chosen, emitter)


def _append(cls: type[Gemm], operation: Operation, rows: Expanded, emitter: Emitter) -> None:
    values = rows.columns
    resets = values["mode"] == Mode.RESET.value
    columns = loop_columns(rows, OPERANDS)
    if cls is Gemm:
        columns["reset"] = resets.astype(np.int64)
    touches = [Touch(Memory.ACC, values["dst_first"], values["dst_end"], writes=True)]
    for name, memory in (("src", Memory.INP), ("wgt", Memory.WGT)):
        first = values[f"{name}_first"]
        touches.append(Touch(memory, first, np.where(resets, first, values[f"{name}_end"]), writes=False))
    emitter.append(cls, Queue.COMPUTE, operation, rows, touches, columns, kernel=values["kernel"])
