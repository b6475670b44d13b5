"""Files of a result directory: they grow by whole lines, or are replaced whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from weft_runtime.files import write_atomically

from .errors import ExploreError


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Say in one sentence that a file cannot be written.

    Raises
    ------
    ExploreError
        If the block raises OSError.
    """
    try:
        yield
    except OSError as error:
        raise ExploreError(
            f"{path} cannot be written: {error.strerror or error}; make room or choose another directory, "
            "then start again: what was evaluated is kept"
        ) from None


def write_text(path: Path, text: str) -> None:
    """Replace a file."""
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file: file.write(text.encode()))


def append_line(path: Path, line: str) -> None:
    """Add a line; it is on disk when this returns."""
    with writable(path), path.open("ab") as file:
        file.write(line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def whole_lines(path: Path) -> list[bytes]:
    """The lines of a file that only grows; what a killed process left of a last one is cut off the file.

    Raises
    ------
    ExploreError
        If the file cannot be read or cut.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ExploreError(f"{path} cannot be read: {error.strerror or error}; check the directory") from None
    end = data.rfind(b"\n") + 1
    if end < len(data):
        with writable(path):
            os.truncate(path, end)
    return data[:end].splitlines()
