"""Reading and writing files: a failure is one sentence, and an output is written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from weft_runtime import files

from weft.errors import UsageError


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what reading a file may raise into one sentence."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"file {path} cannot be read: {error.strerror or error}; check its path") from None


def read_bytes(path: Path) -> bytes:
    """The whole file."""
    with readable(path):
        return path.read_bytes()


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """As `weft_runtime.files.write_atomically`.

    Raises
    ------
    UsageError
        If the file cannot be written; what was at ``path`` is then left as it was.
    """
    try:
        files.write_atomically(path, write)
    except OSError as error:
        raise UsageError(f"file {path} cannot be written: {error.strerror or error}; choose another path") from None
