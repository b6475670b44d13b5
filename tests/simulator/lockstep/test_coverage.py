"""Coverage: what the generator reaches, and that a bin is hit by what its sentence says and by nothing else."""

import pytest
from support.configs import CONFIGS, EXTENDED
from weft_hardware.isa import Alu, AluOp, Finish, Gemm, Load, Memory, Store
from weft_simulator.lockstep.coverage import Coverage, bins, features
from weft_simulator.lockstep.generator import generate

CONFIG = CONFIGS["int4"]


KNOWN = CONFIGS | EXTENDED


@pytest.mark.parametrize("name", ["vta", "int16", "full", "lanes1"])
def test_random_programs_cover_the_instruction_set(name):
    """The programs of 300 seeds, which the functional simulator runs as the reference does in test_differential."""
    coverage = Coverage(KNOWN[name])
    for seed in range(300):
        coverage.add(generate(KNOWN[name], seed))
    print(f"{name}: {coverage.ratio:.1%} of {len(coverage.bins)} bins; never {coverage.missing}")
    assert coverage.ratio >= 0.95
    # Nothing that is missing is a whole instruction, flag or register.
    assert not [hole for hole in coverage.missing if hole.endswith(": runs") or hole.count(" ") == 1]


def shown(*instructions):
    program = generate(CONFIG, 0)
    program.bases = dict.fromkeys(Memory, program.dram_base)
    program.instructions = [*instructions, Finish()]
    program.install()
    return set(features(program)) & bins(CONFIG)


def test_flags_and_blocks():
    load = Load(memory=Memory.INP, sram=CONFIG.inp_depth - 2, x_size=1, y_size=2, x_stride=1, push_next=True)
    flags = {"LOAD in load: push_next", "LOAD in load: no pop_next"}
    finish = {f"FINISH in compute: no {flag}" for flag in ("pop_prev", "pop_next", "push_prev", "push_next")}
    block = {
        "LOAD INP: up to the last tile",
        "LOAD INP: several rows of one tile",
        "LOAD INP: pitch equals the row",
    }
    seen = shown(load)
    assert seen >= flags | finish | block
    assert not seen & {"LOAD INP: one tile", "LOAD INP: from the first tile", "LOAD INP: no columns"}


def test_loops_and_hazards():
    uops = Load(memory=Memory.UOP, x_size=1, y_pad0=1)  # one micro-op of zeros
    gemm = Gemm(uop_end=1, iter_out=3, iter_in=1, dst_in=1)
    add = Alu(uop_end=1, iter_out=1, iter_in=2, alu_op=AluOp.ADD, dst_in=1)
    seen = shown(uops, gemm, add)
    assert seen >= {"GEMM: runs", "ALU ADD reg: runs", "GEMM: iter_in = 1", "GEMM then ALU on one accumulator"}
    assert "ALU: reads what was written 1 steps before" in seen
    assert not seen & {"ALU: the same accumulator 1 steps later", "GEMM reset: runs", "ALU ADD imm: runs"}


def test_what_does_nothing_covers_nothing():
    seen = shown(Gemm(iter_out=0, iter_in=1, uop_end=1), Store(memory=Memory.OUT, y_size=4))
    assert "GEMM: iter_out = 0" in seen
    assert "STORE OUT: no columns" in seen
    assert not seen & {"GEMM: runs", "STORE OUT: one tile", "GEMM: micro-op 0"}
