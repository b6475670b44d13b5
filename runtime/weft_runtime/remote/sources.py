"""Where a server's devices come from: opened anew for each client, or one that all share in turn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from weft_hardware.config import AcceleratorConfig

from ..device import Device, MemoryUse


@dataclass(frozen=True)
class Wish:
    """What a client may ask of a simulated device; a board takes none of it.

    Parameters
    ----------
    memory : (int, int), optional
        Base and size, in bytes, of the device's only memory.
    read_latency : int
        Cycles until the memory answers.
    max_cycles : int
        Cycles that a launch may take.
    """

    memory: tuple[int, int] | None = None
    read_latency: int = 0
    max_cycles: int = 2_000_000_000


class Source(ABC):
    """One device of a pool.

    Attributes
    ----------
    kind : str
        ``"functional"``, ``"tsim"``, … what clients ask for.
    config : AcceleratorConfig
    fresh : bool
        Whether every `open` gives another device with memory of its own, whose contents nobody else sees.
    """

    kind: str
    config: AcceleratorConfig
    fresh: bool

    @abstractmethod
    def open(self, wish: Wish) -> Device:
        """The device for one client, who closes it.

        Raises
        ------
        WeftError
            If it cannot be opened.
        """

    def memory_use(self) -> MemoryUse | None:
        """What of a kept device's memory is taken; None where there is none or it does not say."""
        return None

    def close(self) -> None:  # noqa: B027, most sources hold nothing
        """Release what the source holds."""


class FreshDevices(Source):
    """Simulators: each client gets one of its own."""

    fresh = True

    def __init__(self, kind: str, config: AcceleratorConfig, opener: Callable[[Wish], Device]) -> None:
        self.kind = kind
        self.config = config
        self._opener = opener

    def open(self, wish: Wish) -> Device:
        return self._opener(wish)


class KeptDevice(Source):
    """A board: one device, used by one client after another, and closed with the server."""

    fresh = False

    def __init__(self, kind: str, device: Device) -> None:
        self.kind = kind
        self.config = device.config
        self._device = device

    def open(self, wish: Wish) -> Device:
        return self._device

    def memory_use(self) -> MemoryUse | None:
        return self._device.memory_use()

    def close(self) -> None:
        self._device.close()
