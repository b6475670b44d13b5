"""Files: a failure is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from weft.cli.files import write_atomically
from weft.errors import UsageError


def test_a_folder_is_no_file_to_write(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        write_atomically(tmp_path, lambda file: file.write(b""))
    assert str(caught.value) == f"file {tmp_path} cannot be written: Is a directory; choose another path"
