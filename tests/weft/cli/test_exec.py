"""``weft exec``: raw images, physical addresses, and nothing written when something is wrong."""

import json
from pathlib import Path

import pytest
from support.command import Result, weft
from support.images import bias_image
from weft_hardware.encoding import encode
from weft_hardware.isa import Finish
from weft_hardware.presets import PRESETS

pytest.importorskip("llvmlite", reason="needs the compiler extra (llvmlite)")

IMAGE = bias_image(PRESETS["vta"])


@pytest.fixture
def image(tmp_path) -> Path:
    path = tmp_path / "image.bin"
    path.write_bytes(IMAGE.data)
    return path


def execute(path: Path, *extra: str, base="0x10000", address="0x10000", count="5") -> Result:
    return weft("exec", path, "--image-base", base, "--insn-addr", address, "--insn-count", count, *extra)


def test_writes_the_image_back(image):
    result = execute(image, "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out) == {
        "device": "functional",
        "config": "vta",
        "image": str(image),
        "instructions": 5,
        "cycles": None,
    }
    assert image.read_bytes() == IMAGE.expected
    assert list(image.parent.iterdir()) == [image]


def test_dump_leaves_the_image_alone(image, tmp_path):
    dump = tmp_path / "after.bin"
    result = execute(image, "--dump", str(dump), base="65536", address="65536")
    assert result.code == 0, result.err
    assert image.read_bytes() == IMAGE.data
    assert dump.read_bytes() == IMAGE.expected


@pytest.mark.parametrize("device", ["functional", pytest.param("tsim", marks=pytest.mark.rtl)])
def test_image_that_begins_and_ends_within_a_beat(tmp_path, device):
    path = tmp_path / "odd.bin"
    path.write_bytes(b"abc" + IMAGE.data[:-7])
    result = execute(path, "--device", device, base="0xfffd")
    assert result.code == 0, result.err
    assert path.read_bytes() == b"abc" + IMAGE.expected[:-7]


@pytest.mark.parametrize("device", ["functional", pytest.param("tsim", marks=pytest.mark.rtl)])
def test_write_behind_the_image_is_a_fault(tmp_path, device):
    path = tmp_path / "short.bin"
    short = IMAGE.data[: 0x800 + 15]
    path.write_bytes(short)
    result = execute(path, "--device", device)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("weft: instruction 3 (STORE OUT): DRAM access at ")
    assert path.read_bytes() == short


@pytest.mark.rtl
def test_tsim_prints_cycles(image):
    pytest.importorskip("amaranth", reason="needs the rtl extra (amaranth)")
    slow_dump = str(image.with_suffix(".slow"))
    slow = execute(image, "--device", "tsim", "--read-latency", "50", "--json", "--dump", slow_dump)
    result = execute(image, "--device", "tsim", "--json")
    assert result.code == 0, result.err
    fast, late = json.loads(result.out), json.loads(slow.out)
    assert 0 < fast["cycles"] < late["cycles"]
    for values in (fast, late):
        assert set(values["activity"]) == {"load", "compute", "store"}
        for counts in values["activity"].values():
            assert sum(counts.values()) == values["cycles"]
    assert late["activity"]["compute"]["memory"] > fast["activity"]["compute"]["memory"]
    assert image.read_bytes() == IMAGE.expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"base": "0x20000", "address": "0x20000"},
            "instruction 0 (LOAD UOP): DRAM access at 0x10300 is outside the memory or was refused; "
            "correct its base register, dram, sizes and x_stride",
        ),
        (
            {"base": "0xfffff040", "address": "0xfffff040"},
            "the image at 0xfffff040..0x100000040 does not fit the 32-bit address space; choose a lower image-base",
        ),
        (
            {"address": "0x10008"},
            "insn-addr = 0x10008 is not a multiple of an instruction's 16 bytes; correct the address",
        ),
        ({"count": "0"}, "insn-count = 0 leaves nothing to run; it must be at least 1"),
        (
            {"count": "257"},
            "insn-addr = 0x10000 with insn-count = 257 needs bytes 0x10000..0x11010, which are not all in the image "
            "at 0x10000..0x11000; correct the address or the count",
        ),
        (
            {"address": "0xfff0"},
            "insn-addr = 0xfff0 with insn-count = 5 needs bytes 0xfff0..0x10040, which are not all in the image "
            "at 0x10000..0x11000; correct the address or the count",
        ),
        (
            {"count": "five"},
            "Invalid value for '--insn-count': 'five' is not a number; write it in decimal or as 0x hexadecimal; "
            "see `weft exec --help`",
        ),
        (
            {"count": "-5"},
            "Invalid value for '--insn-count': -5 is negative; write a number from 0 up; see `weft exec --help`",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(image, options, message):
    dump = image.parent / "dump.bin"
    result = execute(image, "--dump", str(dump), **options)
    assert (result.code, result.out, result.err) == (2, "", f"weft: {message}\n")
    assert list(image.parent.iterdir()) == [image]
    assert image.read_bytes() == IMAGE.data


def test_unknown_device(image):
    result = execute(image, "--device", "tsin")
    assert (result.code, result.err) == (
        2,
        "weft: device 'tsin' does not exist; choose one of functional, tsim, timing, pynq, uart "
        "(did you mean 'tsim'?)\n",
    )


def test_options_of_tsim_are_taken_by_every_device(image):
    assert execute(image, "--read-latency", "5", "--max-cycles", "100").code == 0
    assert image.read_bytes() == IMAGE.expected


def test_only_the_rtl_has_a_waveform(image, tmp_path):
    result = execute(image, "--wave", str(tmp_path / "out.vcd"))
    assert (result.code, result.err) == (
        2,
        "weft: --wave shows the RTL's signals, which device 'functional' has none of; use --device tsim\n",
    )
    assert image.read_bytes() == IMAGE.data


def test_missing_and_empty_image(tmp_path):
    missing = tmp_path / "none.bin"
    result = execute(missing)
    assert result.err == f"weft: file {missing} cannot be read: No such file or directory; check its path\n"
    empty = tmp_path / "empty.bin"
    empty.touch()
    assert execute(empty).err == "weft: the image is empty (0 bytes); it must hold at least the instructions\n"


def test_dump_that_cannot_be_written(image):
    result = execute(image, "--dump", str(image.parent / "none" / "dump.bin"))
    assert result.code == 2
    assert "cannot be written: No such file or directory; choose another path" in result.err
    assert image.read_bytes() == IMAGE.data


def test_fault_leaves_the_image(image):
    """The program fails after its store was written."""
    words = encode([Finish(pop_prev=True)], PRESETS["vta"]).tobytes()
    data = bytearray(IMAGE.data)
    data[4 * 16 : 5 * 16] = words
    image.write_bytes(data)
    result = execute(image)
    assert result.code == 2
    assert result.err.startswith("weft: ")
    assert result.err.count("\n") == 1 or "instruction 4" in result.err
    assert image.read_bytes() == data
