"""Reading and writing files: a failure is one sentence, and an output is written whole or not at all."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from weft_runtime import files

from weft.errors import UsageError


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"file {path} cannot be read: {error.strerror or error}; check its path") from None


def read_bytes(path: Path) -> bytes:
    """The whole file."""
    with _readable(path):
        return path.read_bytes()


def read_arrays(path: Path) -> NDArray | dict[str, NDArray]:
    """The array in a ``.npy`` file, or those in a ``.npz`` by name; pickled objects are refused."""
    with _readable(path):
        try:
            content = np.load(path, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return content
            with content:
                return dict(content)
        except OSError:
            raise
        except Exception as error:  # numpy and zipfile meet damage with a dozen classes
            raise UsageError(f"file {path} holds no array ({error}); save it with numpy.save") from None


def write_arrays(path: Path, names: Sequence[str], arrays: Sequence[NDArray]) -> None:
    """One array as ``.npy``, several as ``.npz`` by name; see `write_atomically`."""
    if len(arrays) == 1:
        write_atomically(path, lambda file: np.save(file, arrays[0]))
    else:
        write_atomically(path, lambda file: _write_npz(file, names, arrays))


def _write_npz(file: IO[bytes], names: Sequence[str], arrays: Sequence[NDArray]) -> None:
    """As `numpy.savez`, whose keywords leave no room for arrays named ``file`` or ``allow_pickle``."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in zip(names, arrays, strict=True):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


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
