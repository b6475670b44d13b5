"""Wall time of `weft demo`, once with an empty simulator cache and once with a warm one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time


def _run(cache: str) -> float:
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "weft", "demo", "--json"],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "WEFT_CACHE": cache},
    )
    return time.perf_counter() - start


def measure() -> dict[str, float]:
    """Seconds of two whole processes; the C++ compiler's own cache is left as it is."""
    with tempfile.TemporaryDirectory() as cache:
        cold = _run(cache)
        return {"cold_seconds": round(cold, 1), "warm_seconds": round(_run(cache), 1)}
