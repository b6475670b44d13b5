"""What a program asks of each unit, counted by hand."""

import numpy as np
from weft_hardware.encoding import encode
from weft_hardware.isa import (
    Alu,
    AluOp,
    Finish,
    Gemm,
    GemmOverwrite,
    Load,
    Memory,
    Set,
    SetRegister,
    Store,
    StoreMode,
)
from weft_hardware.presets import PRESETS
from weft_hardware.work import Work, count_work

BASE, VTA = PRESETS["base"], PRESETS["vta"]
LOOPS = {"uop_bgn": 2, "uop_end": 5, "iter_out": 4, "iter_in": 7}
"""84 steps."""


def work(*program, config=VTA):
    return count_work(encode(program, config), config)


def test_compute():
    assert work(Gemm(**LOOPS), Gemm(**LOOPS, reset=True), GemmOverwrite(**LOOPS)).gemm_cycles == 3 * 84
    assert work(Alu(alu_op=AluOp.ADD, **LOOPS), Alu(alu_op=AluOp.SHR, use_imm=True, **LOOPS)).alu_cycles == 3 * 84
    assert work(Gemm(uop_bgn=3, uop_end=3, iter_out=9, iter_in=9)).gemm_cycles == 0


def test_bytes():
    block = {"x_size": 3, "y_size": 5, "x_stride": 9}
    assert work(Load(memory=Memory.WGT, **block)).read_bytes == 16 + 15 * 256
    assert work(Load(memory=Memory.INP, **block, x_pad0=2, y_pad1=1)).read_bytes == 16 + 15 * 16
    assert work(Load(memory=Memory.PARAM, **block)).read_bytes == 16 + 15 * 128
    stored = work(Store(memory=Memory.ACC, **block), Store(memory=Memory.OUT, **block))
    assert (stored.read_bytes, stored.write_bytes) == (32, 15 * 64 + 15 * 16)


def test_epilogue():
    block = {"memory": Memory.ACC_8BIT, "x_size": 3, "y_size": 5}
    plain, summed = work(Store(**block)), work(Store(**block, mode=StoreMode.RESIDUAL))
    assert plain == Work(instructions=1, epilogue_cycles=15 * 16 // 4, read_bytes=16, write_bytes=15 * 16)
    assert summed.read_bytes == 16 + 15 * 16


def test_sums_and_bounds():
    program = (Set(register=SetRegister.PARAM), Gemm(**LOOPS), Store(memory=Memory.OUT, x_size=1, y_size=1), Finish())
    total = sum((work(instruction) for instruction in program), Work())
    assert total == work(*program)
    assert total.least_cycles(VTA) == {"compute": 84, "epilogue": 0, "reads": 8, "writes": 2}
    assert work(Gemm(**LOOPS), config=BASE).least_cycles(BASE)["compute"] == 84


def test_an_empty_stream():
    assert count_work(np.zeros((0, 2), np.uint64), BASE) == Work()
