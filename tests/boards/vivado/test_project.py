"""A project is complete, written whole or not at all, and built by whatever `vivado` is on the PATH."""

import hashlib
import json
import os
import re

import pytest
from support.board_projects import small_config, small_project, verilog
from support.tcl import STAND_IN, interpreter
from weft_boards.catalogue import BOARDS
from weft_boards.directory import write_directory
from weft_boards.errors import BoardError
from weft_boards.vivado.project import make_project, run_vivado
from weft_hardware.presets import from_toml

Z2 = BOARDS["pynq-z2"]


@pytest.fixture
def written(tmp_path):
    project = small_project(Z2)
    project.write(tmp_path / "z2")
    return tmp_path / "z2"


@pytest.fixture
def vivado(tmp_path, monkeypatch):
    """A function that puts a `vivado` on the PATH: the stand-in, with what a test sets before and does after it."""

    def install(setup="", after="dump"):
        folder = tmp_path / "bin"
        folder.mkdir()
        script = folder / "vivado"
        failing = '{ puts "ERROR: $why"; exit 1 }'
        tcl = f"{setup}\nsource {{{STAND_IN}}}\nif {{[catch {{source build.tcl}} why]}} {failing}"
        (folder / "all.tcl").write_text(f"{tcl}\n{after}\n")
        script.write_text(f"#!/bin/sh\nexec {' '.join(map(repr, interpreter()))} < {folder / 'all.tcl'}\n")
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    return install


def test_files(written):
    manifest = json.loads((written / "project.json").read_text())
    files = {str(path.relative_to(written)) for path in written.rglob("*") if path.is_file()}
    assert files == {*manifest["sha256"], "project.json"}
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((written / name).read_bytes()).hexdigest() == digest
    config = from_toml((written / "config.toml").read_text())
    assert config == small_config(Z2)
    assert manifest["config_digest"] == config.digest
    assert manifest["clock_mhz"] == 100
    assert manifest["packed_multipliers"] is True
    assert (
        "create_clock -name clk -period 10.000000 [get_ports clk]\n"
        in (written / "ip" / "weft_accelerator_ooc.xdc").read_text()
    )


def test_the_clock_is_one_that_the_board_makes():
    assert make_project(Z2, small_config(Z2), verilog, clock_mhz=150).clock_mhz == pytest.approx(1000 / 7)


def test_a_board_without_vivado():
    message = "Radiona ULX3S-85F has no Vivado project: its FPGA is Lattice's; choose a Zynq board"
    with pytest.raises(BoardError, match=f"^{re.escape(message)}$"):
        make_project(BOARDS["ulx3s"], small_config(BOARDS["ulx3s"]), verilog)


def test_an_earlier_project_is_replaced(written):
    (written / "weft.bit").write_text("old")
    small_project(Z2, clock_mhz=50).write(written)
    assert not (written / "weft.bit").exists()
    assert json.loads((written / "project.json").read_text())["clock_mhz"] == 50
    assert [path.name for path in written.parent.iterdir()] == ["z2"]


def test_what_is_no_project_stays(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years")
    message = f"{tmp_path / 'thesis'} exists and is no project of weft's; choose another directory for -o, or remove it"
    with pytest.raises(BoardError, match=f"^{re.escape(message)}$"):
        small_project(Z2).write(tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter1.tex").read_text() == "years"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis"]


def test_nothing_half_written_stays(written):
    class Unwritable:
        def encode(self):
            raise OSError(28, "No space left on device")

    before = (written / "project.json").read_text()
    files = {"project.json": "{}", "a": Unwritable()}
    message = f"directory {written} cannot be written: No space left on device; choose another for -o"
    files["a"] = type("Text", (str,), {"encode": lambda self: Unwritable().encode()})("x")
    with pytest.raises(BoardError, match=f"^{re.escape(message)}$"):
        write_directory(written, files)
    assert (written / "project.json").read_text() == before
    assert [path.name for path in written.parent.iterdir()] == ["z2"]


def test_vivado_builds(written, vivado):
    vivado("set boards {tul.com.tw:pynq-z2:part0:1.0 other:pynq-z1:part0:1.0}")
    lines = []
    bitstream, handoff = run_vivado(written, lines.append)
    assert (bitstream, handoff) == (written / "weft.bit", written / "weft.hwh")
    assert bitstream.read_text() == "stands for weft_wrapper.bit\n"
    assert handoff.read_text() == "stands for weft.hwh\n"
    assert (
        "automation\tps\tmake_external\tFIXED_IO, DDR\tMaster\tDisable\tSlave\tDisable\tapply_board_preset\t1" in lines
    )
    assert "set\tboard_part\ttul.com.tw:pynq-z2:part0:1.0\tproject" in lines
    assert "project\t-force\tweft\tvivado\t-part\txc7z020clg400-1" in lines
    assert "validated" in lines


def test_names_of_boards_with_capitals(tmp_path, vivado):
    # Avnet's files of version 1.3; those of 1.2 have neither the capital nor this vendor.
    vivado("set boards {Avnet-tria:Ultra96v2:part0:1.3}")
    lines = []
    small_project(BOARDS["ultra96-v2"]).write(tmp_path / "u96")
    run_vivado(tmp_path / "u96", lines.append)
    assert "set\tboard_part\tAvnet-tria:Ultra96v2:part0:1.3\tproject" in lines


def test_vivado_without_the_boards_files(written, vivado):
    vivado()
    lines = []
    run_vivado(written, lines.append)
    assert "WARNING: Vivado has no files of the board pynq-z2: its boot image must set the processor up" in lines
    assert (
        "automation\tps\tmake_external\tFIXED_IO, DDR\tMaster\tDisable\tSlave\tDisable\tapply_board_preset\t0" in lines
    )


@pytest.mark.parametrize(
    ("setup", "reason"),
    [
        ("set slack_ns -1.5", "ERROR: the clock of 100 MHz is missed by 1.5 ns: build again with --clock 86"),
        ("set progress 40%", "ERROR: implementation stopped at: place_design ERROR"),
    ],
)
def test_a_build_that_fails_leaves_no_bitstream(written, vivado, setup, reason):
    (written / "weft.bit").write_text("of an earlier build")
    vivado(setup)
    message = f"vivado built no bitstream ({reason}); see {written / 'vivado.log'}"
    with pytest.raises(BoardError, match=f"^{re.escape(message)}$"):
        run_vivado(written, lambda line: None)
    assert not list(written.glob("weft.bit*"))


def test_no_vivado(written, monkeypatch):
    monkeypatch.setenv("PATH", "")
    message = "vivado is not on the PATH; source its settings64.sh, or build the project on another machine"
    with pytest.raises(BoardError, match=f"^{re.escape(message)}$"):
        run_vivado(written, lambda line: None)
