"""``weft synth``: wrong input in one sentence, and one accelerator measured from end to end."""

import json
import re

import pytest
from support.command import weft


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--family", "xc8"], "family 'xc8' is not one of xc7, xcup, ecp5; choose one of them"),
        (
            ["--family", "xcup", "--route"],
            "--route knows ecp5 alone, not xcup: no open router covers it; leave --route out",
        ),
        (["--min-fmax", "100"], "--min-fmax needs a routed design; add --route, with --family ecp5"),
        (
            ["--max-luts", "-1"],
            "Invalid value for '--max-luts': Input should be greater than or equal to 0; see `weft synth --help`",
        ),
    ],
)
def test_wrong_input(arguments, message):
    result = weft("synth", *arguments)
    assert (result.code, result.out, result.err) == (2, "", f"weft: {message}\n")


def test_a_tool_that_runs_away_is_ended(tmp_path, monkeypatch):
    monkeypatch.setenv("WEFT_CACHE", str(tmp_path))
    result = weft("synth", "--config", "tiny4", "--max-seconds", "0")
    assert (result.code, result.out) == (2, "")
    assert re.fullmatch(
        r"weft: yosys was ended after \d+ s, more than the 0 s it may take \(--max-seconds\); "
        r"allow more, or choose a smaller accelerator\n",
        result.err,
    )


@pytest.mark.slow
@pytest.mark.synth
def test_measures_and_holds_limits(tmp_path, monkeypatch):
    monkeypatch.setenv("WEFT_CACHE", str(tmp_path))
    measured = weft("synth", "--config", "tiny4", "--packed", "--max-luts", "100", "--max-dsps", "10", "--json")
    values = json.loads(measured.out)
    totals = values["totals"]
    assert measured.code == 1
    assert measured.err == (
        f"weft: {totals['luts']:g} LUTs exceed --max-luts 100\n"
        f"weft: {totals['dsps']:g} DSP blocks exceed --max-dsps 10\n"
    )
    assert values["boards"]["pynq-z2"] == {"fits": True, "shortages": []}
    (datapath,) = (
        part
        for compute in values["modules"]["parts"]
        if compute["name"] == "compute"
        for part in compute["parts"]
        if part["name"] == "datapath"
    )
    macs = {part["name"]: part for part in datapath["parts"]}["macs"]
    assert macs["dsps"] == 8
    assert sum(part["luts"] for part in values["modules"]["parts"]) <= totals["luts"]

    again = weft("synth", "--config", "tiny4", "--packed", "--max-dsps", str(totals["dsps"]))
    assert (again.code, again.err) == (0, "")
    assert "TUL PYNQ-Z2, Zynq-7020: fits" in again.out
    assert "nothing here is a timing of Vivado's" in again.out
