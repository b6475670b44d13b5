"""Environments with the real pynq package, which pins numpy below 2: one for each version, kept in the cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path

from weft_simulator.tsim.cache import cache_directory, content_key, exclusive

ROOT = Path(__file__).parents[2]

REQUIREMENTS = {
    # pynq 3 imports what pycparser 3 took away.
    "3.1.2": ("pynq==3.1.2", "pycparser<3", "setuptools>=70.1,<81"),
    "4.0.0": ("pynq==4.0.0", "setuptools>=70.1,<81"),
}

FOLDERS = ("hardware", "compiler", "runtime", "simulator", "boards", "explore", "weft", "tests")


@cache
def pynq_python(version: str) -> str | None:
    """The interpreter of an environment with that pynq; None if it cannot be made (no network, for example).

    What is not in it comes from this interpreter's packages: tsim, and what it needs.
    """
    others = sysconfig.get_path("purelib")
    key = content_key(sys.version, others, *REQUIREMENTS[version])
    directory = cache_directory() / "environments" / f"pynq-{version}-{key[:12]}"
    directory.parent.mkdir(exist_ok=True)
    python = directory / "bin" / "python"
    with exclusive(directory.with_suffix(".lock")):
        if not (directory / "complete").exists():
            shutil.rmtree(directory, ignore_errors=True)
            steps = (
                [sys.executable, "-m", "venv", str(directory)],
                [str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS[version]],
            )
            for step in steps:
                if subprocess.run(step, capture_output=True, check=False, timeout=600).returncode:
                    return None
            packages = next((directory / "lib").glob("python*/site-packages"))
            # Last on the path: the environment's own numpy is found first.
            (packages / "zz_others.pth").write_text(f"{others}\n")
            (directory / "complete").touch()
    return str(python)


def environment(board: str) -> dict[str, str]:
    """Variables for a process that uses the RTL as a board."""
    path = os.pathsep.join(str(ROOT / folder) for folder in FOLDERS)
    return {**os.environ, "PYTHONPATH": path, "WEFT_RTL_BOARD": board, "PYTHONWARNINGS": "ignore"}
