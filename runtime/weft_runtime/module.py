"""The ``.weft`` format: a zip archive with a manifest, constants and host code, each entry with its SHA-256.

| entry | content |
| --- | --- |
| ``manifest.json`` | everything that is no bulk data; see `manifest` |
| ``manifest.sha256`` | SHA-256 of the manifest, in hexadecimal |
| ``constants/NNNNN.bin`` | weights, biases, scales, micro-ops and instruction streams, little-endian |
| ``host/<triple>.ll``, ``.o``, ``.so`` | host functions as LLVM IR, as an object, and linked |

Equal modules give equal files. A module holds code that runs on the host: load only files that you trust; the
checksums tell damage, not malice.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import IO

from .device import Device
from .errors import ModuleError
from .external_functions import External
from .files import write_atomically
from .host_targets import BARE_TARGETS
from .manifest import from_json, no_number, to_json, unique
from .module_model import MAX_REGION_BYTES, ModuleContent
from .session import Inputs, Outputs, Session

MANIFEST = "manifest.json"
MANIFEST_SUM = "manifest.sha256"
MAX_MANIFEST_BYTES = 1 << 26
MAX_ENTRIES = 100_000
_ENTRY_NAME = re.compile(r"constants/[0-9]{5}\.bin|host/[a-z0-9_-]{1,64}\.(ll|o|so)")
_EPOCH = (1980, 1, 1, 0, 0, 0)
_SAMPLE = 1 << 14
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,  # RecursionError among them
    ValueError,
)
"""What zip archives and JSON that are none raise."""


def _version() -> str:
    try:
        return metadata.version("weft")
    except metadata.PackageNotFoundError:
        return "unknown"


def _first_words(error: Exception) -> str:
    """What a library says, without the pieces of the file that it may quote at length."""
    text = str(error)
    return text if len(text) <= 100 else text[:97] + "..."


def _compression(data: bytes) -> int:
    """How an entry is stored: weights shrink by a tenth, which is not worth the time that packing takes."""
    sample = data[:_SAMPLE]
    return zipfile.ZIP_DEFLATED if len(zlib.compress(sample, 1)) < 0.75 * len(sample) else zipfile.ZIP_STORED


class Module:
    """A compiled network.

    Parameters
    ----------
    content : ModuleContent
        What the compiler produced, or a file held.
    functions : Mapping, optional
        The external functions that its steps call, by name; see `external_functions`. They are no part of the file.
    """

    def __init__(self, content: ModuleContent, functions: Mapping[str, External] | None = None):
        self.content = content
        self.functions = dict(functions or {})

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one run, over all layers."""
        return sum(layer.macs for layer in self.content.layers)

    def run(self, device: Device, inputs: Inputs) -> Outputs:
        """Load the module on a device and run it once; see `session.Session.run`, which repeats without loading."""
        with Session(self, device) as session:
            return session.run(inputs)

    def export(self, path: str | Path, target: str = "x86_64") -> Path:
        """Write the module as a shared library with a C interface, and its header beside it; see docs/export.md.

        Parameters
        ----------
        path : path
            Of the library, such as ``net.so``.
        target : str
            ``"armv7"``, ``"aarch64"``, ``"x86_64"`` or ``"riscv64"``: Linux, with floats in hardware.

        Returns
        -------
        Path
            The header.

        Raises
        ------
        ModuleError
            If the ``export`` extra is missing, a step calls Python, or a file cannot be written.
        """
        from .export.library import export_library

        return export_library(self.content, path, target)

    def linked(self) -> Module:
        """The same module, whose host code is also carried as shared libraries: loading them needs no llvmlite.

        One for each Linux that it has an object for (``weft.compile(…, host_targets=…)``).

        Raises
        ------
        ModuleError
            If the ``export`` extra is missing.
        """
        from .export.host_library import link_host_code

        return Module(link_host_code(self.content), self.functions)

    def export_bare_metal(self, folder: str | Path, targets: Sequence[str] = BARE_TARGETS) -> list[Path]:
        """Write the module as C99 that needs no system and no library; see docs/export.md.

        Parameters
        ----------
        targets : sequence of str
            Processors that the host's operators are compiled for, by the names of `weft.compile`'s host targets.

        Returns
        -------
        list of Path
            The files.

        Raises
        ------
        ModuleError
            If a target does not exist, a step calls Python, or a file cannot be written.
        """
        from .export.bare_metal import export_bare_metal

        return export_bare_metal(self.content, folder, targets)

    def save(self, path: str | Path) -> None:
        """Write the module, whole or not at all.

        Raises
        ------
        ModuleError
            If the file cannot be written; an older file at the path is then left as it was.
        """
        try:
            write_atomically(Path(path), self._write)
        except OSError as error:
            raise ModuleError(f"module file {path} cannot be written: {error.strerror}; choose another path") from None

    def _write(self, stream: IO[bytes]) -> None:
        manifest, entries = to_json(self.content, _version())
        text = json.dumps(manifest, indent=1, sort_keys=True, allow_nan=False).encode()
        every = {MANIFEST: text, MANIFEST_SUM: hashlib.sha256(text).hexdigest().encode(), **entries}
        with zipfile.ZipFile(stream, "w") as archive:
            for name, data in every.items():
                info = zipfile.ZipInfo(name, _EPOCH)
                info.compress_type = _compression(data)
                archive.writestr(info, data)

    @classmethod
    def load(cls, path: str | Path, functions: Mapping[str, External] | None = None) -> Module:
        """Read a module.

        Parameters
        ----------
        functions : Mapping, optional
            The external functions that it calls, by name.

        Raises
        ------
        ModuleError
            If the file is missing, truncated, of another format version, or damaged in any way.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                return cls(_Archive(archive, path).content(), functions)
        except MemoryError:
            raise ModuleError(
                f"module file {path} does not fit this machine's memory; check where it is from"
            ) from None
        except _DAMAGED as error:
            raise ModuleError(
                f"module file {path} is truncated or not a .weft file ({_first_words(error)}); compile the model again"
            ) from None
        except OSError as error:
            reason = error.strerror or "it ends early"
            raise ModuleError(f"module file {path} cannot be read: {reason}; check the path") from None


class _Archive:
    """Reads entries of an open archive, each against its checksum."""

    def __init__(self, archive: zipfile.ZipFile, path: str | Path):
        self._archive = archive
        self._path = path
        self._infos = {info.filename: info for info in archive.infolist()}
        if len(self._infos) != len(archive.infolist()) or len(self._infos) > MAX_ENTRIES:
            raise ModuleError(f"module file {path} has repeated or too many entries; compile the model again")

    def _read(self, name: str, limit: int) -> bytes:
        info = self._infos.get(name)
        if info is None:
            raise ModuleError(f"module file {self._path} has no entry {name!r}; compile the model again")
        if info.file_size > limit:
            raise ModuleError(
                f"module file {self._path}: entry {name!r} has {info.file_size} bytes, more than {limit}; "
                "compile the model again"
            )
        if info.compress_type not in _COMPRESSIONS:
            raise ModuleError(
                f"module file {self._path}: entry {name!r} is compressed by method {info.compress_type}, and modules "
                "are stored or deflated; compile the model again"
            )
        with self._archive.open(info) as stream:
            return stream.read(limit + 1)

    def _check(self, name: str, data: bytes, expected: str) -> None:
        if hashlib.sha256(data).hexdigest() != expected:
            raise ModuleError(
                f"module file {self._path}: the checksum of {name!r} does not match, the file is damaged; "
                "compile the model again"
            )

    def _entry(self, name: str, nbytes: int, expected: str) -> bytes:
        if not _ENTRY_NAME.fullmatch(name):
            raise ModuleError(f"module file {self._path}: {name!r} is no entry name; compile the model again")
        data = self._read(name, nbytes)
        self._check(name, data, expected)
        return data

    def content(self) -> ModuleContent:
        text = self._read(MANIFEST, MAX_MANIFEST_BYTES)
        self._check(MANIFEST, text, self._read(MANIFEST_SUM, 64).decode("ascii", "replace"))
        value = json.loads(text, object_pairs_hook=unique, parse_constant=no_number)
        entries = value.get("entries") if isinstance(value, dict) else None
        declared = {MANIFEST, MANIFEST_SUM, *(entries if isinstance(entries, dict) else self._infos)}
        if extra := sorted(self._infos.keys() - declared):
            raise ModuleError(f"module file {self._path} has an undeclared entry {extra[0]!r}; compile the model again")
        if sum(info.file_size for info in self._infos.values()) > 2 * MAX_REGION_BYTES:
            raise ModuleError(f"module file {self._path} is too large; compile the model again")
        return from_json(value, self._entry)
