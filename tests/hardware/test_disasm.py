"""The disassembler: what a line says, and that nothing makes it fail."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from weft_hardware.config import AcceleratorConfig
from weft_hardware.disasm import disassemble, disassemble_uops, token_words
from weft_hardware.encoding import encode, encode_uops
from weft_hardware.isa import (
    Alu,
    AluOp,
    Finish,
    Gemm,
    GemmOverwrite,
    Load,
    Memory,
    MicroOp,
    OverwriteMask,
    Set,
    SetRegister,
    Store,
    StoreMode,
)
from weft_hardware.presets import PRESETS

BASE, VTA = PRESETS["base"], PRESETS["vta"]


def lines(*program, config: AcceleratorConfig = BASE) -> list[str]:
    return list(disassemble(encode(program, config), config))


def test_a_program():
    assert lines(
        Load(memory=Memory.INP, dram=16, y_size=4, x_size=8, x_stride=10, y_pad0=1, push_next=True),
        Load(memory=Memory.UOP, x_size=1, y_size=1),
        Gemm(reset=True, uop_end=16, iter_out=2, iter_in=3, dst_out=4, pop_prev=True, push_prev=True),
        Alu(alu_op=AluOp.SHR, use_imm=True, imm=-8, uop_end=1, iter_out=1, iter_in=1, push_next=True),
        Store(memory=Memory.OUT, sram=2, y_size=1, x_size=1, x_stride=1, pop_prev=True, push_prev=True),
        Finish(pop_next=True),
    ) == [
        "     0  LOAD   INP dram=16 y_size=4 x_size=8 x_stride=10 y_pad0=1 push(compute)",
        "     1  LOAD   UOP y_size=1 x_size=1",
        "     2  GEMM   reset uop_end=16 iter_out=2 iter_in=3 dst_out=4 pop(load) push(load)",
        "     3  ALU    SHR uop_end=1 iter_out=1 iter_in=1 use_imm imm=-8 push(store)",
        "     4  STORE  OUT sram=2 y_size=1 x_size=1 x_stride=1 pop(compute) push(compute)",
        "     5  FINISH pop(store)",
    ]


def test_extensions():
    assert lines(
        Set(register=SetRegister.COMPUTE_PAD, value=-128 & 0xFFFFFFFF),
        Set(register=SetRegister.OVERWRITE, value=OverwriteMask.INNER | OverwriteMask.UOP, pop_prev=True),
        Set(register=SetRegister.OVERWRITE),
        Set(register=SetRegister.SCALE, value=0x3F000000, push_prev=True),
        Set(register=SetRegister.OFFSET, value=0xC0490FDB),
        Set(register=SetRegister.OFFSET),
        Set(register=SetRegister.RESIDUAL_SCALE, value=0x7F800000),
        Set(register=SetRegister.CLAMP_LO, value=0xFFFFFF80),
        Set(register=SetRegister.ZERO_POINT, value=0x0FF),
        GemmOverwrite(uop_end=16, iter_out=2, iter_in=3, pop_prev=True),
        Load(memory=Memory.PARAM, y_size=1, x_size=2),
        Alu(alu_op=AluOp.COPY, uop_end=1, iter_out=1, iter_in=1),
        Store(memory=Memory.ACC_8BIT, mode=StoreMode.RESIDUAL | StoreMode.PARAM_X, y_size=1, x_size=1),
        config=VTA,
    ) == [
        "     0  SET    COMPUTE_PAD value=-128",
        "     1  SET    OVERWRITE value=INNER|UOP pop(load)",
        "     2  SET    OVERWRITE value=0",
        "     3  SET    SCALE value=0.5 push(compute)",
        "     4  SET    OFFSET value=-3.1415927",
        "     5  SET    OFFSET value=0.0",
        "     6  SET    RESIDUAL_SCALE value=0x7f800000",
        "     7  SET    CLAMP_LO value=-128",
        "     8  SET    ZERO_POINT value=255",
        "     9  GEMM_OVERWRITE uop_end=16 iter_out=2 iter_in=3 pop(load)",
        "    10  LOAD   PARAM y_size=1 x_size=2",
        "    11  ALU    COPY uop_end=1 iter_out=1 iter_in=1",
        "    12  STORE  ACC_8BIT y_size=1 x_size=1 mode=RESIDUAL|PARAM_X",
    ]


def test_a_register_that_does_not_exist():
    (line,) = lines(Set(register=0x3F, value=3))
    reason = "SET.register = 63 names no register; this accelerator has none"
    assert line == f"     0  SET    register=63 value=3  ; illegal: {reason}"


def test_neighbours_that_do_not_exist():
    assert token_words(Load(memory=Memory.WGT, pop_prev=True)) == ["pop(none)"]
    assert token_words(Store(memory=Memory.OUT, push_next=True)) == ["push(none)"]
    assert token_words(Load(memory=Memory.ACC, pop_prev=True, pop_next=True)) == ["pop(load)", "pop(store)"]


def test_illegal_instructions_are_shown():
    assert lines(Store(memory=6), Alu(alu_op=7)) == [
        "     0  STORE  PARAM  ; illegal: STORE.memory = 6 names no memory it can reach; use one of ACC (3), OUT (4)",
        "     1  ALU    alu_op=7  ; illegal: ALU.alu_op = 7 is no operation; "
        "use one of MIN (0), MAX (1), ADD (2), SHR (3), MUL (4)",
    ]


def test_unknown_opcode_between_known_ones():
    words = encode([Finish(), Finish(), Finish()], BASE)
    words[1] = (0x17, 0xAB)
    assert list(disassemble(words, BASE)) == [
        "     0  FINISH",
        "     1  ?      0x00000000000000ab0000000000000017  ; illegal: opcode 7 is no instruction",
        "     2  FINISH",
    ]


def test_micro_ops():
    encoded = encode_uops([MicroOp(), MicroOp(dst=2047, src=5, wgt=1023)], BASE)
    assert list(disassemble_uops(encoded, BASE)) == [
        "     0  dst=0 src=0 wgt=0",
        "     1  dst=2047 src=5 wgt=1023",
    ]


@given(st.lists(st.tuples(*[st.integers(0, 2**64 - 1)] * 2), max_size=8))
@settings(max_examples=300, deadline=None)
def test_any_bits_give_one_line_each(rows):
    words = np.array(rows, np.uint64).reshape(-1, 2)
    text = list(disassemble(words, BASE))
    assert len(text) == len(rows)
    assert all("\n" not in line for line in text)
