"""Libraries in memory: loaded, unloaded, each with variables of its own."""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from support import exported
from weft_runtime.errors import ModuleError
from weft_runtime.export.library import FLAGS, ZIG_TARGETS
from weft_runtime.host_library import HostLibrary

SOURCE = "static int count; int next(void) { return ++count; } int shared = 7;"


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    exported.need_zig()
    folder = tmp_path_factory.mktemp("library")
    (folder / "a.c").write_text(SOURCE)
    target = ("-target", *ZIG_TARGETS["x86_64"])
    command = [sys.executable, "-m", "ziglang", "cc", *target, *FLAGS, "-shared", "-s", "-o", "a.so", "a.c"]
    subprocess.run(command, cwd=folder, check=True)
    return (folder / "a.so").read_bytes()


def call(library: HostLibrary) -> int:
    return ctypes.CFUNCTYPE(ctypes.c_int)(library.address("next"))()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_each_has_variables_of_its_own(content: bytes) -> None:
    first, second = HostLibrary(content), HostLibrary(content)
    assert [call(first), call(first), call(second)] == [1, 2, 1]
    assert ctypes.c_int.from_address(first.address("shared")).value == 7
    assert first.address("absent") == 0


def test_nothing_is_left(content: bytes) -> None:
    gc.collect()
    before = open_files()
    for _ in range(20):
        assert call(HostLibrary(content)) == 1, "the library of before is gone"
    gc.collect()
    assert open_files() == before
    assert "weft-host-code" not in Path("/proc/self/maps").read_text()


def test_where_files_in_memory_are_not_to_be_had(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    first, second = HostLibrary(content), HostLibrary(content)
    assert [call(first), call(second)] == [1, 1]
    assert all(folder.stat().st_mode & 0o077 == 0 for folder in tmp_path.iterdir())
    del first, second
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_what_is_no_library() -> None:
    before = open_files()
    with pytest.raises(ModuleError) as info:
        HostLibrary(b"nonsense")
    assert str(info.value) == (
        "module's host code cannot be loaded (file too short); compile the model again without linking it "
        "(weft compile --no-link), which needs llvmlite here"
    )
    del info
    gc.collect()
    assert open_files() == before
