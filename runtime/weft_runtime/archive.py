"""The zip archive behind a ``.weft`` file: written the same way every time, read against its checksums.

What the manifest means is `manifest`'s; here it says only which entries there are.
"""

from __future__ import annotations

import hashlib
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import IO

from .errors import ModuleError
from .files import write_atomically
from .manifest_fields import Fields, parse

MANIFEST = "manifest.json"
MANIFEST_SUM = "manifest.sha256"
MAX_MANIFEST_BYTES = 1 << 26
MAX_ENTRIES = 100_000
MAX_REGION_BYTES = 1 << 31
"""Bytes that each region of one module may take, and so any entry."""

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


def own_version() -> str:
    """Weft's, which modules carry."""
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


def write_file(path: str | Path, data: bytes) -> None:
    """Write a module's file, whole or not at all.

    Raises
    ------
    ModuleError
        If the file cannot be written; an older file at the path is then left as it was.
    """
    try:
        write_atomically(Path(path), lambda stream: stream.write(data))
    except OSError as error:
        raise ModuleError(f"module file {path} cannot be written: {error.strerror}; choose another path") from None


def pack(manifest: bytes, entries: Mapping[str, bytes], stream: IO[bytes]) -> None:
    """Write an archive of the manifest and the entries that it lists."""
    every = {MANIFEST: manifest, MANIFEST_SUM: hashlib.sha256(manifest).hexdigest().encode(), **entries}
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in every.items():
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type = _compression(data)
            archive.writestr(info, data)


@contextmanager
def opened(path: str | Path, file: IO[bytes] | None = None) -> Iterator[Archive]:
    """A module's file, or its content as a stream, for the block that reads it.

    Raises
    ------
    ModuleError
        If the file is missing, truncated or damaged, whatever in the block finds it.
    """
    try:
        with zipfile.ZipFile(path if file is None else file) as archive:
            yield Archive(archive, path)
    except MemoryError:
        raise ModuleError(f"module file {path} does not fit this machine's memory; check where it is from") from None
    except _DAMAGED as error:
        raise ModuleError(
            f"module file {path} is truncated or not a .weft file ({_first_words(error)}); compile the model again"
        ) from None
    except OSError as error:
        reason = error.strerror or "it ends early"
        raise ModuleError(f"module file {path} cannot be read: {reason}; check the path") from None


class Archive:
    """An open archive; each entry is read against its checksum."""

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

    def manifest(self) -> Fields:
        """The manifest, which lists all that the archive holds."""
        text = self._read(MANIFEST, MAX_MANIFEST_BYTES)
        self._check(MANIFEST, text, self._read(MANIFEST_SUM, 64).decode("ascii", "replace"))
        value = parse(text)
        entries = value.get("entries") if isinstance(value, dict) else None
        declared = {MANIFEST, MANIFEST_SUM, *(entries if isinstance(entries, dict) else self._infos)}
        if extra := sorted(self._infos.keys() - declared):
            raise ModuleError(f"module file {self._path} has an undeclared entry {extra[0]!r}; compile the model again")
        if sum(info.file_size for info in self._infos.values()) > 2 * MAX_REGION_BYTES:
            raise ModuleError(f"module file {self._path} is too large; compile the model again")
        return Fields(value)

    def entries(self, manifest: Fields) -> Iterator[tuple[str, bytes]]:
        """Name and content of all that the manifest lists."""
        listing = manifest.object("entries")
        for name in listing.raw:
            entry = listing.object(name)
            nbytes, expected = entry.integer("nbytes", 0, MAX_REGION_BYTES), entry.text("sha256", 64)
            if not _ENTRY_NAME.fullmatch(name):
                raise ModuleError(f"module file {self._path}: {name!r} is no entry name; compile the model again")
            data = self._read(name, nbytes)
            self._check(name, data, expected)
            yield name, data
