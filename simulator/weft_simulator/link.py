"""A simulator for programs of other languages: registers over a Unix socket, memory as a file that both sides map.

Messages are 16 bytes each way, little-endian: kind (u32), offset (u32), value (u64). The other side is
`runtime/weft_runtime/c/weft_links.c`. One client has the device at a time, others wait for it to leave.
"""

from __future__ import annotations

import mmap
import os
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from types import TracebackType

import numpy as np
from weft_runtime.device import Device
from weft_runtime.dram import Dram
from weft_runtime.errors import DeviceError

from .ports import port_of

VERSION = 1
MEMORY_BYTES = 64 << 20
_MESSAGE = struct.Struct("<IIQ")
_REFUSED = 0xFFFFFFFF
_POLL_SECONDS = 0.2


class Kind(IntEnum):
    """What a client asks for; another kind in the answer means a refusal."""

    HELLO = 0
    """Value: the version. Answer: the address of the memory's first byte."""
    READ = 1
    """Answer: the register at the offset."""
    WRITE = 2
    WAIT = 3
    """Let a running program go on for a while."""
    ALLOCATE = 4
    """Value: bytes of memory for this client. Answer: their address."""


class LinkServer:
    """Serves one device at a path, until it is closed.

    Parameters
    ----------
    path : Path
        Of the socket; the memory is the file ``PATH.memory``. Both are gone afterwards.
    open_device : callable
        Opens the device with the memory that it is given.
    memory_bytes : int
        Size of the memory.

    Raises
    ------
    DeviceError
        If the socket or the memory cannot be made.
    """

    def __init__(self, path: Path | str, open_device: Callable[[Dram], Device], memory_bytes: int = MEMORY_BYTES):
        self.path = Path(path)
        self._memory_path = Path(f"{path}.memory")
        if memory_bytes < 1:
            raise DeviceError(f"memory_bytes = {memory_bytes} holds nothing; give at least 1")
        self._listener = self._listen()
        try:
            handle = os.open(self._memory_path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "r+b") as file:
                file.truncate(memory_bytes)
                memory = mmap.mmap(file.fileno(), memory_bytes)
            self.dram = Dram(np.frombuffer(memory, np.uint8))
            self.device = open_device(self.dram)
        except BaseException as error:
            self._remove()
            if isinstance(error, OSError):
                raise DeviceError(
                    f"memory {self._memory_path} cannot be made: {error.strerror}; choose another path"
                ) from None
            raise
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="weft-link", daemon=True)
        self._thread.start()

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._remove_abandoned()
            listener.bind(str(self.path))
            os.chmod(self.path, 0o600)
            listener.listen()
        except OSError as error:
            listener.close()
            raise DeviceError(f"socket {self.path} cannot be made: {error}; choose another path") from None
        listener.settimeout(_POLL_SECONDS)
        return listener

    def _remove_abandoned(self) -> None:
        """A socket that nobody listens at is what a server that was killed left behind."""
        if not self.path.is_socket():
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, suppress(ConnectionRefusedError):
            probe.connect(str(self.path))
            raise OSError("a device is served there already")
        self.path.unlink()

    def _remove(self) -> None:
        self._listener.close()
        for path in (self.path, self._memory_path):
            with suppress(OSError):
                path.unlink()

    def close(self) -> None:
        """Disconnect whoever is there, and close the device."""
        self._closing.set()
        self._thread.join()
        self.device.close()
        self._remove()

    def __enter__(self) -> LinkServer:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _serve(self) -> None:
        while not self._closing.is_set():
            with suppress(TimeoutError):
                connection, _ = self._listener.accept()
                with connection:
                    connection.settimeout(_POLL_SECONDS)
                    _Client(connection, self).serve()

    @property
    def closing(self) -> bool:
        """Whether clients are to be disconnected."""
        return self._closing.is_set()


class _Client:
    """One connection, which has the device until it ends; what it allocated is freed then."""

    def __init__(self, connection: socket.socket, server: LinkServer) -> None:
        self._connection, self._server = connection, server
        self._device = server.device
        self._port = port_of(server.device)
        self._allocated: list[int] = []

    def serve(self) -> None:
        with self._device.lock:
            try:
                # A broken pipe, a device that fails, nonsense: the client is disconnected, the server goes on.
                with suppress(OSError, DeviceError, ValueError):
                    while (message := self._receive()) is not None:
                        self._connection.sendall(_MESSAGE.pack(*self._answer(*message)))
            finally:
                for address in self._allocated:
                    self._device.free(address)
                with suppress(DeviceError):
                    self._port.release()

    def _receive(self) -> tuple[int, int, int] | None:
        data = b""
        while len(data) < _MESSAGE.size:
            try:
                part = self._connection.recv(_MESSAGE.size - len(data))
            except TimeoutError:
                if self._server.closing:
                    return None
                continue
            if not part:
                return None
            data += part
        return _MESSAGE.unpack(data)

    def _answer(self, kind: int, offset: int, value: int) -> tuple[int, int, int]:
        match kind:
            case Kind.HELLO if value == VERSION:
                return kind, offset, self._server.dram.base
            case Kind.READ:
                return kind, offset, self._port.read(offset & ~3)
            case Kind.WRITE:
                self._port.write(offset & ~3, value & 0xFFFFFFFF)
                return kind, offset, 0
            case Kind.WAIT:
                self._port.wait()
                return kind, offset, 0
            case Kind.ALLOCATE:
                try:
                    address = self._device.allocate(value)
                except DeviceError:
                    return _REFUSED, offset, 0
                self._allocated.append(address)
                return kind, offset, address
        return _REFUSED, offset, 0
