"""Ctrl-C at a terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from weft.zoo import float_network

for package in ("onnx", "llvmlite", "xdsl"):
    pytest.importorskip(package, reason=f"needs {package}")

SHOW_CURSOR = "\x1b[?25h"

INTERRUPTED = (130, -signal.SIGINT)
"""What a shell calls 130: Python ends by the signal itself where it came while text was executed."""


def interrupted(arguments: list[str], begun: Callable[[], bool]) -> tuple[int, str]:
    """Run ``weft`` at a pseudo-terminal and type Ctrl-C once it has begun: its code, and what the terminal shows."""
    pid, terminal = pty.fork()
    if pid == 0:
        # A shell's background jobs ignore Ctrl-C, and so would all that they start.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.execv(sys.executable, [sys.executable, "-m", "weft", *arguments])
    shown, typed, deadline = b"", False, time.monotonic() + 60
    while time.monotonic() < deadline:
        if not typed and begun():
            os.write(terminal, b"\x03")
            typed = True
        if not select.select([terminal], [], [], 0.005)[0]:
            continue
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # nobody is at the other end any more
            break
    else:
        os.kill(pid, signal.SIGKILL)
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def test_a_compilation_shows_how_far_it_is_and_leaves_nothing(tmp_path: Path) -> None:
    model, dump, output = (tmp_path / name for name in ("model.onnx", "ir", "out"))
    model.write_bytes(float_network("resnet18", size=32, width=8))
    output.mkdir()
    arguments = ["compile", str(model), "-o", str(output / "model.weft"), "--dump-ir", str(dump)]
    code, shown = interrupted(arguments, lambda: dump.exists() and len(list(dump.iterdir())) > 3)
    assert code in INTERRUPTED, shown
    assert "compile" in shown
    assert "%" in shown
    assert shown.rfind(SHOW_CURSOR) > shown.rfind("^C") >= 0
    assert "Traceback" not in shown
    assert not list(output.iterdir())
