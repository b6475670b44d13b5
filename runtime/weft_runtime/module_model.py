"""What a compiled module consists of: plain frozen values that the format stores and sessions execute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from weft_hardware.config import AcceleratorConfig

if TYPE_CHECKING:
    import numpy as np

DTYPES = {"int8": 1, "uint8": 1, "int32": 4, "float32": 4}
"""Element types of inputs and outputs, and their bytes."""


@dataclass(frozen=True)
class Buffer:
    """A place in one of the two regions, at a multiple of 64 bytes.

    Parameters
    ----------
    region : str
        ``"device"`` for the accelerator's memory, ``"host"`` for memory that host code alone touches.
    offset, nbytes : int
        Bytes from the region's start, and its size.
    """

    region: str
    offset: int
    nbytes: int


@dataclass(frozen=True)
class TensorInfo:
    """One input or output."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    buffer: Buffer

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        import numpy as np

        return np.dtype(self.dtype).newbyteorder("<")


@dataclass(frozen=True)
class Constant:
    """Bytes that lie in a region before the first step: weights, biases, scales, micro-ops, instruction streams."""

    name: str
    buffer: Buffer
    data: bytes


@dataclass(frozen=True)
class Layer:
    """One row of the layer table: a node of the model, where it runs and why.

    ``macs`` counts multiply-accumulates of the network, without padding to blocks; ``reason`` says why a layer
    stays on the host and is empty on the accelerator.
    """

    name: str
    op: str
    placement: str
    reason: str
    macs: int


@dataclass(frozen=True)
class HostStep:
    """A call of a host function with the addresses of its buffers, in order; the last one is its result.

    Parameters
    ----------
    beside : bool
        Whether it may run while the launch before it does, and while the steps beside that do, which come first.
    """

    layer: int
    function: str
    buffers: tuple[Buffer, ...]
    beside: bool = False


@dataclass(frozen=True)
class Part:
    """What a launch does for one layer: so many instructions of each command queue, behind those of the part before."""

    layer: int
    load: int
    compute: int
    store: int

    @property
    def counts(self) -> tuple[int, int, int]:
        """By queue."""
        return self.load, self.compute, self.store


@dataclass(frozen=True)
class AcceleratorStep:
    """A launch: the instruction stream's buffer, and the buffers it reads from and writes to.

    Parameters
    ----------
    layer : int
        Whose it is, of several layers' the first one.
    parts : tuple of Part
        Of a program of several layers what is whose; empty where all is ``layer``'s.
    """

    layer: int
    instructions: Buffer
    count: int
    reads: tuple[Buffer, ...]
    writes: tuple[Buffer, ...]
    parts: tuple[Part, ...] = ()

    @property
    def layers(self) -> tuple[int, ...]:
        """All whose it is, in order."""
        return tuple(part.layer for part in self.parts) or (self.layer,)


LANGUAGES = ("python", "c")
"""Whose callables external functions are."""


@dataclass(frozen=True)
class ExternalStep:
    """A call of a function that the module does not hold: who loads the module gives it, by name.

    A callable of Python takes numpy arrays, one of C takes pointers: first the inputs, which it leaves alone, then the
    outputs, which it writes.
    """

    layer: int
    function: str
    language: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


Step = HostStep | AcceleratorStep | ExternalStep


@dataclass(frozen=True)
class HostCode:
    """Host functions for one target: LLVM IR, and an object for CPUs with the listed features.

    ``library`` is the object linked to a shared library, which is loaded without LLVM; empty if it was not linked.
    """

    triple: str
    cpu: str
    features: tuple[str, ...]
    ir: bytes
    object: bytes
    library: bytes = b""


@dataclass(frozen=True, kw_only=True)
class ModuleContent:
    """Everything that a compiled network needs besides a device.

    Parameters
    ----------
    config : AcceleratorConfig
        The accelerator it was compiled for; it runs on no other.
    inputs, outputs : tuple of TensorInfo
        In the model's order.
    region_bytes : Mapping
        Size of the ``"device"`` and ``"host"`` regions, in bytes.
    constants : tuple of Constant
        What the regions hold from the start.
    layers, steps : tuple
        The layer table, and what to execute, in order.
    host_code : tuple of HostCode
        One for each target; empty if no step runs on the host.
    """

    config: AcceleratorConfig
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    region_bytes: Mapping[str, int]
    constants: tuple[Constant, ...]
    layers: tuple[Layer, ...]
    steps: tuple[Step, ...]
    host_code: tuple[HostCode, ...] = field(default=())

    def launches(self) -> Iterator[tuple[str, AcceleratorStep, bytes]]:
        """Every step of the accelerator, in order: its name, itself, its instructions."""
        constants = {constant.buffer: constant.data for constant in self.constants}
        for step in self.steps:
            if isinstance(step, AcceleratorStep):
                yield self.name_of(step), step, constants[step.instructions]

    def name_of(self, step: AcceleratorStep) -> str:
        """The name of a launch: its layer's, or those of its first and its last layer."""
        first, *_, last = *step.layers, step.layers[-1]
        names = [self.layers[layer].name for layer in dict.fromkeys((first, last))]
        return "..".join(names)
