"""Failing programs become small, stay legal and keep failing."""

import numpy as np
from support.configs import CONFIGS
from weft_hardware.isa import Alu, AluOp, Finish, Gemm, Load, Memory, Store
from weft_simulator.lockstep.accesses import Accesses
from weft_simulator.lockstep.generator import generate
from weft_simulator.lockstep.oracle import judge, token_edges
from weft_simulator.lockstep.program import Program
from weft_simulator.lockstep.shrink import is_legal, shrink, without

CONFIG = CONFIGS["int4"]


def has_shift(program: Program) -> bool:
    return any(isinstance(insn, Alu) and insn.alu_op == AluOp.SHR for insn in program.instructions)


def stores_behind_gemm(program: Program) -> bool:
    """A failure of two instructions of different queues with an order between them."""
    verdict, insns = judge(program), program.instructions
    stores = [k for k, i in enumerate(insns) if isinstance(i, Store) and i.x_size and i.y_size]
    gemms = [k for k, i in enumerate(insns) if isinstance(i, Gemm)]
    return any(verdict.before[s] >> g & 1 for s in stores for g in gemms)


def seeds_where(fails, count):
    found = [seed for seed in range(60) if fails(generate(CONFIG, seed))]
    assert len(found) >= count
    return found[:count]


def test_one_guilty_instruction_remains():
    for seed in seeds_where(has_shift, 3):
        small = shrink(generate(CONFIG, seed), has_shift)
        guilty, finish = small.instructions
        assert isinstance(guilty, Alu)
        assert isinstance(finish, Finish)
        assert guilty.iter_out * guilty.iter_in * max(0, guilty.uop_end - guilty.uop_bgn) <= 1
        assert not token_edges(small.instructions)[0]
        outside = np.ones(small.image.size, bool)
        outside[slice(*(address - small.dram_base for address in small.insn_range))] = False
        assert not small.image[outside].any()


def test_the_order_between_two_guilty_instructions_remains():
    for seed in seeds_where(stores_behind_gemm, 2):
        small = shrink(generate(CONFIG, seed), stores_behind_gemm)
        # An instruction that carries the token may stay between them.
        assert len(small.instructions) <= 4
        assert {type(i) for i in small.instructions} >= {Gemm, Store}
        assert len(token_edges(small.instructions)[0]) == 1
        assert is_legal(small)


def test_an_instruction_leaves_with_its_tokens():
    program = generate(CONFIG, 5)
    for index in range(len(program.instructions) - 1):
        smaller = without(program, [index])
        verdict = judge(smaller, [Accesses() for _ in smaller.instructions])
        assert not verdict.leftover
        assert verdict.completes


def test_a_program_that_faults_is_not_legal():
    program = generate(CONFIG, 0)
    program.instructions[-1:] = [Load(memory=Memory.INP, sram=65535, x_size=9, y_size=9), Finish()]
    assert not is_legal(program)
