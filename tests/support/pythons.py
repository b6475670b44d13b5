"""Other Python interpreters of this machine."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path


@cache
def python310() -> str | None:
    """A Python 3.10 that has numpy and tomli, or None."""
    candidates = [shutil.which("python3.10"), *sorted(Path.home().glob(".pyenv/versions/3.10.*/bin/python"))]
    for candidate in candidates:
        if candidate is not None and _has_base(str(candidate)):
            return str(candidate)
    return None


def _has_base(python: str) -> bool:
    """A shim of a version manager may exist and not run."""
    probe = [python, "-c", "import sys, numpy, tomli; sys.exit(sys.version_info[:2] != (3, 10))"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0
