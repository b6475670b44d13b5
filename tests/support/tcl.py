"""Scripts for Vivado, run by a real Tcl interpreter with Vivado's commands replaced."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

STAND_IN = Path(__file__).with_name("vivado.tcl")

_TKINTER = "import sys, tkinter; tkinter.Tcl().eval(sys.stdin.read())"
"""Python's own Tcl interpreter, where there is no tclsh; its ``puts`` writes to the same standard output."""


def interpreter() -> list[str]:
    """A command that runs Tcl from its standard input."""
    tclsh = shutil.which("tclsh")
    if tclsh:
        return [tclsh]
    command = [sys.executable, "-c", _TKINTER]
    if subprocess.run(command, input="", text=True, capture_output=True, check=False).returncode:
        pytest.skip("needs tclsh, or a Python with tkinter (Debian: apt install tcl)")
    return command


def run_tcl(script: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a script after the stand-in for Vivado; an error ends it, as in batch mode."""
    text = f"source {{{STAND_IN}}}\nif {{[catch {{\n{script}\n}} message]}} {{ puts stderr $message; exit 1 }}\n"
    return subprocess.run(
        interpreter(), input=text, cwd=directory, text=True, capture_output=True, timeout=60, check=False
    )
