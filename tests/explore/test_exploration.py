"""Explorations in a directory: what they write, and that they go on where they were."""

import json
from pathlib import Path

import pytest
from support.explored import plan, summary
from weft_explore import files
from weft_explore.area import RunawayError
from weft_explore.constraints import parse_constraints
from weft_explore.errors import ExploreError
from weft_explore.evaluate import Outcome
from weft_explore.exploration import DONE, FAILED, INFEASIBLE, Exploration
from weft_explore.objectives import parse_objectives
from weft_explore.space import parse_space
from weft_explore.workers import ThisProcess
from weft_hardware.presets import load_config
from weft_hardware.synth.tools import Bounds

pytest.importorskip("optuna", reason="needs optuna, of the explore extra")


class Made:
    """Workers whose outcomes follow from the design at once; counts what is asked, and stops when told to."""

    def __init__(self, stop_after: int = 1 << 30) -> None:
        self.evaluated: list[str] = []
        self.stop_after = stop_after

    def outcomes(self, designs, rough=False):
        for number, design in reversed(list(enumerate(designs))):
            if len(self.evaluated) == self.stop_after:
                raise KeyboardInterrupt
            self.evaluated.append(design.digest)
            config = design.config
            if config.inp_depth == 64:
                yield number, Outcome.failed("no tile fits")
                continue
            cycles = 10**9 // (config.macs * config.axi_bytes) + 10**6 // config.inp_depth
            yield number, Outcome({"digits": cycles}, {"digits": {"macs": config.macs, "dram_bytes": config.acc_depth}})

    def __enter__(self):
        return self

    def __exit__(self, *exc: object) -> None:
        pass


def test_a_real_exploration_writes_table_front_and_report(tmp_path):
    exploration = Exploration(plan(), tmp_path)
    explored = exploration.run(8, ThisProcess(plan().evaluator))
    report = json.loads((tmp_path / "exploration.json").read_text())
    assert [row["id"] for row in report["designs"]] == list(range(8))
    assert report["objectives"][0] == {"name": "cycles", "unit": "cycles", "goal": "min"}
    front = [row for row in report["designs"] if row["front"]]
    assert front
    for row in front:
        assert load_config(tmp_path / row["file"]).to_dict() == row["config"]
        assert sum(layer["cycles"] for layer in row["layers"]) == row["values"]["cycles"]
    assert sorted(path.name for path in (tmp_path / "front").iterdir()) == sorted(
        Path(row["file"]).name for row in front
    )
    lines = (tmp_path / "designs.csv").read_text().splitlines()
    assert len(lines) == 9
    assert lines[0].startswith("id,state,front,cycles,energy,batch,block_in,")
    assert all(found.state == DONE for found in explored)


@pytest.mark.parametrize("sampler", ["nsga2", "tpe", "random"])
def test_one_that_is_interrupted_anywhere_goes_on_to_the_same_designs(tmp_path, sampler):
    whole = Exploration(plan(sampler=sampler), tmp_path / "whole")
    at_once = Made()
    whole.run(24, at_once)
    assert len(set(at_once.evaluated)) == len(at_once.evaluated) == 24
    for stops in (0, 3, 9, 23):
        folder = tmp_path / f"after{stops}"
        first, second = Made(stop_after=stops), Made()
        with pytest.raises(KeyboardInterrupt):
            Exploration(plan(sampler=sampler), folder).run(24, first)
        again = Exploration(plan(sampler=sampler), folder)
        again.run(24, second)
        assert summary(again) == summary(whole)
        assert sorted(first.evaluated + second.evaluated) == sorted(at_once.evaluated)


def test_a_larger_budget_goes_on(tmp_path):
    Exploration(plan(), tmp_path).run(6, Made())
    workers = Made()
    longer = Exploration(plan(), tmp_path)
    longer.run(14, workers)
    assert len(workers.evaluated) == 8
    assert len(longer.explored) == 14


def test_designs_that_fail_or_break_a_bound_are_kept_and_never_on_the_front(tmp_path):
    exploration = Exploration(plan(constraints=parse_constraints(["cycles <= 600_000"])), tmp_path)
    exploration.run(30, Made())
    states = {found.state for found in exploration.explored}
    assert states == {DONE, FAILED, INFEASIBLE}
    for found in exploration.explored:
        assert (found.state == FAILED) == (found.design.config.inp_depth == 64)
        assert found.state != FAILED or found.reason == "no tile fits"
        assert (
            found.state != INFEASIBLE or found.reason == f"cycles = {found.values['cycles']:g} breaks cycles <= 600_000"
        )
    assert {found.state for found in exploration.front()} == {DONE}


def test_a_bug_is_recorded_as_failed_and_logged(tmp_path):
    exploration, workers = Exploration(plan(), tmp_path), Made()
    made = workers.outcomes

    def outcomes(designs, rough=False):
        for number, outcome in made(designs, rough):
            yield (
                number,
                Outcome.failed("a bug", "Traceback\nKeyError") if designs[number].config.inp_depth == 128 else outcome,
            )

    workers.outcomes = outcomes
    exploration.run(12, workers)
    failed = [found for found in exploration.explored if found.reason == "a bug"]
    assert failed
    assert len(exploration.explored) == 12
    log = (tmp_path / "errors.log").read_text()
    assert log.count("Traceback\nKeyError\n") == len(failed)
    assert all(f"design {found.design.digest[:16]}: {{" in log for found in failed)


def test_clocks_are_routed_and_unknown_where_the_part_is_too_small(tmp_path, monkeypatch):
    def routed(config, packed, cache, bounds):
        if config.block_in == 8:
            raise ExploreError("nextpnr-ecp5 needed more than 1800 s")
        return None if config.block_in == 16 else 50.0 + config.epilogue_lanes

    monkeypatch.setattr("weft_explore.area.routed_mhz", routed)
    small = parse_space(
        'base = "pynq"\n[space]\nblock_in = [4, 8, 16]\nblock_out = { same = "block_in" }\nepilogue_lanes = [1, 4]\n'
    )
    chosen = plan(space=small, family="ecp5", objectives=parse_objectives(["time,fmax"]), screened=4)
    exploration = Exploration(chosen, tmp_path)
    exploration.run(9, ThisProcess(chosen.evaluator))
    assert len(exploration.explored) == 6
    for found in exploration.explored:
        config = found.design.config
        told = {4: (DONE, None), 8: (FAILED, "routing: nextpnr-ecp5 needed more than 1800 s")}
        unknown = (INFEASIBLE, "fmax is unknown: the LFE5U-85F cannot hold the design")
        assert (found.state, found.reason) == told.get(config.block_in, unknown)
        if found.state == DONE:
            assert found.values["fmax"] == 50 + config.epilogue_lanes
            assert found.values["time"] == round(found.values["cycles"] / found.values["fmax"], 3)
    with pytest.raises(ExploreError) as caught:
        plan(objectives=parse_objectives(["time"]))
    assert str(caught.value) == (
        "fmax and time need a routed design, and no open router covers xc7; choose --family ecp5, or leave them out"
    )


def test_what_took_more_than_its_bounds_is_tried_again_with_others_alone(tmp_path, monkeypatch):
    tried = []

    def routed(config, packed, cache, bounds):
        tried.append(bounds)
        if bounds.seconds < 100:
            raise RunawayError("nextpnr-ecp5 was ended after 61 s")
        return 80.0

    def run(seconds):
        tried.clear()
        chosen = plan(
            space=small, family="ecp5", objectives=parse_objectives(["time"]), screened=0, bounds=Bounds(seconds)
        )
        exploration = Exploration(chosen, tmp_path)
        exploration.run(2, ThisProcess(chosen.evaluator))
        return [(found.state, found.reason) for found in exploration.explored]

    monkeypatch.setattr("weft_explore.area.routed_mhz", routed)
    small = parse_space('base = "tiny8"\n[space]\nepilogue_lanes = [1, 4]\n')
    ended = [(FAILED, "routing: nextpnr-ecp5 was ended after 61 s")] * 2
    assert run(60) == ended
    assert len(tried) == 2
    assert run(60) == ended
    assert tried == []
    assert run(3600) == [(DONE, None)] * 2
    assert tried == [Bounds(3600)] * 2
    assert run(60) == [(DONE, None)] * 2
    assert tried == []


def test_a_full_disk_is_one_sentence_and_nothing_is_lost(tmp_path, monkeypatch):
    workers, full = Made(), tmp_path / "full"
    append = files.os.fsync

    def fsync(handle):
        if len(workers.evaluated) == 7:
            raise OSError(28, "No space left on device")
        append(handle)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", fsync)
        with pytest.raises(ExploreError) as caught:
            Exploration(plan(), full).run(12, workers)
    assert str(caught.value) == (
        f"{full / 'results.jsonl'} cannot be written: No space left on device; make room or choose another directory, "
        "then start again: what was evaluated is kept"
    )
    again = Exploration(plan(), full)
    again.run(12, Made())
    whole = Exploration(plan(), tmp_path / "whole")
    whole.run(12, Made())
    assert summary(again) == summary(whole)


def test_a_space_that_is_used_up_ends_early(tmp_path):
    small = parse_space('base = "pynq"\n[space]\ninp_depth = [256, 512, 1024]\nepilogue_lanes = [8, 32]\n')
    exploration = Exploration(plan(space=small), tmp_path)
    exploration.run(50, Made())
    assert len(exploration.explored) == 3
    one = Exploration(plan(space=parse_space("[space]\ninp_depth = 256\n")), tmp_path / "one")
    one.run(50, Made())
    assert len(one.explored) == 1


def test_a_directory_of_another_exploration_is_refused(tmp_path):
    Exploration(plan(), tmp_path).run(4, Made())
    with pytest.raises(ExploreError) as caught:
        Exploration(plan(seed=1), tmp_path).run(4, Made())
    assert str(caught.value) == (
        f"{tmp_path} holds an exploration with other seed; "
        "give the same ones to go on with it, or choose another directory"
    )


@pytest.mark.parametrize("line", ["{", "[]", '{"op_code": 0}', '{"op_code": 4, "worker_id": "x"}', "\\xff"])
def test_a_damaged_journal_is_named(tmp_path, line):
    Exploration(plan(), tmp_path).run(4, Made())
    journal = tmp_path / "journal.log"
    journal.write_bytes(line.encode("latin-1") + b"\n" + journal.read_bytes())
    with pytest.raises(ExploreError) as caught:
        Exploration(plan(), tmp_path).run(8, Made())
    assert str(caught.value).startswith(f"{journal} is damaged (")
    assert str(caught.value).endswith("); choose another directory")


def test_a_damaged_result_is_evaluated_again(tmp_path):
    first = Exploration(plan(), tmp_path)
    first.run(8, Made())
    path = tmp_path / "results.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b'{"key": "x"\n', *lines[3:]]))
    again, workers = Exploration(plan(), tmp_path), Made()
    again.run(8, workers)
    assert len(workers.evaluated) == 1
    assert summary(again) == summary(first)


def test_torn_files_are_mended(tmp_path):
    whole = Exploration(plan(), tmp_path / "whole")
    whole.run(12, Made())
    Exploration(plan(), tmp_path / "torn").run(8, Made())
    for name in ("journal.log", "results.jsonl"):
        with (tmp_path / "torn" / name).open("ab") as file:
            file.write(b'{"op_code": 4, "wor')
    again = Exploration(plan(), tmp_path / "torn")
    again.run(12, Made())
    assert summary(again) == summary(whole)
