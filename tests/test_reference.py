"""The reference model against cases small enough to work out by hand."""

from dataclasses import replace

import numpy as np
import pytest
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import (
    Alu,
    AluOp,
    Finish,
    Gemm,
    GemmOverwrite,
    Load,
    Memory,
    OverwriteMask,
    Set,
    SetRegister,
    Store,
    StoreMode,
)
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


FULL = replace(
    TINY,
    pad_value=True,
    widening_load=True,
    gemm_overwrite=True,
    alu_extensions=True,
    epilogue_lanes=1,
    param_depth=4,
    residual=True,
    table=True,
)


def machine_after(*instructions, image=None, bases=None, config=FULL, before=None):
    """A machine on which the instructions ran, after ``before`` touched its scratchpads."""
    machine = Machine(config)
    if before:
        before(machine)
    data = np.zeros(1024, np.uint8) if image is None else image
    machine.dram = machine.run(Program(config, [*instructions, Finish()], data, 0, bases or {}))
    return machine


def test_pads_hold_the_chosen_element():
    machine = machine_after(
        Set(register=SetRegister.LOAD_PAD, value=0x1F0),  # -16 in the 8 bits of an input
        Set(register=SetRegister.COMPUTE_PAD, value=0x1F0),
        Load(memory=Memory.INP, x_size=1, y_size=1, x_pad0=1, y_pad1=1),
        Load(memory=Memory.ACC_8BIT, x_size=1, y_size=1, x_pad1=1),
        Load(memory=Memory.WGT, x_size=1, y_size=1, x_pad1=1),
        image=np.full(1024, 7, np.uint8),
    )
    assert machine.inp[:4, 0, 0].tolist() == [-16, 7, -16, -16]
    assert machine.acc[:2, 0, 0].tolist() == [7, 0x1F0]
    assert machine.wgt[:2, 0, 0].tolist() == [7, 0]


@pytest.mark.parametrize(("widen", "value"), [(0, -56), (1, 200), (2, -56)])
def test_a_widening_load_keeps_or_drops_the_sign(widen, value):
    instructions = Set(register=SetRegister.WIDEN, value=widen), Load(memory=Memory.ACC_8BIT, x_size=1, y_size=1)
    assert machine_after(*instructions, image=np.full(1024, 200, np.uint8)).acc[0, 0].tolist() == [value] * 4


@pytest.mark.parametrize(
    ("mask", "sums"),
    [
        # Two rounds, two iterations, two micro-ops, each adding 1 to the one accumulator.
        (0, 1),
        (OverwriteMask.OUTER, 4 + 1),
        (OverwriteMask.INNER, 2 + 1),
        (OverwriteMask.UOP, 1 + 1),
        (OverwriteMask.OUTER | OverwriteMask.INNER, 7),
        (OverwriteMask.OUTER | OverwriteMask.INNER | OverwriteMask.UOP, 8),
    ],
)
def test_gemm_overwrites_where_every_named_index_is_at_its_first_value(mask, sums):
    def ones(machine):
        machine.inp[:, :, 0] = machine.wgt[:, :, 0] = 1
        machine.acc[:] = 100

    gemm = GemmOverwrite(uop_end=2, iter_out=2, iter_in=2)
    machine = machine_after(Set(register=SetRegister.OVERWRITE, value=int(mask)), gemm, before=ones)
    assert machine.acc[0, 0].tolist() == [sums] * 4
    assert machine.acc[1, 0].tolist() == [100] * 4


def test_copy_and_subtract():
    def values(machine):
        machine.acc[0], machine.acc[1] = 5, -(1 << 31)
        machine.uop[:1] = int.from_bytes(uops_to_bytes([(0, 1, 0)], FULL), "little")

    once = {"uop_end": 1, "iter_out": 1, "iter_in": 1}
    subtracted = machine_after(Alu(alu_op=AluOp.SUB, **once), before=values)
    assert subtracted.acc[0, 0].tolist() == [5 - (1 << 31)] * 4  # 5 + 2³¹, wrapped
    copied = machine_after(Alu(alu_op=AluOp.COPY, use_imm=True, imm=-3, **once), before=values)
    assert copied.acc[0, 0].tolist() == [-3] * 4


def test_every_step_of_a_requantising_store():
    """Bias and scale by channel and by row, a uint8 operand, a table: each number worked out by hand."""
    image = np.zeros(1024, np.uint8)
    params = np.array([[[0, 0x3F800000], [10, 0x3F000000], [0, 0xBF800000], [-5, 0x3E800000]]] * 2, np.int64)
    params[1, :, 0] += 1
    image[64:128] = params.astype(np.uint32).view(np.uint8).reshape(-1)
    image[128:384] = np.arange(256) ^ 0x80  # a table that flips the sign bit
    image[512 + 8 : 512 + 16] = 200

    def values(machine):
        machine.acc[:2] = 21

    registers = {
        SetRegister.ZERO_POINT: 3,
        SetRegister.CLAMP_LO: -10,
        SetRegister.CLAMP_HI: 20,
        SetRegister.RESIDUAL: 2,
        SetRegister.SCALE: 0x40000000,
        SetRegister.RESIDUAL_SCALE: 0x3F000000,
        SetRegister.OFFSET: 0xC2C80000,  # -100
        SetRegister.SUM_HI: 30,
    }
    mode = StoreMode.RESIDUAL | StoreMode.UNSIGNED | StoreMode.TABLE | StoreMode.PARAM_Y
    machine = machine_after(
        Load(memory=Memory.PARAM, x_size=2, y_size=1),
        Load(memory=Memory.TABLE, x_size=1, y_size=1),
        *[Set(register=register, value=value & 0xFFFFFFFF) for register, value in registers.items()],
        Store(memory=Memory.ACC_8BIT, x_size=1, y_size=2, x_stride=1, mode=int(mode)),
        image=image,
        bases={Memory.PARAM: 64, Memory.TABLE: 128, Memory.ACC_8BIT: 512},
        before=values,
    )
    # 21, 31/2 → 16, -21, 16/4; then 22, 16, -22, 17/4 → 4; each + 3 within -10..20; 2q + 200/2 - 100 within ..30.
    requantised = [[20, 19, -10, 7], [20, 19, -10, 7]]
    sums = [[min(2 * q, 30) & 0xFF for q in row] for row in requantised]
    assert machine.dram[512:520].reshape(2, 4).tolist() == [[q ^ 0x80 for q in row] for row in sums]


@pytest.mark.parametrize(
    ("instruction", "cause"),
    [
        (Store(memory=Memory.ACC_8BIT, x_size=5, y_size=1, mode=StoreMode.PARAM_X), Cause.SCRATCHPAD_RANGE),
        (Load(memory=Memory.PARAM, sram=4, x_size=1, y_size=1), Cause.SCRATCHPAD_RANGE),
        (Load(memory=Memory.TABLE, sram=1, x_size=1, y_size=1), Cause.SCRATCHPAD_RANGE),
        (Set(register=0x2A), Cause.ILLEGAL_INSTRUCTION),
        (Alu(alu_op=7), Cause.ILLEGAL_INSTRUCTION),
    ],
)
def test_faults_of_the_extensions(instruction, cause):
    with pytest.raises(ReferenceFaultError) as caught:
        machine_after(instruction)
    assert caught.value.cause is cause


@pytest.mark.parametrize(
    "instruction",
    [
        Set(register=SetRegister.LOAD_PAD),
        GemmOverwrite(),
        Store(memory=Memory.ACC_8BIT),
        Load(memory=Memory.PARAM),
        Load(memory=Memory.ACC_8BIT),
        Alu(alu_op=AluOp.COPY),
    ],
)
def test_the_base_accelerator_has_none_of_them(instruction):
    with pytest.raises(ReferenceFaultError) as caught:
        machine_after(instruction, config=TINY)
    assert caught.value.cause is Cause.ILLEGAL_INSTRUCTION
