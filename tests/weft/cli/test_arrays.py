"""Arrays in files: any name comes back, and any damage is one sentence."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from weft.cli.arrays import read_arrays, write_arrays
from weft.errors import UsageError

RNG = np.random.default_rng(21)


def header(shape: str) -> bytes:
    """A .npy file of no data that claims a shape."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def archive(compress: bool) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(stream, x=np.arange(99), y=np.zeros(5))
    return stream.getvalue()


def pickled() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([{}], object), allow_pickle=True)
    return stream.getvalue()


def test_arrays_come_back_under_any_name(tmp_path: Path) -> None:
    names = ["file", "allow_pickle", "args", "a/b"]
    arrays = [RNG.integers(0, 9, (2, k + 1)) for k in range(len(names))]
    write_arrays(tmp_path / "out.npz", names, arrays)
    found = read_arrays(tmp_path / "out.npz")
    assert isinstance(found, dict)
    assert list(found) == names
    for name, array in zip(names, arrays, strict=True):
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("shape", ["(99999999999999,)", "(-1,)", "(True,)", "(10**9,)", "(1,", "(7,)"])
def test_impossible_headers(shape: str, tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(header(shape))
    with pytest.raises(UsageError, match=r"^file .*x\.npy holds no array \(.*\); save it with numpy\.save$"):
        read_arrays(tmp_path / "x.npy")


@pytest.mark.parametrize("compress", [False, True])
def test_a_damaged_archive_is_an_array_or_a_sentence(compress: bool, tmp_path: Path) -> None:
    path, whole, refused = tmp_path / "x.npz", archive(compress), 0
    for _ in range(200):
        data = np.frombuffer(whole, np.uint8).copy()
        data[RNG.integers(0, len(data), 3)] = RNG.integers(0, 256, 3)
        path.write_bytes(data.tobytes())
        try:
            read_arrays(path)
        except UsageError:
            refused += 1
    assert refused > 100


def test_pickles_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(pickled())
    with pytest.raises(UsageError, match="holds no array"):
        read_arrays(tmp_path / "x.npy")
