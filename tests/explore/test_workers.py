"""Processes that are killed: what evaluates, and the exploration itself."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from support.explored import SPACE, plan, summary
from weft.models import digits_onnx
from weft_explore.design import Design
from weft_explore.evaluate import Outcome
from weft_explore.exploration import Exploration
from weft_explore.workers import LocalProcesses, ThisProcess
from weft_hardware.presets import PRESETS

pytest.importorskip("optuna", reason="needs optuna, of the explore extra")

DEADLY = 77


class Deadly:
    """An evaluator of cycles that follow from the design; one design kills its process."""

    def evaluate(self, design: Design) -> Outcome:
        if design.config.inp_depth == DEADLY:
            os.kill(os.getpid(), signal.SIGKILL)
        return Outcome({"made": design.config.inp_depth}, {})


def test_a_design_that_kills_its_process_fails_alone():
    designs = [Design(replace(PRESETS["pynq"], inp_depth=depth)) for depth in (70, 71, DEADLY, 73, 74)]
    with LocalProcesses(Deadly(), 2) as workers:
        outcomes = dict(workers.outcomes(designs))
    assert outcomes.pop(2).reason == "the process that evaluated it died 2 times"
    assert {number: outcome.cycles for number, outcome in outcomes.items()} == {
        number: {"made": depth} for number, depth in ((0, 70), (1, 71), (3, 73), (4, 74))
    }


class Buggy:
    """An evaluator with a bug."""

    def evaluate(self, design: Design) -> Outcome:
        if design.config.inp_depth == DEADLY:
            raise KeyError("tile")
        return Outcome({"made": 1}, {})


def test_a_bug_in_one_design_is_its_own_alone():
    designs = [Design(replace(PRESETS["pynq"], inp_depth=depth)) for depth in (70, DEADLY, 72)]
    outcomes = dict(ThisProcess(Buggy()).outcomes(designs))
    assert outcomes[1].reason == "a bug in Weft: KeyError: 'tile'; errors.log says where"
    assert outcomes[1].trace.startswith("Traceback (most recent call last):")
    assert outcomes[1].trace.endswith("KeyError: 'tile'\n")
    assert [outcomes[k].cycles for k in (0, 2)] == [{"made": 1}] * 2


LEFT_ALONE = """
import multiprocessing, time, types
from weft_explore.workers import LocalProcesses

with LocalProcesses(types.SimpleNamespace(evaluate=repr), 2) as workers:
    list(workers.outcomes(range(4)))
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    time.sleep(60)
"""


def test_processes_end_with_the_one_that_is_killed():
    parent = subprocess.Popen([sys.executable, "-c", LEFT_ALONE], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    children = [int(pid) for pid in parent.stdout.readline().split()]
    assert children
    parent.kill()
    # The pipe ends when nobody is left who holds it.
    assert parent.communicate(timeout=60) == ("", None)


def test_one_that_is_killed_goes_on_to_the_same_designs(tmp_path):
    """The command itself, with processes of its own, killed at moments that grow; then once to the end."""
    (tmp_path / "space.toml").write_text(SPACE)
    (tmp_path / "digits.onnx").write_bytes(digits_onnx())
    command = [sys.executable, "-m", "weft", "explore", str(tmp_path / "space.toml")]
    command += ["--workload", str(tmp_path / "digits.onnx"), "--objective", "cycles,energy", "--generation", "4"]
    command += ["--screened", "8", "--budget", "12", "--jobs", "1", "--confirm", "0", "-o", str(tmp_path / "out")]
    results, journal = tmp_path / "out" / "results.jsonl", tmp_path / "out" / "journal.log"
    for lines in (1, 5):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not (results.exists() and results.read_bytes().count(b"\n") >= lines):
            time.sleep(0.01)
        process.kill()
        process.wait()
        assert not (tmp_path / "out" / "exploration.json").exists()
    assert journal.exists()
    assert subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0
    kept = [line.split(b'"key": ')[1][:34] for line in results.read_bytes().splitlines()]
    assert len(kept) == len(set(kept)) == 12
    whole = Exploration(plan(screened=8), tmp_path / "whole")
    whole.run(12, ThisProcess(whole.plan.evaluator))
    again = Exploration(plan(screened=8), tmp_path / "out")
    again.run(12, ThisProcess(again.plan.evaluator))
    assert summary(again) == summary(whole)
