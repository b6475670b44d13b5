"""``weft profile``: networks and raw images; table, JSON, CSV and page."""

import csv
import json
import re
from importlib.resources import files

import pytest
from support.command import weft
from support.images import bias_image
from weft_hardware.isa import Queue
from weft_hardware.presets import PRESETS
from weft_hardware.registers import Activity

for package in ("onnx", "llvmlite", "xdsl"):
    pytest.importorskip(package, reason=f"needs {package}")

DIGITS = files("weft.models").joinpath("digits.onnx")
PLACE = ("--image-base", "0x10000", "--insn-addr", "0x10000", "--insn-count", "5")


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image.bin"
    path.write_bytes(bias_image(PRESETS["vta"]).data)
    return path


@pytest.mark.rtl
def test_network(tmp_path):
    page, table = tmp_path / "p.html", tmp_path / "p.csv"
    result = weft("profile", DIGITS, "--html", page, "--csv", table, "--json")
    assert result.code == 0, result.err
    told = json.loads(result.out)
    total = told["total"]
    assert all(sum(counts.values()) == total["cycles"] for counts in total["activity"].values())
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [row["name"] for row in told["rows"]] + ["total"]
    assert int(rows[-1]["compute_token"]) == total["activity"]["compute"]["token"]
    text = page.read_text()
    head, figures = text[: text.index("<script>")], text[text.index("<h1>") :]  # plotly itself is between them
    assert not re.search(r"(src|href)=", head + figures), "the page loads something from elsewhere"
    assert "Roofline" in figures
    assert figures.count("conv2") == 1 + len(Queue) * len(Activity)  # a point, and a bar for each


@pytest.mark.rtl
def test_image(image):
    before = image.read_bytes()
    result = weft("profile", image, *PLACE)
    assert result.code == 0, result.err
    assert image.read_bytes() == before
    (row,) = [line.split() for line in result.out.splitlines() if line.strip().startswith("total")]
    (compute,) = [line.split() for line in result.out.splitlines() if line.strip().startswith("compute ")]
    assert compute[-1] == row[2]


def test_trace(image, tmp_path):
    pytest.importorskip("numba", reason="needs the timing extra (numba)")
    trace = tmp_path / "trace.json"
    result = weft("profile", image, *PLACE, "--device", "timing", "--trace", trace, "--json")
    assert result.code == 0, result.err
    slices = [event for event in json.loads(trace.read_text())["traceEvents"] if event["ph"] == "X"]
    assert slices[0]["dur"] == json.loads(result.out)["total"]["cycles"]
    assert len(slices) == 1 + 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("image.bin",), "image.bin is a raw image; give --image-base, --insn-addr and --insn-count"),
        (
            ("image.bin", *PLACE, "--input", "x.npy"),
            "image.bin is a raw image, which takes no --input; put the data into the image",
        ),
        (
            (DIGITS, *PLACE),
            f"{DIGITS} is a network, which has no place in memory; leave out --image-base, --insn-addr and "
            "--insn-count",
        ),
        (
            ("image.bin", *PLACE, "--device", "functional"),
            "this device models no time, so there is nothing to profile; use --device tsim or timing",
        ),
        (
            ("missing.onnx", "--device", "functional"),  # nothing is compiled before
            "this device models no time, so there is nothing to profile; use --device tsim or timing",
        ),
        (
            ("image.bin", *PLACE, "--trace", "t.json"),
            "--trace needs the moments of each instruction, which tsim does not tell; "
            "use --device timing, whose cycles are the same",
        ),
        (
            ("image.bin", *PLACE, "--trace", "t.json", "--device", "grpc://127.0.0.1:1?device=timing"),
            "--trace needs the moments of each instruction, which grpc://127.0.0.1:1?device=timing does not tell; "
            "use --device timing, whose cycles are the same",
        ),
    ],
)
def test_refusals(image, arguments, message):
    result = weft("profile", *arguments, cwd=image.parent)
    assert (result.code, result.out, result.err) == (2, "", f"weft: {message}\n")


def test_without_plotly_nothing_runs_and_nothing_is_written(image):
    page = image.parent / "p.html"
    absent = "import sys; sys.modules['plotly'] = sys.modules['weft.execute'] = None"
    result = weft("profile", image, *PLACE, "--html", page, prelude=absent)
    assert result.code == 2
    assert "pip install 'weft[report]'" in result.err
    assert not page.exists()
