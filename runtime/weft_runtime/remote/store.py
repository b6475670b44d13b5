"""Modules that clients gave to the server."""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ..errors import ModuleError
from ..module import Module
from ..module_model import ExternalStep, HostStep, ModuleContent
from .errors import RemoteError
from .limits import Limits

MAX_NAME = 200
"""Characters of a module's name."""


@dataclass(frozen=True)
class Stored:
    """One module; ``sha256`` is that of its file."""

    name: str
    sha256: str
    module: Module


def load_module(data: bytes, limits: Limits, *, allow_host_code: bool) -> Module:
    """Read an uploaded file, unless it is larger, or may do more, than the server lets it.

    Raises
    ------
    RemoteError, ModuleError
        If it is, or is no module.
    """
    with tempfile.TemporaryDirectory(prefix="weft-upload-") as folder:
        path = Path(folder) / "uploaded.weft"
        path.write_bytes(data)
        _check_unpacked(path, limits)
        try:
            module = Module.load(path)
        except ModuleError as error:
            raise ModuleError(str(error).replace(str(path), "uploaded")) from None
    check_trusted(module.content, limits, allow_host_code=allow_host_code)
    return module


def _check_unpacked(path: Path, limits: Limits) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            nbytes = sum(info.file_size for info in archive.infolist())
    except Exception:
        return  # loading says what is wrong with it
    if nbytes > limits.module_bytes:
        raise RemoteError(
            f"module unpacks to {nbytes} bytes, the server takes {limits.module_bytes}; "
            "run it from a client with a Session",
            "RESOURCE_EXHAUSTED",
        )


def check_trusted(content: ModuleContent, limits: Limits, *, allow_host_code: bool) -> None:
    """Refuse what would run code on the server that nobody allowed, or take too much memory.

    Raises
    ------
    RemoteError
        If it would.
    """
    for step in content.steps:
        if isinstance(step, ExternalStep):
            raise RemoteError(
                f"module calls the external function {step.function!r}, which only its client has; "
                "run it there with a Session on the remote device",
                "PERMISSION_DENIED",
            )
    host_steps = sum(isinstance(step, HostStep) for step in content.steps)
    if host_steps and not allow_host_code:
        raise RemoteError(
            f"module has {host_steps} steps of host code, which this server does not run for others; run it with a "
            "Session on the remote device, which executes them on the client, or start the server with "
            "--allow-host-code if you trust whoever can reach it",
            "PERMISSION_DENIED",
        )
    nbytes = sum(content.region_bytes.values())
    if nbytes > limits.memory_bytes:
        raise RemoteError(
            f"module needs {nbytes} bytes of memory, the server gives {limits.memory_bytes}; "
            "raise the server's --memory-limit",
            "RESOURCE_EXHAUSTED",
        )


class Store:
    """Modules by name.

    Parameters
    ----------
    limits : Limits
        How many, and how large.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._modules: dict[str, Stored] = {}

    def all(self) -> list[Stored]:
        """In the order in which they came."""
        return list(self._modules.values())

    def get(self, name: str) -> Stored:
        """The module of a name.

        Raises
        ------
        RemoteError
            If there is none.
        """
        stored = self._modules.get(name)
        if stored is None:
            raise RemoteError(f"the server has no module {name!r}; upload it first", "NOT_FOUND")
        return stored

    def check_name(self, name: str) -> None:
        """Refuse a name that is too long or cannot be printed.

        Raises
        ------
        RemoteError
            If it is.
        """
        if len(name) > MAX_NAME or not name.isprintable():
            raise RemoteError(
                f"module name of {len(name)} characters is too long or not printable; use at most {MAX_NAME}",
                "INVALID_ARGUMENT",
            )

    def add(self, name: str, data: bytes, module: Module, *, replace: bool) -> tuple[Stored, Stored | None]:
        """Keep a module, under its checksum if it has no name.

        Returns
        -------
        stored, replaced
            The module that is kept, and the other one that had its name before.

        Raises
        ------
        RemoteError
            If another module has the name, or there are too many.
        """
        digest = hashlib.sha256(data).hexdigest()
        stored = Stored(name or digest, digest, module)
        there = self._modules.get(stored.name)
        if there is not None and there.sha256 == digest:
            return there, None
        if there is not None and not replace:
            raise RemoteError(
                f"the server has another module {stored.name!r}; choose another name, or replace it", "ALREADY_EXISTS"
            )
        if there is None and len(self._modules) >= self._limits.modules:
            raise RemoteError(
                f"the server keeps {self._limits.modules} modules and has as many; remove one", "RESOURCE_EXHAUSTED"
            )
        self._modules[stored.name] = stored
        return stored, there

    def remove(self, name: str) -> Stored:
        """Forget a module.

        Raises
        ------
        RemoteError
            If there is none of the name.
        """
        stored = self.get(name)
        del self._modules[name]
        return stored
