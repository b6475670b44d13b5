"""Uploaded modules that stay loaded on one device of the server, the least recently run leaving first."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ..device import Device
from ..errors import DeviceError
from ..module import Module
from ..session import LayerProfile, Session
from .sources import Source, Wish


@dataclass(frozen=True)
class RunResult:
    """What one run gave."""

    outputs: tuple[NDArray[Any], ...]
    layers: list[LayerProfile]
    seconds: float


class Residents:
    """Sessions on one device; used by the device's thread alone.

    Parameters
    ----------
    source : Source
        The device is opened with the first run.
    wish : Wish
        How.
    most : int
        Sessions kept.
    """

    def __init__(self, source: Source, wish: Wish, most: int) -> None:
        self._source = source
        self._wish = wish
        self._most = most
        self._device: Device | None = None
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def run(self, key: str, module: Module, inputs: Mapping[str, NDArray[Any]]) -> RunResult:
        """Run a module once, loading it if it is not.

        Raises
        ------
        WeftError
            As `Session` and its ``run``.
        """
        session = self._session(key, module)
        begin = time.perf_counter()
        result = session.run(inputs)
        seconds = time.perf_counter() - begin
        outputs = result if isinstance(result, tuple) else (result,)
        return RunResult(outputs, session.last_profile, seconds)

    def drop(self, key: str) -> None:
        """Unload a module, if it is loaded."""
        session = self._sessions.pop(key, None)
        if session is not None:
            session.close()

    def make_room(self) -> bool:
        """Unload the module that was run longest ago; False if there is none."""
        if not self._sessions:
            return False
        self._sessions.popitem(last=False)[1].close()
        return True

    def close(self) -> None:
        """Unload everything and close the device."""
        while self.make_room():
            pass
        if self._device is not None and self._source.fresh:
            self._device.close()
        self._device = None

    def _session(self, key: str, module: Module) -> Session:
        if key in self._sessions:
            self._sessions.move_to_end(key)
            return self._sessions[key]
        if self._device is None:
            self._device = self._source.open(self._wish)
        while len(self._sessions) >= self._most:
            self.make_room()
        while True:
            try:
                self._sessions[key] = Session(module, self._device)
            except DeviceError:
                if not self.make_room():
                    raise
            else:
                return self._sessions[key]
