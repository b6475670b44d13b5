"""The cache: where it lies, who may build at a time, what a killed build leaves."""

import multiprocessing
import os
import re
import sys
import time
from pathlib import Path

import pytest
from weft_runtime.errors import DeviceError
from weft_simulator.tsim.cache import (
    cache_directory,
    content_key,
    exclusive,
    keep_within,
    source_key,
    touched,
    work_directory,
)


def test_an_argument_beats_the_environment_beats_the_platform(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("WEFT_CACHE", raising=False)
    if sys.platform != "darwin":
        assert cache_directory() == tmp_path / "xdg" / "weft"
    monkeypatch.setenv("WEFT_CACHE", str(tmp_path / "chosen"))
    assert cache_directory() == tmp_path / "chosen"
    assert cache_directory(tmp_path / "argument") == tmp_path / "argument"
    assert (tmp_path / "argument").is_dir()


def test_a_directory_that_cannot_be_made_is_one_sentence(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    message = (
        f"cache directory {file / 'below'} cannot be made (Not a directory); set WEFT_CACHE to a directory that can"
    )
    with pytest.raises(DeviceError, match=f"^{re.escape(message)}$"):
        cache_directory(file / "below")


def test_keys_differ_with_content_and_its_division():
    assert content_key("a", "b") == content_key("a", "b")
    assert content_key("a", "b") != content_key("ab")
    assert content_key("a", "b") != content_key("a", "c")


def test_the_source_key_follows_content_not_time(tmp_path):
    file = tmp_path / "rtl.py"
    file.write_text("one")
    before = source_key([file])
    os.utime(file, (0, 0))
    assert source_key([file]) == before
    file.write_text("two")
    assert source_key([file]) != before


def _hold(path: Path, held) -> None:
    with exclusive(path):
        held.set()
        time.sleep(60)


def test_a_killed_holder_releases_the_lock(tmp_path):
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    holder = context.Process(target=_hold, args=(tmp_path / "lock", held))
    holder.start()
    assert held.wait(30)
    holder.kill()
    holder.join()
    with exclusive(tmp_path / "lock"):
        pass


def test_a_work_directory_starts_empty_and_disappears(tmp_path):
    left = tmp_path / "model.build"
    left.mkdir()
    (left / "half.o").write_text("from a killed build")
    with work_directory(left) as directory:
        assert list(directory.iterdir()) == []
        (directory / "new.o").write_text("")
    assert list(tmp_path.iterdir()) == []


def test_no_work_directory_is_used_twice(tmp_path):
    """What a killed build's compiler still writes goes nowhere."""
    with work_directory(tmp_path / "model.build") as one:
        pass
    with work_directory(tmp_path / "model.build") as other:
        assert other != one


def test_files_that_others_remove_meanwhile_take_no_room(tmp_path):
    kept = tmp_path / "kept.so"
    kept.write_text("model")
    (tmp_path / "gone.so").symlink_to(tmp_path / "nothing")  # listed, but not there when it is looked at
    keep_within(tmp_path, "*.so", 5)
    assert touched(kept)
    assert not touched(tmp_path / "gone.so")
