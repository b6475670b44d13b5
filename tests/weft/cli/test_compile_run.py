"""``weft compile``, ``run`` and ``disasm`` on the digit reader, and what they say about wrong files."""

import json
import zipfile
from importlib.resources import files

import numpy as np
import pytest
from support.command import weft
from weft.models import digits_heldout, digits_onnx

for package in ("onnx", "llvmlite", "xdsl"):
    pytest.importorskip(package, reason=f"needs {package}")


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    path = tmp_path_factory.mktemp("module") / "digits.weft"
    result = weft("compile", files("weft.models").joinpath("digits.onnx"), "-o", path, "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["layers_on_accelerator"] == 5
    return path


SAY_IMPORTS = """
import atexit, sys
atexit.register(lambda: print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr))
"""


def test_from_the_cache_nothing_heavy_is_imported(module, tmp_path):
    digits, output = files("weft.models").joinpath("digits.onnx"), tmp_path / "again.weft"
    again = weft("compile", digits, "-o", output, prelude=SAY_IMPORTS)
    assert again.code == 0, again.err
    assert output.read_bytes() == module.read_bytes()
    heavy = {"numpy", "llvmlite", "onnx", "xdsl", "amaranth", "numba", "pydantic"}
    assert {"weft", "weft_compiler", "typer"} <= set(again.err.split())
    assert not heavy & set(again.err.split())


def test_run(module, tmp_path):
    images, labels = digits_heldout()
    np.save(tmp_path / "in.npy", images[:5])
    result = weft("run", module, "--input", tmp_path / "in.npy", "--output", tmp_path / "out.npy", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["shapes"] == [[5, 10]]
    assert np.load(tmp_path / "out.npy").argmax(1).tolist() == labels[:5].tolist()


def test_benchmark(module, tmp_path):
    images, _ = digits_heldout()
    np.save(tmp_path / "in.npy", images[:3])
    command = ("run", module, "--input", tmp_path / "in.npy", "--output", tmp_path / "out.npy", "--benchmark", 4)
    values = json.loads(weft(*command, "--json").out)
    total, host, accelerator = (values[f"{name}_milliseconds"] for name in ("total", "host", "accelerator"))
    assert total["runs"] == 4
    assert 0 < host["minimum"] <= host["median"] <= host["maximum"]
    assert total["maximum"] >= accelerator["median"] > host["median"]
    assert "accelerator milliseconds: median " in weft(*command).out
    refused = weft(*command[:-1], 0)
    assert (refused.code, refused.out) == (2, "")


def test_disasm_shows_every_launch(module):
    result = weft("disasm", module)
    assert result.code == 0, result.err
    headings = [line for line in result.out.splitlines() if not line.startswith(" ")]
    assert {line.split(":")[0] for line in headings} == {"conv1..conv3", "dense"}
    assert "illegal" not in result.out


def test_raw_images_hold_every_program(tmp_path):
    """Each program is where the list beside the image says."""
    digits, folder = files("weft.models").joinpath("digits.onnx"), tmp_path / "raw"
    done = weft("compile", digits, "-o", tmp_path / "m.weft", "--no-extensions", "--raw", folder)
    assert done.code == 0, done.err
    launches = json.loads((folder / "launches.json").read_text())["launches"]
    assert [launch["name"] for launch in launches] == ["conv1", "conv2", "conv3", "dense"]
    place = ("--image-base", 0, "--insn-addr", launches[0]["insn_addr"], "--insn-count", launches[0]["insn_count"])
    result = weft("disasm", folder / "image.bin", *place)
    assert result.code == 0, result.err
    assert len(result.out.splitlines()) == launches[0]["insn_count"]
    assert "STORE  OUT" in result.out
    assert "STORE  ACC" not in result.out


def test_truncated_module(module, tmp_path):
    broken = tmp_path / "broken.weft"
    broken.write_bytes(module.read_bytes()[:-100])
    np.save(tmp_path / "in.npy", np.zeros((1, 1, 8, 8), np.float32))
    result = weft("run", broken, "--input", tmp_path / "in.npy", "--output", tmp_path / "out.npy")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"weft: module file {broken} is truncated or not a .weft file")
    assert result.err.count("\n") == 1
    assert not (tmp_path / "out.npy").exists()


def test_wrong_inputs(module, tmp_path):
    text, shape = tmp_path / "text.npy", tmp_path / "shape.npy"
    text.write_text("no array")
    np.save(shape, np.zeros((1, 1, 9, 8), np.float32))
    for path, words in ((text, "holds no array"), (shape, "has shape (1, 1, 9, 8)")):
        result = weft("run", module, "--input", path, "--output", tmp_path / "out.npy")
        assert (result.code, result.out) == (2, "")
        assert words in result.err
        assert result.err.count("\n") == 1
    assert not (tmp_path / "out.npy").exists()


def test_corrupt_model(tmp_path):
    model = tmp_path / "model.onnx"
    model.write_bytes(digits_onnx()[:1000])
    result = weft("compile", model, "-o", tmp_path / "out.weft")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("weft: ")
    assert result.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [model]


def test_host_targets(tmp_path):
    model, path = files("weft.models").joinpath("digits.onnx"), tmp_path / "digits.weft"
    options = ("--host-target", "armv7", "--host-target", "riscv64")
    assert weft("compile", model, "-o", path, "--no-cache", *options).code == 0
    with zipfile.ZipFile(path) as archive:
        names = {name for name in archive.namelist() if name.endswith((".o", ".so"))}
    stems = ("host/armv7-unknown-linux-gnueabihf", "host/riscv64-unknown-linux-gnu")
    assert names == {stem + end for stem in stems for end in (".o", ".so")}
    assert weft("compile", model, "-o", path, "--no-cache", "--no-link", *options).code == 0
    with zipfile.ZipFile(path) as archive:
        assert not [name for name in archive.namelist() if name.endswith(".so")]
    result = weft("compile", model, "-o", tmp_path / "none.weft", "--host-target", "z80")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("weft: host target 'z80' does not exist; choose among x86_64, aarch64, armv7, ")
    assert not (tmp_path / "none.weft").exists()


def test_help_of_every_verb():
    for verb in ("compile", "run", "exec", "disasm", "config", "verilog", "demo"):
        result = weft(verb, "--help")
        assert (result.code, result.err) == (0, "")
        assert "Usage: weft" in result.out


def test_records_that_are_damaged_or_of_others_are_named(tmp_path):
    model, records = files("weft.models").joinpath("digits.onnx"), tmp_path / "records.jsonl"
    records.write_text('{"version": 1, "layer": "abc\n{"version": 9}\n')
    result = weft("compile", model, "-o", tmp_path / "digits.weft", "--records", records)
    assert result.code == 0
    assert result.err.splitlines() == [
        f"weft: {records}:1: is not JSON (Unterminated string starting at at column 25); the line is left out",
        f"weft: {records}:2: version 9 of records is unknown, this Weft reads version 1; the line is left out",
        f"weft: no record of {records} is of this configuration; every layer has the compiler's own schedule; "
        "run `weft tune` with the same --config",
    ]
    refused = weft("compile", model, "-o", tmp_path / "none.weft", "--records", tmp_path / "none.jsonl")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == (
        f"weft: records {tmp_path / 'none.jsonl'} cannot be read: No such file or directory; "
        "give a file that `weft tune --records` wrote\n"
    )
    refused = weft("compile", model, "-o", tmp_path / "none.weft", "--measured-on", "tsim")
    assert refused.err == "weft: --measured-on tsim chooses among records; give some: --records FILE.jsonl\n"
    assert not (tmp_path / "none.weft").exists()
