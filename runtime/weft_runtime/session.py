"""A module loaded on a device: weights and programs written once, then any number of runs."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from weft_hardware.isa import Memory

from .device import ActivityCycles, Device, Launch, RunReport, add_activities
from .errors import ModuleError
from .external_functions import bind
from .host_functions import ALIGNMENT, HostFunctions, aligned_bytes
from .module_model import AcceleratorStep, Buffer, ExternalStep, HostStep, ModuleContent, Step, TensorInfo
from .parts import least_cycles, shares

if TYPE_CHECKING:
    from .module import Module

Array = NDArray[Any]
Inputs = Mapping[str, Array] | Sequence[Array] | Array
"""Inputs by name, in the model's order, or the only one by itself."""

Outputs = Array | tuple[Array, ...]
"""The only output by itself, or all of them in the model's order."""


@dataclass
class LayerProfile:
    """What one layer took in the last run.

    ``cycles`` and ``activity``, see `device.RunReport`, sum its launches, or its parts of them (`parts`), and are None
    where nothing was launched or the device does not tell; ``host_seconds`` is the wall time of its host steps,
    ``device_seconds`` that of its launches with their transfers and the wait for the device.
    """

    name: str
    op: str
    placement: str
    reason: str
    macs: int
    cycles: int | None = None
    host_seconds: float = 0.0
    device_seconds: float = 0.0
    activity: ActivityCycles | None = None

    def add(self, report: RunReport) -> None:
        """Count one more launch."""
        if report.cycles is not None:
            self.cycles = (self.cycles or 0) + report.cycles
        if report.activity is not None:
            self.activity = add_activities([self.activity or {}, report.activity])


class Session:
    """One module on one device; any number of sessions share a device.

    Where the device's memory is memory of this process (`Device.view`), host functions work on it directly. Otherwise
    the device's region is mirrored: what a launch reads is copied to the device before it, what it writes is copied
    back after it. Threads may share a session: runs of one session follow each other, and a launch with its transfers
    has the device for itself.

    Parameters
    ----------
    module : Module
        A compiled network.
    device : Device
        Must have the configuration that the module was compiled for.

    Attributes
    ----------
    inputs, outputs : dict of str to array
        The network's tensors where they lie, for runs without copies; see `execute`.
    zero_copy : bool
        Whether the device's region is the device's own memory.
    device_bytes : int
        Bytes of the device's memory that the module takes.
    last_profile : list of LayerProfile
        One for each layer of the last run, in the network's order.
    last_launches : list of (str, RunReport)
        The last run's launches, in order, by the names of their layers.
    host_seconds, device_seconds : float
        Wall time of all runs' host steps, and of their launches; see `LayerProfile`.

    Raises
    ------
    ModuleError
        If the device's configuration is another one, host code cannot be loaded, or an external function is not given.
    DeviceError
        If the device's memory is too small.
    """

    def __init__(self, module: Module, device: Device):
        content = module.content
        _check_config(content, device)
        self._content = content
        self._device = device
        self._lock = threading.RLock()
        self._worker: ThreadPoolExecutor | None = None
        self._helper: ThreadPoolExecutor | None = None
        self._stages = list(_stages(content.steps))
        host_steps = [step for step in content.steps if isinstance(step, HostStep)]
        functions = HostFunctions(content.host_code, (step.function for step in host_steps))
        self._functions = functions
        self.device_bytes = max(1, content.region_bytes["device"])
        self._base: int | None = device.allocate(self.device_bytes)
        try:
            self._memory = self._regions()
            self._load()
            self._calls: dict[int, Callable[[], None]] = {
                id(step): partial(functions[step.function], self._addresses(step)) for step in host_steps
            }
            for step in content.steps:
                if isinstance(step, ExternalStep):
                    self._calls[id(step)] = bind(step, module.functions, self._array)
        except BaseException:
            self.close()
            raise
        self.inputs = {tensor.name: self._array(tensor) for tensor in content.inputs}
        self.outputs = {tensor.name: self._array(tensor) for tensor in content.outputs}
        self.last_profile: list[LayerProfile] = []
        self.last_launches: list[tuple[str, RunReport]] = []
        self.host_seconds = self.device_seconds = 0.0
        self._asked: dict[int, NDArray[np.int64]] = {}

    def _regions(self) -> dict[str, NDArray[np.uint8]]:
        """The memory that host functions work on."""
        assert self._base is not None
        nbytes = self._content.region_bytes["device"]
        shared = self._device.view(self._base, nbytes)
        self.zero_copy = shared is not None and shared.ctypes.data % ALIGNMENT == 0
        if not self.zero_copy:
            shared = aligned_bytes(nbytes)
        assert shared is not None
        return {"device": shared, "host": aligned_bytes(self._content.region_bytes["host"])}

    def _load(self) -> None:
        """Zeros and constants in both regions."""
        assert self._base is not None
        with self._device.lock:
            self._memory["device"][:] = 0
            for constant in self._content.constants:
                self._view(constant.buffer)[:] = np.frombuffer(constant.data, np.uint8)
            if not self.zero_copy:
                self._device.write(self._base, self._memory["device"])

    def close(self) -> None:
        """Finish runs that were begun, then free the device's memory; the session cannot run afterwards."""
        if self._worker is not None:
            self._worker.shutdown()
        with self._lock, self._device.lock:
            if self._helper is not None:
                self._helper.shutdown()
            if self._base is not None:
                self._device.free(self._base)
                self._base = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def run(self, inputs: Inputs) -> Outputs:
        """Run the network once.

        Raises
        ------
        ModuleError
            If an input is missing, unknown, or of another shape or type.
        FaultError, DeadlockError, TokenError
            If the accelerator does not complete.
        """
        with self._lock:
            self._require_open()
            for tensor, values in _match(self._content.inputs, inputs):
                self._view(tensor.buffer)[:] = np.frombuffer(values.tobytes(), np.uint8)
            self.execute()
            outputs = tuple(self._array(tensor).copy() for tensor in self._content.outputs)
        return outputs[0] if len(outputs) == 1 else outputs

    def run_async(self, inputs: Inputs) -> Future[Outputs]:
        """Begin a run and return at once; runs of one session follow each other in the order of the calls.

        The inputs are copied, so that the caller may change them. What `run` raises, the future's ``result()`` raises.
        """
        kept = {tensor.name: np.array(values) for tensor, values in _match(self._content.inputs, inputs)}
        with self._lock:
            self._require_open()
            if self._worker is None:
                self._worker = ThreadPoolExecutor(1, "weft-session")
            return self._worker.submit(self.run, kept)

    def execute(self) -> None:
        """Run the network on what ``inputs`` hold; the results are then in ``outputs``.

        Both are the module's own memory, where tensors share bytes with others that live at another time: write all
        inputs before every run, and read the outputs before the next. Threads that share the session use `run`.

        Raises
        ------
        FaultError, DeadlockError, TokenError
            If the accelerator does not complete.
        """
        with self._lock:
            self._require_open()
            layers = self._content.layers
            self.last_profile = [LayerProfile(x.name, x.op, x.placement, x.reason, x.macs) for x in layers]
            self.last_launches = []
            for step, beside in self._stages:
                if isinstance(step, AcceleratorStep):
                    self._launch_beside(step, beside)
                else:
                    self._call(step)
            self.host_seconds += sum(profile.host_seconds for profile in self.last_profile)
            self.device_seconds += sum(profile.device_seconds for profile in self.last_profile)

    def _require_open(self) -> None:
        if self._base is None:
            raise ModuleError("session is closed; open a new one")

    def run_many(self, inputs: Inputs) -> Outputs:
        """Run on any number of images, group by group of the compiled batch; the leading dimension counts images.

        A last group that is not full is completed with zeros, whose results are dropped. ``last_profile`` is that
        of the last group. Inputs of the compiled shapes are simply one `run`.

        Raises
        ------
        ModuleError
            As `run`; also if the inputs hold different numbers of images, or the batch is not the leading dimension
            of everything that goes in and comes out.
        """
        pairs = _by_name(self._content.inputs, inputs)
        if all(np.shape(values) == tensor.shape for tensor, values in pairs):
            return self.run(inputs)
        batch, total = _batch_size(self._content), _image_count(pairs)
        groups = [self._run_group(pairs, start, min(batch, total - start)) for start in range(0, total, batch)]
        joined = tuple(np.concatenate(parts) for parts in zip(*groups, strict=True))
        return joined[0] if len(joined) == 1 else joined

    def _run_group(self, pairs: Sequence[tuple[TensorInfo, Array]], start: int, count: int) -> tuple[Array, ...]:
        group = {}
        for tensor, values in pairs:
            part = np.asarray(values)[start : start + count]
            missing = tensor.shape[0] - count
            group[tensor.name] = np.concatenate([part, np.zeros((missing, *part.shape[1:]), part.dtype)])
        outputs = self.run(group)
        return tuple(y[:count] for y in (outputs if isinstance(outputs, tuple) else (outputs,)))

    def _call(self, step: HostStep | ExternalStep) -> None:
        begin = time.perf_counter()
        self._calls[id(step)]()
        self.last_profile[step.layer].host_seconds += time.perf_counter() - begin

    def _launch_beside(self, step: AcceleratorStep, beside: Sequence[HostStep]) -> None:
        """A launch, here, where a key stroke can stop it, and host steps at the same time in a thread of their own."""
        if not beside:
            self._launch(step)
            return
        if self._helper is None:
            self._helper = ThreadPoolExecutor(1, "weft-host")
        running = self._helper.submit(lambda: [self._call(host) for host in beside])
        try:
            self._launch(step)
        finally:
            running.result()

    def _launch(self, step: AcceleratorStep) -> None:
        assert self._base is not None
        begin = time.perf_counter()
        with self._device.lock:
            if not self.zero_copy:
                for buffer in step.reads:
                    self._device.write(self._base + buffer.offset, self._view(buffer))
            report = self._device.launch(launch_of(step, self._content, self._base))
            if not self.zero_copy:
                for buffer in step.writes:
                    self._view(buffer)[:] = self._device.read(self._base + buffer.offset, buffer.nbytes)
        seconds = time.perf_counter() - begin
        for layer, part, portion in self._parts(step, report):
            self.last_profile[layer].device_seconds += seconds * portion
            self.last_profile[layer].add(part)
        self.last_launches.append((self._content.name_of(step), report))

    def _parts(self, step: AcceleratorStep, report: RunReport) -> Iterator[tuple[int, RunReport, float]]:
        """Each layer of a launch with its part of the report and of the time."""
        if not step.parts:
            yield step.layer, report, 1.0
            return
        if id(step) not in self._asked:
            instructions = self._view(step.instructions).tobytes()
            self._asked[id(step)] = least_cycles(instructions, step, self._content.config)
        asked = self._asked[id(step)]
        yield from zip(step.layers, shares(report, asked), (asked / asked.sum()).tolist(), strict=True)

    def _view(self, buffer: Buffer) -> NDArray[np.uint8]:
        return self._memory[buffer.region][buffer.offset : buffer.offset + buffer.nbytes]

    def _array(self, tensor: TensorInfo) -> Array:
        return self._view(tensor.buffer).view(tensor.numpy_dtype).reshape(tensor.shape)

    def _addresses(self, step: HostStep) -> Any:
        addresses = [self._memory[buffer.region].ctypes.data + buffer.offset for buffer in step.buffers]
        return (ctypes.c_void_p * len(addresses))(*addresses)


def _stages(steps: Sequence[Step]) -> Iterator[tuple[Step, list[HostStep]]]:
    """Every step that does not run beside another, with those that run beside it."""
    stages: list[tuple[Step, list[HostStep]]] = []
    for step in steps:
        if isinstance(step, HostStep) and step.beside and stages and isinstance(stages[-1][0], AcceleratorStep):
            stages[-1][1].append(step)
        else:
            stages.append((step, []))
    yield from stages


def launch_of(step: AcceleratorStep, content: ModuleContent, base: int) -> Launch:
    """The launch of a step whose device region lies at an address: every base register is that address."""
    window = (base, base + max(1, content.region_bytes["device"]))
    return Launch(
        base + step.instructions.offset,
        step.count,
        dict.fromkeys(Memory, base),
        dict.fromkeys(Memory, window),
        tuple(part.counts for part in step.parts),
    )


def _check_config(content: ModuleContent, device: Device) -> None:
    if content.config.digest == device.config.digest:
        return
    compiled, present = content.config.to_dict(), device.config.to_dict()
    name = next(name for name in compiled if compiled[name] != present[name])
    raise ModuleError(
        f"module was compiled for {name} = {compiled[name]}, the device has {name} = {present[name]}; "
        "compile the model for the device's configuration"
    )


def _by_name(tensors: Sequence[TensorInfo], inputs: Inputs) -> list[tuple[TensorInfo, Array]]:
    """Each input of the model with the values passed for it."""
    names = [tensor.name for tensor in tensors]
    if isinstance(inputs, Mapping):
        if unknown := sorted(inputs.keys() - set(names)):
            raise ModuleError(f"input {unknown[0]!r} is none of the model's: {', '.join(names)}; correct the name")
        if missing := [name for name in names if name not in inputs]:
            raise ModuleError(f"input {missing[0]!r} is missing; pass all of {', '.join(names)}")
        return [(tensor, inputs[tensor.name]) for tensor in tensors]
    values = [inputs] if isinstance(inputs, np.ndarray | np.generic) else list(inputs)
    if len(values) != len(names):
        raise ModuleError(f"{len(values)} inputs were passed, the model takes {len(names)}: {', '.join(names)}")
    return list(zip(tensors, values, strict=True))


def _batch_size(content: ModuleContent) -> int:
    """The leading dimension that all inputs and outputs share."""
    tensors = (*content.inputs, *content.outputs)
    sizes = {tensor.shape[:1] for tensor in tensors}
    if len(sizes) != 1 or sizes == {()}:
        shapes = ", ".join(f"{tensor.name} {tensor.shape}" for tensor in tensors)
        raise ModuleError(
            f"the module's tensors do not all begin with one batch size ({shapes}), so images cannot be split into "
            "groups; pass inputs of exactly these shapes"
        )
    ((batch,),) = sizes
    return batch


def _image_count(pairs: Sequence[tuple[TensorInfo, Array]]) -> int:
    """The leading dimension that all values share."""
    counts = {np.shape(values)[:1] for _, values in pairs}
    if len(counts) != 1 or counts == {()}:
        raise ModuleError("run_many needs the same number of images in every input; check their first dimensions")
    ((total,),) = counts
    if not total:
        raise ModuleError("run_many got 0 images; pass at least one")
    return total


def _match(tensors: Sequence[TensorInfo], inputs: Inputs) -> list[tuple[TensorInfo, Array]]:
    """As `_by_name`, with shapes and types checked."""
    pairs = []
    for tensor, values in _by_name(tensors, inputs):
        array = np.asarray(values)
        if array.shape != tensor.shape:
            raise ModuleError(
                f"input {tensor.name!r} has shape {array.shape}, the module takes {tensor.shape}; reshape it"
            )
        if array.dtype.newbyteorder("=") != np.dtype(tensor.dtype):
            raise ModuleError(
                f"input {tensor.name!r} has type {array.dtype}, the module takes {tensor.dtype}; convert it"
            )
        pairs.append((tensor, array.astype(tensor.numpy_dtype, copy=False)))
    return pairs
