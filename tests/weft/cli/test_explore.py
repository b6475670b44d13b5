"""``weft explore``: wrong input in one sentence, and a small exploration from end to end."""

import json

import pytest
from support.command import weft
from weft.models import digits_onnx
from weft_explore.objectives import OBJECTIVES

SPACE = '[space]\nblock_in = [8, 16]\nblock_out = { same = "block_in" }\ninp_depth = [128, 2048]\n'


@pytest.fixture
def files(tmp_path):
    (tmp_path / "space.toml").write_text(SPACE)
    (tmp_path / "digits.onnx").write_bytes(digits_onnx())
    return tmp_path


def explore(files, *arguments: str, workload: str = "digits.onnx"):
    given = ("--workload", str(files / workload), "-o", str(files / "out"))
    return weft("explore", str(files / "space.toml"), *given, "--jobs", "1", "--confirm", "0", *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sampler", "cmaes"], "sampler 'cmaes' does not exist; choose one of nsga2, tpe, random"),
        (
            ["--objective", "cycles,lut"],
            f"objective 'lut' does not exist; choose among {', '.join(OBJECTIVES)} (did you mean 'luts'?)",
        ),
        (["--objective", "cycles,cycles"], "objective 'cycles' is there twice; leave one out"),
        (
            ["--constraint", "cycles < 3"],
            "constraint 'cycles < 3' is not understood; write `fits BOARD`, or a figure and its bound, such as "
            f"`luts <= 40000`, of {', '.join(OBJECTIVES)}",
        ),
        (
            ["--constraint", "fits pynq-z2", "--family", "ecp5"],
            "one exploration is of one FPGA family, not of ecp5 and xc7; "
            "choose --family by the boards that must fit: pynq-z2 (xc7)",
        ),
        (["--technology", "3nm"], "technology '3nm' does not exist; choose one of 45nm, 7nm"),
    ],
)
def test_wrong_input(files, arguments, message):
    result = explore(files, *arguments)
    assert (result.code, result.out, result.err) == (2, "", f"weft: {message}\n")
    assert not (files / "out").exists()


def test_a_workload_that_is_not_there(files):
    result = explore(files, workload="nothing.onnx")
    expected = f"weft: workload '{files / 'nothing.onnx'}' cannot be read: No such file or directory; check its path\n"
    assert (result.code, result.err) == (2, expected)


def test_a_workload_that_is_no_network(files):
    """It is said before anything is written, not once for each design."""
    (files / "junk.onnx").write_bytes(b"junk")
    result = explore(files, workload="junk.onnx")
    expected = "weft: workload 'junk': the ONNX model is not an ONNX file (4 bytes do not parse); export it again\n"
    assert (result.code, result.out, result.err) == (2, "", expected)
    assert not (files / "out").exists()


def test_a_small_space_from_end_to_end(files):
    result = explore(files, "--objective", "cycles,energy", "--budget", "20", "--json")
    assert result.code == 0, result.err
    values = json.loads(result.out)
    assert values["designs"] == values["done"] == 4
    front = values["designs_on_front"]
    assert [row["cycles"] for row in front] == sorted(row["cycles"] for row in front)
    report = json.loads((files / "out" / "exploration.json").read_text())
    assert [row["digest"] for row in front] == [
        row["digest"] for row in sorted(report["designs"], key=lambda row: row["values"]["cycles"]) if row["front"]
    ]
    chosen = next((files / "out" / "front").iterdir())
    module = weft("compile", str(files / "digits.onnx"), "--config", str(chosen), "-o", str(files / "out.weft"))
    assert module.code == 0, module.err
    again = explore(files, "--objective", "cycles,energy", "--budget", "20")
    assert "4 designs, 4 of them done" in again.out
