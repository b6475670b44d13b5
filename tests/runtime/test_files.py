"""Files appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from weft_runtime.files import write_atomically


def test_an_interrupted_write_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_text("before")

    def interrupted(file: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(target, interrupted)
    assert target.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("mode", [0o600, 0o755])
def test_permissions_of_a_replaced_file_stay(mode: int, tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_text("before")
    target.chmod(mode)
    write_atomically(target, lambda file: file.write(b"after"))
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("after", mode)


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write_atomically(tmp_path / "out", lambda file: file.write(b""))
    assert os.stat(tmp_path / "out").st_mode == os.stat(tmp_path / "usual").st_mode


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(pipe, lambda file: file.write(b"through"))
    assert os.read(reader, 100) == b"through"
    os.close(reader)
