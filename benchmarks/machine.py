"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path

RESULTS = ("results.json", "results.md", "*.csv")
"""What benchmarks write beside this file."""


def describe() -> dict[str, str | int]:
    """CPU model, cores, system and Python of this machine."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return {
        "cpu": model,
        "cores": os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def occasion() -> str:
    """The day, and the commit that is checked out."""
    day = datetime.now(timezone.utc).date().isoformat()
    others = [f":(exclude){name}" for name in RESULTS]
    try:
        commit = _git("rev-parse", "--short", "HEAD").strip()
        changes = _git("status", "--porcelain", "--", ":/", *others)
    except (OSError, subprocess.CalledProcessError):
        return day
    return f"{day}, commit {commit}{' and changes' if changes else ''}"


def _git(*command: str) -> str:
    here = Path(__file__).parent
    return subprocess.run(["git", *command], cwd=here, capture_output=True, text=True, check=True).stdout
