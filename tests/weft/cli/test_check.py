"""``weft check``: images and modules, findings as a table and as JSON, and wrong input."""

import json
from importlib.resources import files
from pathlib import Path

import pytest
from support.command import Result, weft
from support.images import bias_image
from weft_hardware.encoding import encode
from weft_hardware.isa import Finish
from weft_hardware.presets import PRESETS

IMAGE = bias_image(PRESETS["vta"])
PUSH_NEXT, POP_PREV = 1 << 6, 1 << 3
RACE = (
    "instruction 2 (ALU ADD) writes ACC 0 and instruction 3 (STORE OUT) reads it, in no certain order; add a token "
    "from compute to store, pushed by instruction 2 or a later one and popped by instruction 3 or an earlier one"
)


@pytest.fixture
def image(tmp_path) -> Path:
    path = tmp_path / "image.bin"
    path.write_bytes(IMAGE.data)
    return path


@pytest.fixture
def racing(tmp_path) -> Path:
    """The store no longer waits for the sum."""
    data = bytearray(IMAGE.data)
    data[2 * 16] &= ~PUSH_NEXT
    data[3 * 16] &= ~POP_PREV
    path = tmp_path / "racing.bin"
    path.write_bytes(data)
    return path


def check(path: Path, *extra: str, base="0x10000", address="0x10000", count="5") -> Result:
    return weft("check", path, "--image-base", base, "--insn-addr", address, "--insn-count", count, *extra)


def test_a_sound_image(image):
    before = image.read_bytes()
    result = check(image)
    assert (result.code, result.out, result.err) == (0, "image.bin: 5 instructions, sound\n", "")
    assert image.read_bytes() == before
    assert json.loads(check(image, "--json").out) == {
        "program": str(image),
        "launches": [{"name": "image.bin", "instructions": 5, "findings": []}],
    }


def test_a_race_is_a_table(racing):
    result = check(racing)
    assert (result.code, result.err) == (1, "")
    title, *table = result.out.splitlines()
    assert title.strip() == "racing.bin: 5 instructions, 1 finding"
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in table if line.startswith("│")]
    columns = [" ".join(" ".join(parts).split()) for parts in zip(*rows, strict=True)]
    assert columns == [
        "race",
        "ACC 0",
        "2 ALU ADD uop_end=1 iter_out=1 iter_in=1 use_imm imm=3 "
        "3 STORE OUT dram=4224 y_size=1 x_size=1 x_stride=1 push(compute)",
        RACE,
    ]


def test_a_race_as_json(racing):
    result = check(racing, "--json")
    assert result.code == 1
    (launch,) = json.loads(result.out)["launches"]
    assert launch["findings"] == [
        {
            "kind": "race",
            "message": RACE,
            "instructions": [
                {"index": 2, "text": "ALU    ADD uop_end=1 iter_out=1 iter_in=1 use_imm imm=3"},
                {"index": 3, "text": "STORE  OUT dram=4224 y_size=1 x_size=1 x_stride=1 push(compute)"},
            ],
            "memory": "ACC",
            "first": 0,
            "last": 0,
            "tiles": 1,
            "missing_tokens": [["compute", "store"]],
        }
    ]


def test_many_findings_are_cut(tmp_path):
    path = tmp_path / "stuck.bin"
    path.write_bytes(encode([Finish(), *[Finish(pop_prev=True)] * 3], PRESETS["vta"]).tobytes() + bytes([7] * 16) * 60)
    result = check(path, base="0", address="0", count="64")
    assert result.code == 1
    assert result.out.startswith("stuck.bin: 64 instructions, 61 findings")
    assert result.out.endswith("and 11 findings more; --json has all\n")
    assert (
        len(json.loads(check(path, "--json", base="0", address="0", count="64").out)["launches"][0]["findings"]) == 61
    )


def test_another_configuration(image):
    result = check(image, "--config", "tiny4")
    assert result.code == 1
    assert result.out.startswith("image.bin: 5 instructions, ")


def test_every_launch_of_a_module(tmp_path):
    for package in ("onnx", "llvmlite", "xdsl"):
        pytest.importorskip(package, reason=f"needs {package}")
    path = tmp_path / "digits.weft"
    assert weft("compile", files("weft.models").joinpath("digits.onnx"), "-o", path, "--no-overlap").code == 0
    result = weft("check", path)
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["conv1", "conv2", "pool", "conv3", "dense"]
    assert all(line.endswith(" instructions, sound") for line in lines)
    refused = weft("check", path, "--insn-count", "5")
    assert (refused.code, refused.out, refused.err) == (
        2,
        "",
        "weft: --insn-count = 5 has no meaning for a module, which says all that itself; leave it out\n",
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"address": "0x10008"},
            "insn-addr = 0x10008 is not a multiple of an instruction's 16 bytes; correct the address",
        ),
        (
            {"count": "257"},
            "insn-addr = 0x10000 with insn-count = 257 needs bytes 0x10000..0x11010, which are not all in the image "
            "at 0x10000..0x11000; correct the address or the count",
        ),
        (
            {"count": "five"},
            "Invalid value for '--insn-count': 'five' is not a number; write it in decimal or as 0x hexadecimal; "
            "see `weft check --help`",
        ),
    ],
)
def test_wrong_input_is_one_sentence(image, options, message):
    result = check(image, **options)
    assert (result.code, result.out, result.err) == (2, "", f"weft: {message}\n")


def test_a_missing_option_and_a_missing_file(image, tmp_path):
    result = weft("check", image)
    message = "--image-base is missing; an image needs it, a module's file name ends with .weft"
    assert (result.code, result.out, result.err) == (2, "", f"weft: {message}\n")
    missing = tmp_path / "none.bin"
    result = check(missing)
    assert result.err == f"weft: file {missing} cannot be read: No such file or directory; check its path\n"
