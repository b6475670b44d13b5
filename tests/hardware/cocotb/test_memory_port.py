"""The AXI4 port under cocotbext-axi's RAM: idle × backpressure × size × offset, random programs, guard bytes."""

from pathlib import Path

import pytest
from support.cocotb_model import load_bench, run_bench
from weft_hardware.rtl.accelerator import Accelerator

BENCH = Path(__file__).with_name("memory_port_bench.py")
CONFIG = load_bench(BENCH).CONFIG


class WritesWholeBeats(Accelerator):
    """An accelerator that forgets the byte strobes."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.mem.wstrb.eq((1 << CONFIG.axi_bytes) - 1)
        return m


@pytest.mark.rtl
def test_memory_port(tmp_path):
    run_bench(Accelerator, CONFIG, BENCH, tmp_path)


@pytest.mark.rtl
@pytest.mark.slow
def test_bytes_beside_a_transfer_are_seen(tmp_path):
    with pytest.raises(AssertionError, match=r"[0-9]+ of 24 tests failed(.|\n)* bytes differ, first at 0x"):
        run_bench(WritesWholeBeats, CONFIG, BENCH, tmp_path)
