"""Arrays in files; apart from `files`, so that verbs without arrays start without numpy."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from weft.errors import UsageError

from .files import readable, write_atomically


def read_arrays(path: Path) -> NDArray | dict[str, NDArray]:
    """The array in a ``.npy`` file, or those in a ``.npz`` by name; pickled objects are refused."""
    with readable(path):
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
