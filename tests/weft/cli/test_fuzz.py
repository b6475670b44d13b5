"""``weft fuzz``: what it prints, what it keeps, and its exit codes."""

import json

import pytest
from support.command import weft
from weft_hardware.presets import PRESETS
from weft_simulator.lockstep.generator import generate
from weft_simulator.lockstep.record import Record

pytest.importorskip("llvmlite", reason="needs the compiler extra (llvmlite)")

BREAK = """
from weft_simulator.functional import device
launch = device.FunctionalDevice.launch
def wrong(self, order):
    report = launch(self, order)
    if order.insn_count % 2 == 0:
        self.dram.data[-1] ^= 1
    return report
device.FunctionalDevice.launch = wrong
"""
"""The functional simulator spoils a byte behind every program of an even number of instructions."""


def test_nothing_differs(tmp_path):
    result = weft("fuzz", "--programs", "9", "--config", "tiny4", "--device", "functional", "--json", cwd=tmp_path)
    assert result.code == 0, result.err
    assert json.loads(result.out) == {
        "configurations": 1,
        "programs": 9,
        "first_seed": 0,
        "failures": 0,
        "files": None,
    }
    assert not list(tmp_path.iterdir())


@pytest.mark.rtl
def test_the_rtl(tmp_path):
    result = weft("fuzz", "--programs", "6", "--config", "tiny4", "--stalls", "--faults", "--seed", "3", cwd=tmp_path)
    assert result.code == 0, result.err
    assert result.out == "configurations: 1\nprograms: 6\nfirst seed: 3\nfailures: 0\n"


def test_what_differs_is_kept_and_runs_again(tmp_path):
    arguments = ("fuzz", "--programs", "4", "--config", "tiny4", "--device", "functional")
    result = weft(*arguments, cwd=tmp_path, prelude=BREAK)
    assert result.code == 1
    kept = sorted((tmp_path / "fuzz-failures").iterdir())
    assert kept
    replay = ("fuzz", "--replay", kept[0], "--device", "functional")
    assert weft(*replay, prelude=BREAK).code == 1
    assert weft(*replay).code == 0


def test_replay_says_what_it_found(tmp_path):
    Record(generate(PRESETS["tiny4"], 1)).save(tmp_path / "p.npz")
    result = weft("fuzz", "--replay", "p.npz", "--device", "functional", cwd=tmp_path)
    assert (result.code, result.out) == (0, "program: p.npz\ndifference: none\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "board"], "device 'board' cannot be fuzzed; use functional or tsim"),
        (["--replay", "none.npz"], "recorded program 'none.npz' cannot be read: No such file or directory"),
    ],
)
def test_wrong_input(arguments, message, tmp_path):
    result = weft("fuzz", "--programs", "1", *arguments, cwd=tmp_path)
    assert (result.code, result.out, result.err) == (2, "", f"weft: {message}\n")
