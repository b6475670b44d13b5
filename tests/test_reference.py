"""The reference model against cases small enough to work out by hand."""

from dataclasses import replace

import numpy as np
import pytest
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Alu, AluOp, Finish, Gemm, Load, Memory, Store
from weft_hardware.registers import Cause
from weft_simulator.lockstep.bits import instructions_to_bytes, uops_to_bytes
from weft_simulator.lockstep.program import Program
from weft_simulator.lockstep.reference import (
    Machine,
    ReferenceFaultError,
    elements_from_bytes,
    elements_to_bytes,
    shift_right,
)

TINY = AcceleratorConfig(block_in=4, block_out=4, inp_depth=8, wgt_depth=8, acc_depth=8, uop_depth=8)


def tiny_program(instructions, image=None):
    data = np.zeros(1024, np.uint8) if image is None else image
    return Program(TINY, instructions, data)


def test_the_machine_multiplies_adds_and_narrows():
    image = np.zeros(1024, np.uint8)
    image[64:68] = [1, 2, 3, 256 - 4]
    image[128:144] = np.arange(16, dtype=np.uint8)
    image[192:196] = np.frombuffer(uops_to_bytes([(2, 0, 1)], TINY), np.uint8)
    bases = {Memory.INP: 64, Memory.WGT: 128, Memory.UOP: 192, Memory.OUT: 256}
    block = {"x_size": 1, "y_size": 1}
    instructions = [
        Load(memory=Memory.INP, **block),
        Load(memory=Memory.WGT, sram=1, **block),
        Load(memory=Memory.UOP, **block),
        Gemm(uop_end=1, iter_out=3, iter_in=1),
        Store(memory=Memory.OUT, sram=2, **block),
        Finish(),
    ]
    program = replace(tiny_program(instructions, image), bases=bases)
    dot = [sum(a * w for a, w in zip((1, 2, 3, -4), range(4 * k, 4 * k + 4), strict=True)) for k in range(4)]
    assert Machine(TINY).run(program)[256:260].view(np.int8).tolist() == [3 * d for d in dot]


@pytest.mark.parametrize(
    ("value", "amount", "result"),
    [
        (-5, 1, -3),
        (-5, 31, -1),
        (-5, 32, -1),
        (5, 40, 0),
        (5, -1, 10),
        (1, -31, -(1 << 31)),
        (1, -32, 0),
        (-1, -(1 << 31), 0),
        (0x40000000, -1, -(1 << 31)),
    ],
)
def test_shift_corners(value, amount, result):
    assert shift_right(np.array([value]), np.array([amount])).tolist() == [result]


def test_nibbles_are_packed_from_the_least_significant_bits():
    assert elements_from_bytes(bytes([0x7F, 0x80]), 4).tolist() == [-1, 7, 0, -8]


def test_narrowing_keeps_the_low_bits():
    assert elements_to_bytes(np.array([0x17F, -129]), 8) == bytes([0x7F, 0x7F])


def test_padding_surrounds_the_block_with_zeros():
    image = np.arange(1024, dtype=np.uint16).astype(np.uint8)
    machine = Machine(TINY)
    machine.inp[:] = 9
    load = Load(memory=Memory.INP, sram=1, x_size=1, y_size=1, x_stride=7, x_pad0=1, x_pad1=1, y_pad0=1)
    machine.run(tiny_program([load, Finish()], image))
    assert machine.inp[:, 0, 0].tolist() == [9, 0, 0, 0, 0, 0, 0, 9]
    assert machine.inp[5, 0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("instruction", "cause"),
    [
        (Load(memory=Memory.INP, sram=8, x_size=1, y_size=1), Cause.SCRATCHPAD_RANGE),
        (Load(memory=Memory.INP, sram=7, x_size=1, y_size=1, x_pad1=1), Cause.SCRATCHPAD_RANGE),
        (Store(memory=Memory.OUT, sram=7, x_size=2, y_size=1), Cause.SCRATCHPAD_RANGE),
        (Gemm(uop_end=1, iter_out=2, iter_in=1, dst_out=8, reset=True), Cause.SCRATCHPAD_RANGE),
        (Gemm(uop_end=9, iter_out=1, iter_in=1, reset=True), Cause.SCRATCHPAD_RANGE),
        (Alu(uop_end=1, iter_out=2, iter_in=1, src_out=8), Cause.SCRATCHPAD_RANGE),
        (Load(memory=Memory.OUT), Cause.ILLEGAL_INSTRUCTION),
        (Store(memory=Memory.INP), Cause.ILLEGAL_INSTRUCTION),
        (Store(memory=Memory.OUT, x_pad0=1), Cause.ILLEGAL_INSTRUCTION),
        (Alu(alu_op=5), Cause.ILLEGAL_INSTRUCTION),
        (Load(memory=Memory.INP, dram=255, x_size=2, y_size=1), Cause.WINDOW),
    ],
)
def test_faults(instruction, cause):
    with pytest.raises(ReferenceFaultError) as caught:
        Machine(TINY).run(tiny_program([instruction, Finish()]))
    assert caught.value.cause is cause


@pytest.mark.parametrize(
    "instruction",
    [
        Load(memory=Memory.INP, sram=60000, y_size=65535, y_pad0=15),
        Load(memory=Memory.INP, sram=60000, x_size=65535),
        Store(memory=Memory.OUT, sram=60000, y_size=65535),
        Gemm(uop_end=16383, iter_out=0, iter_in=5, dst_in=2047),
        Gemm(uop_bgn=5, uop_end=5, iter_out=9, iter_in=9, dst_in=2047),
        Alu(uop_end=1, iter_out=2, iter_in=1, src_out=8, use_imm=True, alu_op=AluOp.ADD),
    ],
)
def test_nothing_runs_so_nothing_is_out_of_range(instruction):
    machine = Machine(TINY)
    machine.run(tiny_program([instruction, Finish()]))
    assert not machine.acc.any()


def test_programs_are_encoded_as_listed():
    program = tiny_program([Finish(push_next=True)])
    assert instructions_to_bytes(program.instructions, TINY) == bytes([0b1000011]) + bytes(15)
