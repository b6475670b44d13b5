"""Values of the runtime as messages, and back; what a message may hold is checked here."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Memory, Queue
from weft_hardware.registers import Activity

from ..device import ActivityCycles, Launch, RunReport
from ..device import MemoryUse as DeviceMemory
from ..module_model import DTYPES
from ..module_model import TensorInfo as ModuleTensor
from ..session import LayerProfile
from .errors import RemoteError
from .messages import message

Array = NDArray[Any]

LaunchRequest, LaunchReply = message("LaunchRequest"), message("LaunchReply")
Window, Part = message("Window"), message("Part")
MemoryUse, Cycles, LayerReport = message("MemoryUse"), message("Cycles"), message("LayerReport")
Tensor, TensorInfo = message("Tensor"), message("TensorInfo")

MAX_DIMENSIONS = 16
"""Of a tensor in a message."""


def config_from_json(text: str) -> AcceleratorConfig:
    """The configuration in a `DeviceInfo`.

    Raises
    ------
    RemoteError
        If it is none of this version's.
    """
    try:
        return AcceleratorConfig(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise RemoteError(
            f"the server's configuration is not one of this version's ({error}); install the same Weft on both sides"
        ) from None


def memory_to_message(use: DeviceMemory | None) -> Any:
    """None where the device does not say."""
    return None if use is None else MemoryUse(**vars(use))


def memory_from_message(use: Any) -> DeviceMemory:
    """What of the memory is taken."""
    return DeviceMemory(int(use.total), int(use.used), int(use.largest_free), int(use.buffers))


def launch_to_message(launch: Launch, lease: str) -> Any:
    """The request for a launch."""
    return LaunchRequest(
        lease=lease,
        insn_address=launch.insn_address,
        insn_count=launch.insn_count,
        bases={Memory(memory).name: base for memory, base in launch.bases.items()},
        windows={Memory(memory).name: Window(begin=begin, end=end) for memory, (begin, end) in launch.windows.items()},
        parts=[Part(load=load, compute=compute, store=store) for load, compute, store in launch.parts],
    )


def launch_from_message(request: Any) -> Launch:
    """The launch that is asked for.

    Raises
    ------
    RemoteError
        If a memory has no such name.
    """
    return Launch(
        request.insn_address,
        request.insn_count,
        {_memory(name): base for name, base in request.bases.items()},
        {_memory(name): (window.begin, window.end) for name, window in request.windows.items()},
        tuple((part.load, part.compute, part.store) for part in request.parts),
    )


def _memory(name: str) -> Memory:
    try:
        return Memory[name]
    except KeyError:
        raise RemoteError(f"memory {name!r} does not exist; use {', '.join(x.name for x in Memory)}") from None


def activity_to_message(activity: ActivityCycles | None) -> dict[str, Any]:
    """By module, empty where there is none."""
    return {
        module.name.lower(): Cycles(cycles={what.name.lower(): cycles for what, cycles in counts.items()})
        for module, counts in (activity or {}).items()
    }


def activity_from_message(activity: Mapping[str, Any]) -> ActivityCycles | None:
    """None where the message has none."""
    if not activity:
        return None
    return {
        module: {what: int(activity[module.name.lower()].cycles[what.name.lower()]) for what in Activity}
        for module in Queue
    }


def report_to_message(report: RunReport) -> Any:
    """What a launch took; a timeline stays here."""
    reply = LaunchReply(
        instructions=report.instructions,
        activity=activity_to_message(report.activity),
        parts=[report_to_message(part) for part in report.parts],
    )
    if report.cycles is not None:
        reply.cycles = report.cycles
    return reply


def report_from_message(reply: Any) -> RunReport:
    """What a launch took."""
    cycles = int(reply.cycles) if reply.HasField("cycles") else None
    parts = tuple(report_from_message(part) for part in reply.parts)
    return RunReport(cycles, int(reply.instructions), activity_from_message(reply.activity), parts=parts)


def layer_to_message(layer: LayerProfile) -> Any:
    """What a layer took."""
    reply = LayerReport(
        name=layer.name,
        op=layer.op,
        placement=layer.placement,
        reason=layer.reason,
        macs=layer.macs,
        host_seconds=layer.host_seconds,
        device_seconds=layer.device_seconds,
        activity=activity_to_message(layer.activity),
    )
    if layer.cycles is not None:
        reply.cycles = layer.cycles
    return reply


def layer_from_message(reply: Any) -> LayerProfile:
    """What a layer took."""
    return LayerProfile(
        reply.name,
        reply.op,
        reply.placement,
        reply.reason,
        int(reply.macs),
        cycles=int(reply.cycles) if reply.HasField("cycles") else None,
        host_seconds=reply.host_seconds,
        device_seconds=reply.device_seconds,
        activity=activity_from_message(reply.activity),
    )


def tensor_to_message(name: str, values: Array) -> Any:
    """An array, row-major and little-endian."""
    array = np.asarray(values)
    return Tensor(
        name=name,
        dtype=array.dtype.name,
        shape=array.shape,
        data=array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes(),
    )


def tensor_from_message(tensor: Any) -> Array:
    """The array; it cannot be written to.

    Raises
    ------
    RemoteError
        If its type is not one of a module's, or its shape and its bytes do not agree.
    """
    name = f"tensor {tensor.name!r}"
    if tensor.dtype not in DTYPES:
        raise RemoteError(f"{name} has type {tensor.dtype!r}, a module takes {', '.join(DTYPES)}; convert it")
    if len(tensor.shape) > MAX_DIMENSIONS:
        raise RemoteError(f"{name} has {len(tensor.shape)} dimensions, more than {MAX_DIMENSIONS}; reshape it")
    dtype = np.dtype(tensor.dtype).newbyteorder("<")
    shape = tuple(int(extent) for extent in tensor.shape)
    needed = math.prod(shape) * dtype.itemsize
    if len(tensor.data) != needed:
        raise RemoteError(
            f"{name} of shape {shape} and type {tensor.dtype} has {len(tensor.data)} bytes, it takes {needed}; "
            "send all of it"
        )
    return np.frombuffer(tensor.data, dtype).reshape(shape)


def infos_to_messages(tensors: Sequence[ModuleTensor]) -> list[Any]:
    """Names, types and shapes of a module's inputs or outputs."""
    return [TensorInfo(name=tensor.name, dtype=tensor.dtype, shape=tensor.shape) for tensor in tensors]
