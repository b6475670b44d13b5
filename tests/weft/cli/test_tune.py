"""``weft tune`` on the digit reader: records, Ctrl-C, going on, and wrong input."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
from support.command import weft
from weft_compiler.records import read_records

for package in ("onnx", "llvmlite", "xdsl", "numba", "lightgbm"):
    pytest.importorskip(package, reason=f"needs {package}")

DIGITS = files("weft.models").joinpath("digits.onnx")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """Records of a tuning that nobody interrupted, and what it printed."""
    records = tmp_path_factory.mktemp("tuned") / "records.jsonl"
    result = weft("tune", DIGITS, "--records", records, "--trials", 96, "--seed", 3, "--json")
    assert (result.code, result.err) == (0, "")
    return records, json.loads(result.out)


def cycles_of(path: Path) -> int:
    result = weft("profile", path, "--device", "timing", "--json")
    assert result.code == 0, result.err
    return json.loads(result.out)["total"]["cycles"]


def test_it_makes_the_network_faster_and_says_by_how_much(tuned, tmp_path):
    records, values = tuned
    network = values["network"]
    assert network["tuned_cycles"] < network["default_cycles"]
    for name, options in (("default", ()), ("tuned", ("--records", records))):
        result = weft("compile", DIGITS, "-o", tmp_path / f"{name}.weft", "--json", *options)
        assert (result.code, result.err) == (0, "")
        assert cycles_of(tmp_path / f"{name}.weft") == network[f"{name}_cycles"]
    tuned_layers = json.loads(result.out)
    assert tuned_layers["layers_tunable"] == tuned_layers["layers_tuned"] == len(values["layers"])
    assert (values["trials"], values["measured"], values["known"]) == (96, 96, 0)
    assert values["reason"].startswith("all 96 trials are spent; ")
    found = read_records([records]).found
    assert len(found) == 96
    for layer in values["layers"]:
        of_layer = [record for record in found if record.layer == layer["layer"]]
        assert len(of_layer) == layer["trials"]
        assert of_layer[0].cycles == layer["default_cycles"]
        assert min(record.cycles for record in of_layer if record.cycles) == layer["tuned_cycles"]


def test_records_that_misfit_leave_the_place_to_the_next_best(tuned, tmp_path):
    whole, values = tuned
    found = read_records([whole]).found
    first, last = values["layers"][0]["layer"], values["layers"][-1]["layer"]
    others = {"order": ["q"], "tiles": {"q": 1}, "levels": {}, "slots": {}}
    wrong = [
        replace(next(r for r in found if r.layer == layer), candidate=others, cycles=1, failure=None)
        for layer in (first, last)
    ]
    records = tmp_path / "records.jsonl"
    kept = [record for record in found if record.layer != last]
    records.write_text("".join(record.to_line() for record in [*wrong, *kept]), encoding="utf-8")
    result = weft("compile", DIGITS, "-o", tmp_path / "net.weft", "--records", records, "--json")
    assert result.code == 0
    reason = "it says no loops, tiles, levels and slots (KeyError('inp'))"
    assert result.err.splitlines() == [
        f"weft: layer {layer['name']}: the record of 1 cycles of {record.time} cannot be used: {reason}; "
        f"the layer has {instead}; tune it anew"
        for layer, record, instead in (
            (values["layers"][0], wrong[0], "the next best record that fits"),
            (values["layers"][-1], wrong[1], "the compiler's own schedule"),
        )
    ]
    said = json.loads(result.out)
    assert (said["layers_tunable"], said["layers_tuned"]) == (len(values["layers"]), len(values["layers"]) - 1)


@pytest.mark.slow
def test_the_table(tuned, tmp_path):
    records, values = tuned
    result = weft("tune", DIGITS, "--records", records, "--trials", 96, "--seed", 3)
    assert (result.code, result.err) == (0, "")
    assert len(read_records([records]).found) == 96
    *rows, why, network = result.out.splitlines()
    assert rows[0].split() == ["layer", "times", "trials", "default", "tuned", "gain", "why", "no", "further"]
    assert [row.split()[0] for row in rows[1:]] == [layer["name"] for layer in values["layers"]]
    assert why == values["reason"] + "; 0 measured, 96 known from records"
    assert network.startswith("whole network, layers overlapping: ")


def test_stopped_by_ctrl_c_it_goes_on_as_if_nothing_had_happened(tuned, tmp_path):
    whole, values = tuned
    records = tmp_path / "records.jsonl"
    command = [sys.executable, "-m", "weft", "tune", str(DIGITS), "--records", str(records)]
    command += ["--trials", "100000", "--seed", "3", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 120
        while not (records.exists() and records.read_bytes().count(b"\n") >= 20):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert (process.returncode, err) == (130, "")
    summary = json.loads(out)
    assert "network" not in summary
    kept = read_records([records])
    assert not kept.damage
    # Where a batch was under way its first records are kept, too.
    assert summary["measured"] == len(kept.found) >= summary["trials"]
    again = weft("tune", DIGITS, "--records", records, "--trials", 96, "--seed", 3, "--json")
    assert again.code == 0, again.err
    resumed = json.loads(again.out)
    assert resumed["known"] == min(len(kept.found), 96)
    assert resumed["layers"] == values["layers"]
    assert resumed["network"] == values["network"]
    if len(kept.found) < 96:
        assert _cycles(records) == _cycles(whole)


def _cycles(path: Path) -> set[tuple[str, str, int | None]]:
    return {(r.layer, json.dumps(r.candidate), r.cycles) for r in read_records([path]).found}


@pytest.mark.slow
def test_a_damaged_line_is_named_and_measured_again(tuned, tmp_path):
    whole, values = tuned
    records = tmp_path / "records.jsonl"
    lines = whole.read_text(encoding="utf-8").splitlines(keepends=True)
    records.write_text("".join([*lines[:7], lines[7].replace('"cycles": ', '"cycles": 1'), *lines[8:]]))
    result = weft("tune", DIGITS, "--records", records, "--trials", 96, "--seed", 3, "--json")
    assert result.code == 0
    assert result.err == (
        f"weft: {records}:8: its checksum differs: the line was changed after it was written; the line is left out\n"
    )
    again = json.loads(result.out)
    assert (again["measured"], again["layers"]) == (1, values["layers"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("--device", "functional"),
            "weft: device 'functional' measures no schedules; use timing, tsim, or",
        ),
        (
            ("--device", "sim"),
            "weft: device 'sim' measures no schedules; use timing, tsim, or",
        ),
        (("--config", "vat"), "weft: "),
        (("--trials", "0"), "weft: Invalid value for '--trials': Input should be greater than or equal to 1"),
        (("--records", "/"), "weft: records / cannot be read: Is a directory; "),
    ],
)
def test_wrong_input_is_one_sentence(arguments, sentence, tmp_path):
    result = weft("tune", DIGITS, "--records", tmp_path / "records.jsonl", *arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(sentence)
    assert result.err.count("\n") == 1
    assert not (tmp_path / "records.jsonl").exists()


def test_wrong_models_and_places(tmp_path):
    (tmp_path / "text.onnx").write_text("no network")
    for model in (tmp_path / "text.onnx", tmp_path / "missing.onnx"):
        result = weft("tune", model, "--records", tmp_path / "records.jsonl")
        assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    result = weft("tune", DIGITS)
    assert (result.code, result.out) == (2, "")
    assert "Missing option '--records'" in result.err
    nowhere = tmp_path / "missing" / "records.jsonl"
    result = weft("tune", DIGITS, "--records", nowhere)
    assert result.err == (
        f"weft: records {nowhere} cannot be written: No such file or directory; "
        "give a path that can, or make room: what is written is kept\n"
    )


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_one_sentence():
    result = weft("tune", DIGITS, "--records", "/dev/full", "--trials", 16)
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        "weft: records /dev/full cannot be written: No space left on device; "
        "give a path that can, or make room: what is written is kept\n"
    )
