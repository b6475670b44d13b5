"""Operations laid out for the accelerator as its tasks: what is lowered, and which tensors it touches."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import TypeAlias

from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import SetRegister
from xdsl.ir import SSAValue

from .accel import convolution, pooling
from .accel.intrinsics.requantise import registers_of, with_any_numbers
from .accel.lower import lower_nest
from .accel.stream import Stream
from .conv_task import ConvTask, Phases
from .dialects import qgraph
from .errors import CompileError
from .lowering import LoweredConv, lower_conv
from .options import Scheduled, Schedules
from .pool_task import MAX, SUM, PoolTask
from .tiling import tiling_from_json

AcceleratedOp: TypeAlias = qgraph.AccumulateOp | qgraph.ConvolveOp | qgraph.PoolOp
Task: TypeAlias = ConvTask | PoolTask


def without_numbers(task: ConvTask) -> ConvTask:
    """The same for all convolutions that differ in numbers of their requantisation alone: they share a program."""
    how = task.requantisation
    return task if how is None else replace(task, requantisation=with_any_numbers(how))


def layer_key(task: ConvTask) -> str:
    """The digest that names a layer in `options.CompileOptions.schedules` and in records of tuning."""
    return hashlib.sha256(repr(without_numbers(task)).encode()).hexdigest()[:16]


def lowered(
    task: ConvTask,
    config: AcceleratorConfig,
    schedules: Schedules = MappingProxyType({}),
    told: Callable[[Scheduled], None] | None = None,
    name: str = "",
) -> LoweredConv:
    """The stream of a convolution, and of all others that differ in numbers of their requantisation alone.

    Parameters
    ----------
    told : callable, optional
        Called with what became of the layer's schedules; ``name`` is the layer's for that.

    Raises
    ------
    CompileError
        If it cannot be lowered, or the only schedule given for it is none of this layer, or does not fit.
    """
    shared, key = without_numbers(task), layer_key(task) if schedules or told else ""
    given = schedules.get(key, ())
    found, chosen, refused = None, None, list[str]()
    for number, schedule in enumerate([given] if isinstance(given, Mapping) else given):
        try:
            found, chosen = _lowered(shared, config, tiling_from_json(shared, schedule)), number
            break
        except CompileError as error:
            if isinstance(given, Mapping):
                raise CompileError(
                    f"the schedule of layer {key} cannot be used: {error}; tune the layer anew"
                ) from None
            refused.append(str(error))
    if told is not None:
        told(Scheduled(key, name, tuple(refused), chosen))
    return found or _lowered(shared, config)


_lowered = lru_cache(maxsize=256)(lower_conv)


@lru_cache(maxsize=64)
def lowered_pool(task: PoolTask, config: AcceleratorConfig) -> Stream:
    """The stream of a pool; equal tasks are lowered once."""
    tiling = pooling.choose_pool_tiling(task, config)
    return lower_nest(pooling.schedule_pool(task, tiling, config).lower(), config)


def stream_of(op: AcceleratedOp, config: AcceleratorConfig) -> Stream:
    """The instructions that an operation stands for, without places in DRAM, with its own numbers."""
    task = task_of(op)
    return lowered_pool(task, config) if isinstance(task, PoolTask) else _lowered(task, config).stream


def task_stream(
    op: AcceleratedOp,
    config: AcceleratorConfig,
    schedules: Schedules = MappingProxyType({}),
    told: Callable[[Scheduled], None] | None = None,
) -> tuple[Stream, Mapping[SetRegister, int]]:
    """The stream that an operation shares with others, and what its registers hold: see `Stream.emit`."""
    task = task_of(op)
    if isinstance(task, PoolTask):
        return lowered_pool(task, config), {}
    how = task.requantisation
    stream = lowered(task, config, schedules, told, qgraph.layer_of(op)).stream
    return stream, {} if how is None else registers_of(how)


def tensors_of(op: AcceleratedOp) -> Mapping[str, SSAValue]:
    """Operands and result by the names that the stream has for them."""
    if isinstance(op, qgraph.PoolOp):
        names = {pooling.INP: op.x, pooling.EYE: op.eye, pooling.PARAM: op.params, pooling.OUT: op.y}
    else:
        names = {convolution.INP: op.x, convolution.WGT: op.w, convolution.OUT: op.y}
    if isinstance(op, qgraph.ConvolveOp):
        names |= {convolution.PARAM: op.params, convolution.RESIDUAL: op.residual, convolution.TABLE: op.table}
    return {name: value for name, value in names.items() if value is not None}


def task_of(op: AcceleratedOp) -> Task:
    """The task that an operation stands for."""
    return _pool_task(op) if isinstance(op, qgraph.PoolOp) else _conv_task(op)


def _conv_task(op: qgraph.AccumulateOp | qgraph.ConvolveOp) -> ConvTask:
    pad_value, requantisation = 0, None
    if isinstance(op, qgraph.ConvolveOp):
        pad_value, requantisation = op.pad_value.value.data, op.requantisation
    n, ic, ih, iw, _, _ = qgraph.shape_of(op.x)
    oc, seen, *_, kh, kw, _, _ = qgraph.shape_of(op.w)
    groups = ic // seen
    strides, dilations, pads = (qgraph.ints(x) for x in (op.strides, op.dilations, op.pads))
    return ConvTask(
        n=n,
        groups=groups,
        ic=seen,
        oc=oc // groups,
        ih=ih,
        iw=iw,
        kh=kh,
        kw=kw,
        stride=(strides[0], strides[1]),
        dilation=(dilations[0], dilations[1]),
        pads=(pads[0], pads[1], pads[2], pads[3]),
        pad_value=pad_value,
        requantisation=requantisation,
        phases=_phases(op),
        pixel_parameters=op.phases is None
        and isinstance(op, qgraph.ConvolveOp)
        and len(qgraph.shape_of(op.params)) > 3,
    )


def _phases(op: qgraph.AccumulateOp | qgraph.ConvolveOp) -> Phases | None:
    if op.phases is None:
        return None
    numbers = qgraph.ints(op.phases)
    own = isinstance(op, qgraph.ConvolveOp) and len(qgraph.shape_of(op.params)) > 3
    count, offset, kernel, size = ((numbers[k], numbers[k + 1]) for k in range(0, 8, 2))
    return Phases(count, offset, kernel, size, own)


def _pool_task(op: qgraph.PoolOp) -> PoolTask:
    n, channels, ih, iw, _, _ = qgraph.shape_of(op.x)
    kernel, strides, pads = (qgraph.ints(x) for x in (op.kernel, op.strides, op.pads))
    how = op.requantisation
    return PoolTask(
        kind=MAX if how is None else SUM,
        n=n,
        channels=channels,
        ih=ih,
        iw=iw,
        kh=kernel[0],
        kw=kernel[1],
        stride=(strides[0], strides[1]),
        pads=(pads[0], pads[1], pads[2], pads[3]),
        pad_value=op.pad_value.value.data,
        requantisation=how,
    )
