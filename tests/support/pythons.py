"""Other Python interpreters of this machine."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

from weft_simulator.tsim.cache import cache_directory, content_key, exclusive

BASE = ("numpy==1.26.*", "tomli>=2.0")
"""What a board installs, at its oldest."""


@cache
def python310() -> str | None:
    """A Python 3.10 with numpy 1.26 and tomli, and nothing else: an environment kept in the cache.

    None without a Python 3.10 on PATH or under ``~/.pyenv``, or where pip reaches no packages.
    """
    candidates = [shutil.which("python3.10"), *sorted(Path.home().glob(".pyenv/versions/3.10.*/bin/python"))]
    found = next((str(candidate) for candidate in candidates if candidate and _is_310(str(candidate))), None)
    return found and _environment(found)


def _is_310(python: str) -> bool:
    """A shim of a version manager may exist and not run."""
    probe = [python, "-c", "import sys; sys.exit(sys.version_info[:2] != (3, 10))"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def _environment(python: str) -> str | None:
    directory = cache_directory() / "environments" / f"base-3.10-{content_key(python, *BASE)[:12]}"
    directory.parent.mkdir(exist_ok=True)
    inside = str(directory / "bin" / "python")
    with exclusive(directory.with_suffix(".lock")):
        if not (directory / "complete").exists():
            shutil.rmtree(directory, ignore_errors=True)
            for step in ([python, "-m", "venv", str(directory)], [inside, "-m", "pip", "install", "--quiet", *BASE]):
                if subprocess.run(step, capture_output=True, check=False, timeout=600).returncode:
                    return None
            (directory / "complete").touch()
    return inside
