"""``weft board``: lists, and refuses in one sentence."""

import json

import pytest
from support.command import weft
from weft_boards.catalogue import BOARDS


def test_list():
    result = weft("board", "list")
    assert result.code == 0, result.err
    rows = [line.split() for line in result.out.splitlines()]
    assert [row[0] for row in rows[1:]] == list(BOARDS)
    assert rows[2] == ["pynq-z2", "Zynq-7020", "53200", "220", "140", "512", "MB", "pynq", "100", "MHz"]


def test_show():
    result = weft("board", "show", "kv260")
    assert result.code == 0, result.err
    assert "block RAMs   144, and 64 UltraRAMs\n" in result.out
    assert "memory       DDR4 high, 2,048 MB at 0x800000000\n" in result.out
    assert "registers    at 0xa0000000, through M_AXI_HPM0_FPD\n" in result.out
    values = json.loads(weft("board", "show", "kv260", "--json").out)
    assert values == json.loads(weft("board", "list", "--json").out)["kv260"]
    assert values["part"]["capacity"]["dsps"] == 1248


def test_a_board_that_does_not_exist():
    result = weft("board", "show", "de10")
    assert (result.code, result.out) == (2, "")
    assert result.err == f"weft: board 'de10' does not exist; choose one of {', '.join(BOARDS)}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pynq-z3"], f"board 'pynq-z3' does not exist; choose one of {', '.join(BOARDS)} (did you mean 'pynq-z2'?)"),
        (
            ["pynq-z2", "--config", "ultra96"],
            "axi_data_bits = 128 does not fit TUL PYNQ-Z2, whose S_AXI_HP0 is 64 bits wide; choose 64, or the preset "
            "pynq",
        ),
        (
            ["pynq-z2", "--clock", "3000"],
            "clock of 3000 MHz cannot be made from the I/O PLL (FCLK_CLK0); choose 0.252 to 1000 MHz",
        ),
    ],
)
def test_build_refuses_before_it_writes(tmp_path, arguments, message):
    result = weft("board", "build", *arguments, "-o", tmp_path / "out")
    assert (result.code, result.out, result.err) == (2, "", f"weft: {message}\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_build_without_vivado_says_what_to_run_where(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    result = weft("board", "build", "pynq-z2", "-o", tmp_path / "z2")
    assert result.code == 0, result.err
    assert result.out == (
        f"board: pynq-z2\nconfig: pynq\nclock mhz: 100.0\nproject: {tmp_path}/z2\n"
        f"next: vivado is not on the PATH: to build the bitstream, run in {tmp_path}/z2: "
        "vivado -mode batch -notrace -source build.tcl\n"
    )
    assert (tmp_path / "z2" / "ip" / "src" / "weft_accelerator.v").stat().st_size > 1_000_000
