"""Writing a directory whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from .errors import BoardError

MARKER = "project.json"
"""The file by which a directory of ours is known, and may be replaced."""


def write_directory(target: Path, files: Mapping[str, str | bytes]) -> None:
    """Write files below ``target``, which appears, or is replaced, when all are complete.

    Raises
    ------
    BoardError
        If there is something else at ``target`` than an earlier directory of ours, or it cannot be written; what was
        there is then left as it was.
    """
    assert MARKER in files
    if target.exists() and not (target.is_dir() and (not any(target.iterdir()) or (target / MARKER).is_file())):
        raise BoardError(f"{target} exists and is no project of weft's; choose another directory for -o, or remove it")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise BoardError(f"directory {target} cannot be written: {error.strerror}; choose another for -o") from None
    try:
        os.chmod(unfinished, 0o755)
        for name, content in files.items():
            path = unfinished / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        _replace(unfinished, target)
    except OSError as error:
        raise BoardError(f"directory {target} cannot be written: {error.strerror}; choose another for -o") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _replace(new: Path, target: Path) -> None:
    """Put a directory in another's place: a rename each, and what was there comes back if the second fails."""
    if not target.exists():
        os.rename(new, target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
    os.rename(target, old / "kept")
    try:
        os.rename(new, target)
    except OSError:
        os.rename(old / "kept", target)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
