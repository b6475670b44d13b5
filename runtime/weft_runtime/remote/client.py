"""`Server`: modules that a server keeps and runs, from the client's side."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from weft_hardware.config import AcceleratorConfig

from ..device import MemoryUse
from ..errors import ModuleError
from ..module import Module
from ..session import Inputs, LayerProfile, Outputs
from .address import Address
from .connection import Connection
from .convert import config_from_json, layer_from_message, memory_from_message, tensor_from_message, tensor_to_message
from .errors import RemoteError
from .messages import message


@dataclass(frozen=True)
class OfferedDevice:
    """A device of a server.

    ``fresh`` is one that each client gets for itself; ``memory`` is what of another's memory is taken, None while it is
    in use, or where it does not say.
    """

    name: str
    kind: str
    config: AcceleratorConfig
    in_use: bool
    fresh: bool
    memory: MemoryUse | None


@dataclass(frozen=True)
class RemoteRun:
    """One run on a server.

    Parameters
    ----------
    outputs : array or tuple of arrays
    cycles : int or None
        Of all launches; None where the device models no time.
    seconds : float
        On the server, without waiting for its turn.
    layers : list of LayerProfile
        What each layer took; empty if not asked for.
    """

    outputs: Outputs
    cycles: int | None
    seconds: float
    layers: list[LayerProfile]


class RemoteModule:
    """A module that lies on a server under a name."""

    def __init__(self, connection: Connection, info: Any) -> None:
        self._connection = connection
        self.name: str = info.name
        self.sha256: str = info.sha256
        self.inputs: tuple[str, ...] = tuple(tensor.name for tensor in info.inputs)
        self.outputs: tuple[str, ...] = tuple(tensor.name for tensor in info.outputs)

    def run(self, inputs: Inputs, *, device: str = "") -> Outputs:
        """Run once.

        Parameters
        ----------
        inputs : Mapping, sequence or array
            As for `session.Session.run`.
        device : str
            The kind of device; any of the module's configuration by default.

        Raises
        ------
        WeftError
            As `session.Session.run`, or what is wrong with the link.
        """
        (run,) = self.stream([inputs], device=device)
        return run.outputs

    def profile(self, inputs: Inputs, *, device: str = "") -> RemoteRun:
        """Run once and say what each layer took."""
        (run,) = self.stream([inputs], device=device, profile=True)
        return run

    def stream(self, many: Iterable[Inputs], *, device: str = "", profile: bool = False) -> Iterator[RemoteRun]:
        """Run on each of any number of inputs; results come while later inputs are still sent.

        An error ends the stream, one in making the inputs after the results of those before. Between two runs other
        clients have their turn.
        """
        failures: list[Exception] = []
        stream = self._connection.stream("Run", self._requests(many, device, profile, failures))
        try:
            with self._connection.explained("Run"):
                for reply in stream:
                    yield _run_of(reply)
        finally:
            stream.cancel()
        if failures:
            raise failures[0]

    def _requests(self, many: Iterable[Inputs], device: str, profile: bool, failures: list[Exception]) -> Iterator[Any]:
        """The requests, made on gRPC's thread, where nobody would see an error: it is kept for who waits."""
        try:
            for inputs in many:
                tensors = [tensor_to_message(name, values) for name, values in self._by_name(inputs).items()]
                yield message("RunRequest")(module=self.name, kind=device, profile=profile, inputs=tensors)
        except Exception as error:
            failures.append(error)

    def _by_name(self, inputs: Inputs) -> Mapping[str, Any]:
        if isinstance(inputs, Mapping):
            return inputs
        values = [inputs] if isinstance(inputs, np.ndarray | np.generic) else list(inputs)
        if len(values) != len(self.inputs):
            raise ModuleError(
                f"{len(values)} inputs were passed, the model takes {len(self.inputs)}: {', '.join(self.inputs)}"
            )
        return dict(zip(self.inputs, values, strict=True))


class Server:
    """A server's devices and modules.

    Parameters
    ----------
    address : Address or str
        See `address.parse_address`.

    Raises
    ------
    RemoteError
        If it does not answer, or refuses the token.
    """

    def __init__(self, address: Address | str) -> None:
        self._connection = Connection(address)

    def devices(self) -> list[OfferedDevice]:
        """What the server offers, now."""
        offer = self._connection.call("Describe", message("DescribeRequest")())
        return [_offered(device) for device in offer.devices]

    def upload(self, module: Module | str | Path, name: str = "", *, replace: bool = False) -> RemoteModule:
        """Give a module to the server, which keeps it until it is removed or the server ends.

        Parameters
        ----------
        module : Module, or the path of its file
        name : str
            What to call it; its SHA-256 by default.
        replace : bool
            Take the place of another module of this name.

        Raises
        ------
        WeftError
            If the server refuses it: too large, damaged, of a configuration that no device there has, or with host
            code on a server that runs none.
        """
        data = _file_of(module)
        limits = self._connection.offer.limits
        if len(data) > limits.module_bytes:
            raise RemoteError(
                f"module of {len(data)} bytes is larger than the server's limit of {limits.module_bytes}; "
                "raise the server's --module-limit"
            )
        requests = _pieces(data, name, replace, int(limits.chunk_bytes))
        return RemoteModule(self._connection, self._connection.call("Upload", requests))

    def modules(self) -> list[str]:
        """Names of the modules that the server keeps."""
        return [info.name for info in self._connection.call("ListModules", message("ListModulesRequest")()).modules]

    def module(self, name: str) -> RemoteModule:
        """A module that the server keeps.

        Raises
        ------
        RemoteError
            If there is none of the name.
        """
        reply = self._connection.call("ListModules", message("ListModulesRequest")())
        for info in reply.modules:
            if info.name == name:
                return RemoteModule(self._connection, info)
        raise RemoteError(f"the server has no module {name!r}; upload it first")

    def remove(self, name: str) -> None:
        """Have the server forget a module."""
        self._connection.call("RemoveModule", message("RemoveModuleRequest")(name=name))

    def close(self) -> None:
        """End the connection; modules stay."""
        self._connection.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _offered(device: Any) -> OfferedDevice:
    memory = memory_from_message(device.memory) if device.HasField("memory") else None
    config = config_from_json(device.config_json)
    return OfferedDevice(device.name, device.kind, config, device.in_use, device.fresh, memory)


def _file_of(module: Module | str | Path) -> bytes:
    if isinstance(module, Module):
        with tempfile.TemporaryDirectory(prefix="weft-upload-") as folder:
            path = Path(folder) / "module.weft"
            module.save(path)
            return path.read_bytes()
    try:
        return Path(module).read_bytes()
    except OSError as error:
        reason = error.strerror or error
        raise ModuleError(f"module file {module} cannot be read: {reason}; check the path") from None


def _pieces(data: bytes, name: str, replace: bool, chunk: int) -> Iterator[Any]:
    request = message("UploadRequest")
    yield request(name=name, size=len(data), replace=replace, chunk=data[:chunk])
    for begin in range(chunk, len(data), chunk):
        yield request(chunk=data[begin : begin + chunk])


def _run_of(reply: Any) -> RemoteRun:
    outputs = tuple(tensor_from_message(tensor).copy() for tensor in reply.outputs)
    return RemoteRun(
        outputs[0] if len(outputs) == 1 else outputs,
        int(reply.cycles) if reply.HasField("cycles") else None,
        reply.seconds,
        [layer_from_message(layer) for layer in reply.layers],
    )
