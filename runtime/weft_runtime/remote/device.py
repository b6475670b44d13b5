"""`RemoteDevice`: a device of a server, for host code that does not know that."""

from __future__ import annotations

from typing import Any

import numpy as np
from weft_hardware.config import AcceleratorConfig

from ..device import Bytes, Device, Launch, MemoryUse, RunReport, check_launch
from ..dram import Dram
from .address import Address
from .connection import Connection
from .convert import config_from_json, launch_to_message, memory_from_message, report_from_message
from .errors import RemoteError
from .messages import message


class RemoteDevice(Device):
    """A lease on a server's device: nobody else uses that device until this one is closed.

    Parameters
    ----------
    address : Address or str
        See `address.parse_address`.
    config : AcceleratorConfig, optional
        The configuration that is needed; by default whatever the server has.
    dram : Dram, optional
        The device's only memory, of a simulator: what a launch finds there, and leaves there.
    read_latency : int
        Cycles until a simulated memory answers.
    max_cycles : int, optional
        Cycles that a launch may take, where time is simulated; at most the server's own limit.

    Raises
    ------
    RemoteError
        If the server does not answer, or has no such device, or none gets free in time.
    """

    def __init__(
        self,
        address: Address | str,
        config: AcceleratorConfig | None = None,
        *,
        dram: Dram | None = None,
        read_latency: int = 0,
        max_cycles: int | None = None,
    ) -> None:
        self._connection = Connection(address)
        self._dram = dram
        self._sent: Bytes | None = None
        try:
            request = message("LeaseRequest")(
                config_digest="" if config is None else config.digest,
                kind=self._connection.address.device,
                wait_seconds=self._connection.address.wait,
                read_latency=read_latency,
                max_cycles=max_cycles or 0,
            )
            if dram is not None:
                request.memory.base, request.memory.size = dram.base, dram.data.size
                self._sent = np.zeros_like(dram.data)
            self._check_offer(config)
            self._stream = self._connection.stream("Lease", request)
            granted = self._wait()
        except BaseException:
            self._connection.close()
            raise
        self._lease = granted.lease
        self._chunk = int(self._connection.offer.limits.chunk_bytes)
        self.name: str = granted.device.name
        """The device's, on its server."""
        self.kind: str = granted.device.kind
        self.config = config_from_json(granted.device.config_json)

    def allocate(self, nbytes: int) -> int:
        if self._dram is not None:
            return self._dram.allocate(nbytes)
        return int(self._call("Allocate", nbytes=nbytes).address)

    def free(self, address: int) -> None:
        if self._dram is not None:
            self._dram.free(address)
        else:
            self._call("Free", address=address)

    def write(self, address: int, data: Bytes) -> None:
        raw = np.ascontiguousarray(data).view(np.uint8).reshape(-1)
        if self._dram is not None:
            self._dram.view(address, raw.size)[:] = raw
        else:
            self._write(address, raw)

    def read(self, address: int, nbytes: int) -> Bytes:
        if self._dram is not None:
            return self._dram.view(address, nbytes).copy()
        return self._read(address, nbytes)

    def memory_use(self) -> MemoryUse | None:
        if self._dram is not None:
            return self._dram.use()
        reply = self._call("UseOfMemory")
        return memory_from_message(reply.use) if reply.HasField("use") else None

    def launch(self, launch: Launch) -> RunReport:
        check_launch(launch, self.config)
        if self._dram is None:
            return self._launch(launch)
        self._send_memory(self._dram)
        try:
            return self._launch(launch)
        finally:
            self._fetch_memory(self._dram)

    def close(self) -> None:
        """Give the device back, with everything that was allocated on it."""
        self._stream.cancel()
        self._connection.close()

    def _call(self, name: str, **fields: Any) -> Any:
        return self._connection.call(name, message(f"{name}Request")(lease=self._lease, **fields))

    def _launch(self, launch: Launch) -> RunReport:
        return report_from_message(self._connection.call("Launch", launch_to_message(launch, self._lease)))

    def _write(self, address: int, raw: Bytes) -> None:
        for begin in range(0, raw.size, self._chunk):
            part = raw[begin : begin + self._chunk]
            self._call("Write", address=address + begin, data=part.tobytes())

    def _read(self, address: int, nbytes: int) -> Bytes:
        if nbytes < 0:
            raise RemoteError(f"read of {nbytes} bytes at {address:#x} is not possible; read 0 or more")
        out = np.empty(nbytes, np.uint8)
        for begin in range(0, nbytes, self._chunk):
            count = min(self._chunk, nbytes - begin)
            data = self._call("Read", address=address + begin, nbytes=count).data
            out[begin : begin + count] = np.frombuffer(data, np.uint8)
        return out

    def _send_memory(self, dram: Dram) -> None:
        """Write what has changed since the last launch; at first the server's memory is zeros, too."""
        assert self._sent is not None
        for begin in range(0, dram.data.size, self._chunk):
            part = dram.data[begin : begin + self._chunk]
            if not np.array_equal(part, self._sent[begin : begin + self._chunk]):
                self._write(dram.base + begin, part)

    def _fetch_memory(self, dram: Dram) -> None:
        assert self._sent is not None
        dram.data[:] = self._read(dram.base, dram.data.size)
        self._sent[:] = dram.data

    def _check_offer(self, config: AcceleratorConfig | None) -> None:
        """Say what differs if the server has nothing of the configuration."""
        if config is None:
            return
        there = {device.config_digest: device for device in self._connection.offer.devices}
        if config.digest in there:
            return
        wanted = config.to_dict()
        lines = []
        for device in there.values():
            values = config_from_json(device.config_json).to_dict()
            name = next(name for name in wanted if wanted[name] != values[name])
            lines.append(f"{device.name} has {name} = {values[name]}, not {wanted[name]}")
        raise RemoteError(
            f"server {self._connection.address} has no device of the wanted configuration: {', '.join(lines)}; "
            "compile for its configuration, or serve another device"
        )

    def _wait(self) -> Any:
        """The event that the device is ours."""
        with self._connection.explained("Lease"):
            for event in self._stream:
                if event.HasField("granted"):
                    return event.granted
        raise RemoteError(f"server {self._connection.address} ended the wait for a device; try again")
