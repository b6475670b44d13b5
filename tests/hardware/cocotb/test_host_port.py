"""The AXI4-Lite port under cocotbext-axi's manager: every register, strobes, unmapped words, pauses on either side."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.bench import TINY
from support.cocotb_model import run_bench
from weft_hardware.rtl.control import ControlUnit

CONFIG = replace(TINY, axi_addr_bits=40)


@pytest.mark.rtl
def test_host_port(tmp_path):
    bench = Path(__file__).with_name("host_port_bench.py")
    run_bench(ControlUnit, CONFIG, bench, tmp_path, {"WEFT_DIGEST": CONFIG.digest})
