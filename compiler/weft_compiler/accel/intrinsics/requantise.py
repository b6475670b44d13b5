"""The requantising store: accumulators to 8 bits on their way to DRAM, with onnxruntime's arithmetic."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Load, Memory, Queue, SetRegister, Store, StoreMode

from ... import te
from ...conv_task import Requantisation
from ...errors import CompileError
from ..dma import TileMove
from ..emitter import Emitter, Moved, Settings
from ..intrinsic import AcceleratorIntrinsic
from ..operations import Operation
from .tiles import shape, tile

BIAS, SCALE = range(2)
"""The last dimension of parameters: a channel's bias, and the bits of its float32 scale."""


def requantised(how: Requantisation, acc: te.Expr, bias: te.Expr, scale_bits: te.Expr) -> te.Expr:
    """``clamp(rne(float32(acc + bias) × scale) + zero point, low, high)``, rounded at each step."""
    value = te.round_even((acc + bias).cast("float32") * te.float_of_bits(scale_bits))
    bounded = te.minimum(te.maximum(value, float(how.low - how.zero_point)), float(how.high - how.zero_point))
    return (bounded.cast("int32") + how.zero_point).cast(how.dtype)


def parameters(bias: NDArray[np.int32], scale: NDArray[np.float32], block: int) -> NDArray[np.int32]:
    """Bias and scale of each channel as tiles, shape (blocks, block, 2); channels beyond the last have zeros."""
    blocks = -(-len(bias) // block)
    packed = np.zeros((blocks * block, 2), np.int32)
    packed[: len(bias), BIAS] = bias
    packed[: len(scale), SCALE] = scale.astype(np.float32).view(np.int32)
    return packed.reshape(blocks, block, 2)


def _require(config: AcceleratorConfig) -> None:
    if not config.epilogue_lanes:
        raise CompileError("epilogue_lanes = 0: the accelerator cannot requantise; enable the epilogue")


def load_parameters(config: AcceleratorConfig) -> AcceleratorIntrinsic:
    """The parameters of one block of channels.

    Raises
    ------
    CompileError
        If the configuration has no epilogue.
    """
    _require(config)
    source = te.placeholder((config.block_out, 2), "int32", "dram")
    copy = te.compute(source.shape, lambda o, what: source[o, what], "param")
    return AcceleratorIntrinsic("load.param", copy, (source,), ("param", "global"), emit=_emit_load)


def _emit_load(operation: Operation, emitter: Emitter) -> None:
    (source,) = operation.inputs
    move = TileMove(source.buffer.name, operation.extents, source.tile, operation.output.tile, operation.guards)
    emitter.move(Load, Queue.STORE, operation, move, Memory.PARAM)


def store_requantised(config: AcceleratorConfig, requantisation: Requantisation) -> AcceleratorIntrinsic:
    """One tile of accumulators, requantised.

    Raises
    ------
    CompileError
        If the configuration has no epilogue.
    """
    _require(config)
    acc = tile(config, "acc", "acc")
    param = te.placeholder((config.block_out, 2), "int32", "param")
    dram = te.compute(
        shape(config, "acc"),
        lambda b, o: requantised(requantisation, acc[b, o], param[o, BIAS], param[o, SCALE]),
        "dram",
    )
    return AcceleratorIntrinsic(
        f"store.{requantisation.dtype}",
        dram,
        (acc, param),
        ("global", "acc", "param"),
        emit=lambda operation, emitter: _emit_store(operation, emitter, requantisation),
    )


def _emit_store(operation: Operation, emitter: Emitter, requantisation: Requantisation) -> None:
    acc, param = operation.inputs
    target = operation.output
    move = TileMove(
        target.buffer.name, operation.extents, target.tile, acc.tile, operation.guards, operation.inside,
        can_pad=False, parameter=param.tile,
    )  # fmt: skip

    def more(moved: Moved) -> tuple[Moved, Settings]:
        mode = moved["parameter_x"] * int(StoreMode.PARAM_X) + moved["parameter_y"] * int(StoreMode.PARAM_Y)
        return {"mode": mode}, {
            SetRegister.PARAM: moved["parameter"],
            SetRegister.ZERO_POINT: requantisation.zero_point,
            SetRegister.CLAMP_LO: requantisation.low,
            SetRegister.CLAMP_HI: requantisation.high,
        }

    emitter.move(Store, Queue.STORE, operation, move, Memory.ACC_8BIT, more)
