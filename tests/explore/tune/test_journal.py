"""Measuring with records: nothing twice, nothing lost."""

import errno
import os
import re
from pathlib import Path

import pytest
from support.toy_problem import ToyProblem
from weft_compiler.errors import CompileError
from weft_compiler.records import read_records
from weft_explore.tune.journal import Journal, JournalError
from weft_explore.tune.tuner import Tuning

CONFIG = "c0ffee"


def journal(path: Path, *others: Path, device: str = "timing", read_latency: int = 0, at_once: int = 16) -> Journal:
    memory = {"read_latency": read_latency}
    return Journal(path, others, config=CONFIG, device=device, memory=memory, seed=1, at_once=at_once)


def tune(path: Path, trials: int, problem: ToyProblem | None = None) -> Tuning:
    with journal(path) as records:
        tuning = Tuning([problem or ToyProblem()], records.measure, seed=1)
        tuning.run(trials)
    return tuning


def test_every_measurement_is_a_record(tmp_path: Path) -> None:
    problem = ToyProblem()
    tuning = tune(tmp_path / "records.jsonl", 40, problem)
    found = read_records([tmp_path / "records.jsonl"])
    assert len(found.found) == 40
    assert not found.damage
    outcomes = {
        problem.from_json(record.candidate): record.failure if record.cycles is None else record.cycles
        for record in found.found
    }
    assert outcomes == {candidate: problem.cost(candidate) for candidate in outcomes}
    best = found.best(CONFIG)[problem.layer]
    assert best.cycles == tuning.tasks[0].best
    assert (best.name, best.device, best.memory, best.seed) == ("toy", "timing", {"read_latency": 0}, 1)


def test_a_second_run_measures_nothing_again(tmp_path: Path) -> None:
    first = tune(tmp_path / "records.jsonl", 40)
    again = ToyProblem()
    second = tune(tmp_path / "records.jsonl", 40, again)
    assert again.asked == 0
    assert second.tasks[0].candidate == first.tasks[0].candidate
    tune(tmp_path / "records.jsonl", 60, again)
    assert again.asked == 20


@pytest.mark.parametrize("cut", range(0, 2000, 97))
def test_killed_anywhere_it_goes_on_as_if_nothing_had_happened(tmp_path: Path, cut: int) -> None:
    whole, broken = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"
    uninterrupted = tune(whole, 48)
    content = whole.read_bytes()
    assert len(content) > 2000
    broken.write_bytes(content[:-cut] if cut else content)
    problem = ToyProblem()
    resumed = tune(broken, 48, problem)
    kept = content[: len(content) - cut].count(b"\n")
    if content[: len(content) - cut].endswith(b"}"):
        kept += 1  # only the newline is missing
    assert problem.asked == 48 - kept
    assert resumed.tasks[0].candidate == uninterrupted.tasks[0].candidate
    found = read_records([broken])
    assert len(found.found) == 48
    assert len(found.damage) <= 1


def test_other_devices_memories_and_configurations_are_measured_anew(tmp_path: Path) -> None:
    path, problem = tmp_path / "records.jsonl", ToyProblem()
    for options in ({}, {"device": "tsim"}, {"read_latency": 50}):
        with journal(path, **options) as records:
            assert records.measure(problem, [problem.default]) == [problem.cost(problem.default)]
            assert (records.measured, records.known) == (1, 0)
    with journal(path, device="tsim") as records:
        records.measure(problem, [problem.default])
        assert (records.measured, records.known) == (0, 1)


def test_records_of_others_are_known_and_stay_as_they_are(tmp_path: Path) -> None:
    theirs, ours, problem = tmp_path / "theirs.jsonl", tmp_path / "ours.jsonl", ToyProblem()
    tune(theirs, 20)
    before = theirs.read_bytes()
    with journal(ours, theirs) as records:
        Tuning([problem], records.measure, seed=1).run(20)
    assert problem.asked == 0
    assert theirs.read_bytes() == before
    assert ours.read_bytes() == b""


def test_what_takes_long_is_written_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"

    class Broken(ToyProblem):
        def measure(self, candidates):
            if self.asked == 5:
                raise KeyboardInterrupt
            return super().measure(candidates)

    with journal(path, at_once=1) as records, pytest.raises(KeyboardInterrupt):
        Tuning([Broken()], records.measure, seed=1).run(40)
    assert len(read_records([path]).found) == 5


def test_a_full_disk_is_a_sentence_and_keeps_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real = tmp_path / "records.jsonl", os.write
    room = [2000]

    def write(file: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part = data[: room[0]]
        room[0] -= len(part)
        return real(file, part)

    monkeypatch.setattr(os, "write", write)
    name = re.escape(str(path))
    with pytest.raises(JournalError, match=rf"^records {name}: only \d+ of \d+ bytes could be written; make room$"):
        tune(path, 40)
    with pytest.raises(
        JournalError,
        match=f"^records {name} cannot be written: No space left on device; give a path that can, or "
        "make room: what is written is kept$",
    ):
        tune(path, 40)
    monkeypatch.undo()
    before = len(read_records([path]).found)
    assert before > 1
    problem = ToyProblem()
    tune(path, 40, problem)
    assert problem.asked == 40 - before


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(CompileError, match=f"^records {re.escape(str(tmp_path))} cannot be read: Is a directory; "):
        journal(tmp_path)
    missing = tmp_path / "missing" / "records.jsonl"
    with pytest.raises(JournalError, match=f"^records {re.escape(str(missing))} cannot be written: No such file or"):
        journal(missing)
