"""Where built simulators are kept: a directory of the user's, safe against parallel and killed builds."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from weft_runtime.errors import DeviceError

ENVIRONMENT_VARIABLE = "WEFT_CACHE"


def cache_directory(chosen: Path | str | None = None) -> Path:
    """The chosen directory, or ``$WEFT_CACHE``, or the platform's place for caches.

    Raises
    ------
    DeviceError
        If it cannot be written to.
    """
    directory = Path(chosen or os.environ.get(ENVIRONMENT_VARIABLE) or _platform_default()).expanduser()
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeviceError(
            f"cache directory {directory} cannot be made ({error.strerror}); "
            f"set {ENVIRONMENT_VARIABLE} to a directory that can"
        ) from error
    if not os.access(directory, os.W_OK):
        raise DeviceError(
            f"cache directory {directory} is not writable; set {ENVIRONMENT_VARIABLE} to a directory that is"
        )
    return directory


def _platform_default() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "weft"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "weft"


def content_key(*parts: str | bytes) -> str:
    """A name for what is built from these parts: 32 hexadecimal digits of their SHA-256."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:32]


def source_key(files: list[Path]) -> str:
    """A name for the contents of source files."""
    return content_key(*(part for path in sorted(files) for part in (path.name, path.read_bytes())))


def cpu_identity() -> str:
    """What ``-march=native`` depends on: a cache shared between machines must not mix their builds."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    wanted = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)})) or platform.machine()


def touched(path: Path) -> bool:
    """Whether a file is in the cache; if so it is from now on the last to make room for others."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def keep_within(directory: Path, pattern: str, max_bytes: int) -> None:
    """Remove the files of a pattern that were not `touched` the longest, until the others fit.

    Others may do the same at the same time: a file that is gone takes no room.
    """
    files = []
    for file in directory.glob(pattern):
        with suppress(FileNotFoundError):
            files.append((file.stat(), file))
    left = max_bytes
    for status, file in sorted(files, key=lambda entry: entry[0].st_mtime, reverse=True):
        left -= status.st_size
        if left < 0:
            file.unlink(missing_ok=True)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock file; a killed holder releases it."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def work_directory(path: Path) -> Iterator[Path]:
    """An empty directory for one build, beside ``path``, removed afterwards; what killed builds left is removed first.

    The caller holds the lock that makes it the only user. No name comes twice: a compiler that outlived the build it
    belonged to finds its directory gone, and cannot write into another's.
    """
    for left in path.parent.glob(f"{path.name}*"):
        shutil.rmtree(left, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix=f"{path.name}.", dir=path.parent))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
