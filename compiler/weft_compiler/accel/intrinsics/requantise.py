"""The requantising store: accumulators to 8 bits on their way to DRAM, with onnxruntime's arithmetic."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Load, Memory, Queue, SetRegister, Store, StoreMode

from ... import te
from ...conv_task import Addition, Requantisation
from ...errors import CompileError
from ...te.intrinsic import declared
from ..columns import Column
from ..dma import TileMove
from ..emitter import Emitter, Moved, Settings
from ..intrinsic import AcceleratorIntrinsic
from ..operations import Operand, Operation
from .tiles import shape, tile

BIAS, SCALE = range(2)
"""The last dimension of parameters: a channel's bias, and the bits of its float32 scale."""

TABLE_ENTRIES = 256
"""As many as 8 bits can choose."""


def requantised(
    how: Requantisation,
    acc: te.Expr,
    bias: te.Expr,
    scale_bits: te.Expr,
    residual: te.Expr | None = None,
    table: te.Tensor | None = None,
) -> te.Expr:
    """``clamp(rne(float32(acc + bias) × scale) + zero point, low, high)``, rounded at each step; then what `how` adds.

    Parameters
    ----------
    residual : Expr, optional
        The element of the residual operand, if there is an addition.
    table : Tensor, optional
        256 values of the result's type, if the result is looked up.
    """
    value = te.round_even((acc + bias).cast("float32") * te.float_of_bits(scale_bits))
    result = _bounded(value, how.low - how.zero_point, how.high - how.zero_point) + how.zero_point
    if how.addition is not None:
        assert residual is not None
        result = _added(how.addition, result.cast("float32"), residual.cast("float32"))
    if how.table:
        assert table is not None
        return table[(result & 255).cast(te.INDEX)]
    return result.cast(how.dtype)


def _bounded(value: te.Expr, low: int, high: int) -> te.Expr:
    """A whole number within bounds, as int32."""
    return te.minimum(te.maximum(value, float(low)), float(high)).cast("int32")


def _added(how: Addition, q: te.Expr, r: te.Expr) -> te.Expr:
    """QLinearAdd of two values, as int32."""
    first, second = (q, how.scale), (r, how.residual_scale)
    if how.swap:
        first, second = second, first
    total = te.fma(*first, te.fma(*second, how.offset))
    return _bounded(te.round_even(total), how.low, how.high)


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


@declared
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
    return AcceleratorIntrinsic(
        "load.param", copy, (source,), ("param", "global"), emit=lambda o, emitter: _emit_load(o, emitter, Memory.PARAM)
    )


def _emit_load(operation: Operation, emitter: Emitter, memory: Memory) -> None:
    (source,) = operation.inputs
    move = TileMove(source.buffer.name, operation.extents, source.tile, operation.output.tile, operation.guards)
    emitter.move(Load, Queue.STORE, operation, move, memory)


@declared
def load_table(config: AcceleratorConfig, dtype: str = "int8") -> AcceleratorIntrinsic:
    """The table of 256 values.

    Raises
    ------
    CompileError
        If the configuration has none.
    """
    _require(config)
    if not config.table:
        raise CompileError("table = False: the accelerator cannot look results up; enable the table")
    source = te.placeholder((TABLE_ENTRIES,), dtype, "dram")
    copy = te.compute(source.shape, lambda k: source[k], "table")
    return AcceleratorIntrinsic(
        "load.table", copy, (source,), ("table", "global"), emit=lambda o, emitter: _emit_load(o, emitter, Memory.TABLE)
    )


@declared
def store_requantised(config: AcceleratorConfig, how: Requantisation) -> AcceleratorIntrinsic:
    """One tile of accumulators, requantised; with what it adds and looks up on the way.

    The operands are accumulators, parameters, then the residual operand in DRAM, which must lie as the result does, and
    the table, if `how` has them.

    Raises
    ------
    CompileError
        If the configuration has no epilogue, or lacks what it is to do.
    """
    _require(config)
    acc = tile(config, "acc", "acc")
    param = te.placeholder((config.block_out, 2), "int32", "param")
    inputs, scopes = [acc, param], ["acc", "param"]
    residual = table = None
    if how.addition is not None:
        if not config.residual:
            raise CompileError("residual = False: the accelerator cannot add on the way out; enable residual")
        residual = te.placeholder(shape(config, "acc"), how.addition.dtype, "residual")
        inputs.append(residual)
        scopes.append("global")
    if how.table:
        table = te.placeholder((TABLE_ENTRIES,), how.dtype, "table")
        inputs.append(table)
        scopes.append("table")

    def value(b: te.Axis, o: te.Axis) -> te.Expr:
        operand = None if residual is None else residual[b, o]
        return requantised(how, acc[b, o], param[o, BIAS], param[o, SCALE], operand, table)

    return AcceleratorIntrinsic(
        "store." + how.dtype + (".added" if residual is not None else "") + (".looked_up" if table is not None else ""),
        te.compute(shape(config, "acc"), value, "dram"),
        tuple(inputs),
        ("global", *scopes),
        emit=lambda operation, emitter: _emit_store(operation, emitter, how),
    )


def _emit_store(operation: Operation, emitter: Emitter, how: Requantisation) -> None:
    acc, param, *rest = operation.inputs
    target = operation.output
    move = TileMove(
        target.buffer.name, operation.extents, target.tile, acc.tile, operation.guards, operation.inside,
        can_pad=False, parameter=param.tile,
    )  # fmt: skip
    settings: dict[SetRegister, Column | int] = {**registers_of(how)}
    constant, relative = StoreMode(0), {}
    if how.table:
        constant |= StoreMode.TABLE
    if how.addition is not None:
        added = how.addition
        settings[SetRegister.RESIDUAL] = _distance(rest[0], target)
        relative[SetRegister.RESIDUAL] = rest[0].buffer.name
        constant |= StoreMode.RESIDUAL
        constant |= StoreMode.SWAP if added.swap else StoreMode(0)
        constant |= StoreMode.UNSIGNED if added.dtype == "uint8" else StoreMode(0)

    def more(moved: Moved) -> tuple[Moved, Settings]:
        mode = moved["parameter_x"] * int(StoreMode.PARAM_X) + moved["parameter_y"] * int(StoreMode.PARAM_Y)
        return {"mode": mode + int(constant)}, {SetRegister.PARAM: moved["parameter"], **settings}

    emitter.move(Store, Queue.STORE, operation, move, Memory.ACC_8BIT, more, relative)


def registers_of(how: Requantisation) -> dict[SetRegister, int]:
    """What the store queue's registers have to hold for it, RESIDUAL and PARAM left out."""
    registers = {
        SetRegister.ZERO_POINT: how.zero_point,
        SetRegister.CLAMP_LO: how.low,
        SetRegister.CLAMP_HI: how.high,
    }
    if how.addition is not None:
        added = how.addition
        registers |= {
            SetRegister.SCALE: _bits(added.scale),
            SetRegister.RESIDUAL_SCALE: _bits(added.residual_scale),
            SetRegister.OFFSET: _bits(added.offset),
            SetRegister.SUM_LO: added.low,
            SetRegister.SUM_HI: added.high,
        }
    return registers


def with_any_numbers(how: Requantisation) -> Requantisation:
    """One of the same kind whose every number takes a SET: a program for all of that kind, see `Stream.emit`."""
    added = how.addition
    if added is not None:
        added = replace(added, scale=0.5, residual_scale=0.25, offset=1.0, low=-100, high=100)
    return replace(how, zero_point=1, low=-100, high=100, addition=added)


def _bits(value: float) -> int:
    return int(np.float32(value).view(np.uint32))


def _distance(residual: Operand, target: Operand) -> int:
    """Tiles from the result to the residual operand, each counted from the first of its tensor.

    Raises
    ------
    CompileError
        If the two do not lie alike.
    """
    apart = residual.tile.base - target.tile.base
    if residual.tile.factors != target.tile.factors or (apart != apart[:1]).any():
        raise CompileError(
            f"{residual.buffer.name} does not lie as {target.buffer.name} does: STORE adds a residual operand tile by "
            "tile; give both one layout"
        )
    return int(apart[0]) if len(apart) else 0
