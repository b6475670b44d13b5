"""The command line in a process of its own, as a user meets it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Result:
    """Exit code, standard output and standard error."""

    code: int
    out: str
    err: str


def weft(*arguments: str | Path, cwd: Path | None = None, prelude: str = "", timeout: int = 300) -> Result:
    """Run ``weft``; ``prelude`` is Python executed before it, to take something away from the process."""
    start = ["-m", "weft"] if not prelude else ["-c", f"{prelude}\nfrom weft.cli import main\nmain()"]
    done = subprocess.run(
        [sys.executable, *start, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


@contextmanager
def served(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``weft serve`` on a free port of this machine: the process and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "weft", "serve", "--listen", "127.0.0.1:0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("serving on "):
                break
        else:
            raise AssertionError(f"no address after {lines}, but {process.stderr and process.stderr.read()}")
        yield process, lines[-1].split()[2].rstrip(";")
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
