"""The encoding, held by bit positions written down by hand, at VTA's preset and where deep scratchpads widen it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.configs import CONFIGS
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import (
    as_words,
    decode,
    encode,
    encode_uops,
    opcodes,
    pack,
    pack_uops,
    unpack,
    unpack_uops,
)
from weft_hardware.errors import IsaError
from weft_hardware.isa import (
    INSTRUCTIONS,
    Alu,
    Finish,
    Gemm,
    GemmOverwrite,
    Instruction,
    Load,
    MicroOp,
    Set,
    Store,
    instruction_bits,
    layout,
    uop_bits,
)
from weft_hardware.rtl.layouts import instruction_layout, uop_layout
from weft_simulator.lockstep.bits import HALVES, field_positions, instructions_to_bytes, uop_word

VTA = AcceleratorConfig()
WIDE = CONFIGS["deep"]

# First and last bit of each field of the 128-bit word.
FLAGS = {"pop_prev": (3, 3), "pop_next": (4, 4), "push_prev": (5, 5), "push_next": (6, 6)}
MEMORY = {
    **FLAGS,
    "memory": (7, 9),
    "sram": (10, 25),
    "dram": (26, 57),
    "y_size": (64, 79),
    "x_size": (80, 95),
    "x_stride": (96, 111),
    "y_pad0": (112, 115),
    "y_pad1": (116, 119),
    "x_pad0": (120, 123),
    "x_pad1": (124, 127),
}
LOOPS = {
    **FLAGS,
    "reset": (7, 7),
    "uop_bgn": (8, 20),
    "uop_end": (21, 34),
    "iter_out": (35, 48),
    "iter_in": (49, 62),
    "dst_out": (64, 74),
    "dst_in": (75, 85),
    "src_out": (86, 96),
    "src_in": (97, 107),
}
VTA_BITS: dict[type[Instruction], tuple[int, dict[str, tuple[int, int]]]] = {
    Load: (0, MEMORY),
    Store: (1, {**MEMORY, "mode": (58, 63)}),
    Gemm: (2, {**LOOPS, "wgt_out": (108, 117), "wgt_in": (118, 127)}),
    Finish: (3, FLAGS),
    Set: (5, {**FLAGS, "register": (7, 12), "value": (64, 95)}),
    GemmOverwrite: (6, {**LOOPS, "wgt_out": (108, 117), "wgt_in": (118, 127)}),
    Alu: (4, {**LOOPS, "alu_op": (108, 110), "use_imm": (111, 111), "imm": (112, 127)}),
}
VTA_UOP = {"dst": (0, 10), "src": (11, 21), "wgt": (22, 31)}
SIGNED = {"imm"}
BOTH = pytest.mark.parametrize("config", [VTA, WIDE, CONFIGS["batch2"]], ids=["vta", "deep", "batch2"])


def word_of(instruction: Instruction, config: AcceleratorConfig) -> int:
    return int.from_bytes(encode([instruction], config).tobytes(), "little")


def value_range(name: str, width: int) -> tuple[int, int]:
    return (-(1 << (width - 1)), (1 << (width - 1)) - 1) if name in SIGNED else (0, (1 << width) - 1)


def instance(cls: type[Instruction], **values: int) -> Instruction:
    """An instruction with its 1-bit fields as booleans and `memory` present."""
    required = {"memory": 0} if cls in (Load, Store) else {}
    flags = {name for name, (first, last) in VTA_BITS[cls][1].items() if first == last}
    return cls(**{**required, **{n: bool(v) if n in flags else v for n, v in values.items()}})


@st.composite
def instructions(draw: st.DrawFn, config: AcceleratorConfig) -> Instruction:
    """Any instruction whose fields fit, boundary values often."""
    cls = draw(st.sampled_from(INSTRUCTIONS))
    values = {}
    for name, position in layout(cls, config).items():
        low, high = value_range(name, position.width)
        values[name] = draw(st.sampled_from([low, high]) | st.integers(low, high))
    return instance(cls, **values)


# VTA's preset, bit for bit ----------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", INSTRUCTIONS, ids=lambda cls: cls.__name__)
def test_fields_lie_where_vta_has_them(cls):
    assert {n: (p.offset, p.offset + p.width - 1) for n, p in layout(cls, VTA).items()} == VTA_BITS[cls][1]
    assert instruction_bits(VTA) == 128


@pytest.mark.parametrize("cls", INSTRUCTIONS, ids=lambda cls: cls.__name__)
def test_every_bit_of_every_field(cls):
    opcode, fields = VTA_BITS[cls]
    assert word_of(instance(cls), VTA) == opcode
    for name, (first, last) in fields.items():
        for bit in range(first, last + 1):
            value = 1 << (bit - first)
            if name in SIGNED and bit == last:
                value = -value
            assert word_of(instance(cls, **{name: value}), VTA) == opcode | 1 << bit, name


@pytest.mark.parametrize("cls", INSTRUCTIONS, ids=lambda cls: cls.__name__)
def test_a_full_field_fills_its_bits_and_no_other(cls):
    opcode, fields = VTA_BITS[cls]
    for name, (first, last) in fields.items():
        full = -1 if name in SIGNED else (1 << (last - first + 1)) - 1
        mask = ((1 << (last - first + 1)) - 1) << first
        assert word_of(instance(cls, **{name: full}), VTA) == opcode | mask, name


def test_micro_op_fields_lie_where_vta_has_them():
    assert {n: (p.offset, p.offset + p.width - 1) for n, p in layout(MicroOp, VTA).items()} == VTA_UOP
    assert uop_bits(VTA) == 32
    assert pack_uops(VTA, [1, 0, 0, 2047], [0, 1, 0, 2047], [0, 0, 1, 1023]).tolist() == [
        1,
        1 << 11,
        1 << 22,
        0xFFFFFFFF,
    ]


def test_a_vta_instruction_as_vta_emits_it():
    """LOAD INP of 2 rows of 3 tiles, pitch 5, sram 7, dram 0x1234, pads 1 2 3 4, popping next, pushing next."""
    load = Load(
        memory=2, sram=7, dram=0x1234, y_size=2, x_size=3, x_stride=5,
        y_pad0=1, y_pad1=2, x_pad0=3, x_pad1=4, pop_next=True, push_next=True,
    )  # fmt: skip
    low = 0b1010000 | 2 << 7 | 7 << 10 | 0x1234 << 26
    high = 2 | 3 << 16 | 5 << 32 | 0x4321 << 48
    assert encode([load], VTA).tolist() == [[low, high]]


# Wider configurations ---------------------------------------------------------------------------------------


def test_deep_scratchpads_widen_their_own_fields():
    assert (instruction_bits(WIDE), uop_bits(WIDE)) == (256, 64)
    widths = {name: position.width for name, position in layout(Gemm, WIDE).items()}
    assert widths == {
        **dict.fromkeys(FLAGS, 1),
        "reset": 1,
        "uop_bgn": 15,
        "uop_end": 16,
        "iter_out": 14,
        "iter_in": 14,
        "dst_out": 13,
        "dst_in": 13,
        "src_out": 14,
        "src_in": 14,
        "wgt_out": 12,
        "wgt_in": 12,
    }
    assert layout(Gemm, WIDE)["dst_out"].offset == 128
    assert layout(MicroOp, WIDE)["wgt"].offset == 27


def test_one_field_too_many_doubles_the_instruction():
    assert instruction_bits(replace(VTA, uop_depth=8193)) == 256
    assert instruction_bits(replace(VTA, inp_depth=2049)) == 256
    assert instruction_bits(replace(VTA, inp_depth=2048, wgt_depth=1024)) == 128


@BOTH
@pytest.mark.parametrize("cls", INSTRUCTIONS, ids=lambda cls: cls.__name__)
def test_positions_equal_the_second_table(config, cls):
    positions = {n: (p.offset, p.width) for n, p in layout(cls, config).items()}
    assert {"opcode": (0, 3), **positions} == field_positions(cls, config)
    assert set(HALVES) == set(INSTRUCTIONS)


@BOTH
@given(data=st.data())
def test_encoding_equals_the_second_packer(config, data):
    program = data.draw(st.lists(instructions(config), max_size=5))
    assert encode(program, config).tobytes() == instructions_to_bytes(program, config)


# There and back ---------------------------------------------------------------------------------------------


@BOTH
@given(data=st.data())
def test_decode_gives_back_what_was_encoded(config, data):
    program = data.draw(st.lists(instructions(config), max_size=8))
    words = encode(program, config)
    assert decode(words, config) == program
    assert decode(as_words(words.tobytes(), config), config) == program
    assert opcodes(words).tolist() == [int(i.OPCODE) for i in program]


@given(raw=st.binary(min_size=16, max_size=16), opcode=st.integers(0, 6))
def test_reserved_bits_are_ignored(raw, opcode):
    """Any 128 bits with a legal opcode decode, and encode again to the same but for the reserved bits."""
    words = as_words(bytes([raw[0] & 0xF8 | opcode]) + raw[1:], VTA)
    (instruction,) = decode(words, VTA)
    used = 7
    for first, last in VTA_BITS[type(instruction)][1].values():
        used |= ((1 << (last - first + 1)) - 1) << first
    assert word_of(instruction, VTA) == int.from_bytes(words.tobytes(), "little") & used


@BOTH
@given(data=st.data())
def test_micro_ops_there_and_back(config, data):
    positions = layout(MicroOp, config)
    column = {n: st.integers(0, (1 << p.width) - 1) for n, p in positions.items()}
    uops = data.draw(st.lists(st.builds(MicroOp, **column), min_size=1, max_size=6))
    encoded = encode_uops(uops, config)
    assert encoded.tolist() == [uop_word(config, u.dst, u.src, u.wgt) for u in uops]
    assert encoded.dtype.itemsize * 8 == uop_bits(config)
    columns = unpack_uops(encoded, config)
    assert [MicroOp(dst=d, src=s, wgt=w) for d, s, w in zip(*columns.values(), strict=True)] == uops


def test_pack_broadcasts_scalars_over_columns():
    words = pack(Gemm, VTA, iter_out=[1, 2, 3], iter_in=7, reset=True)
    program = decode(words, VTA)
    assert program == [Gemm(iter_out=k, iter_in=7, reset=True) for k in (1, 2, 3)]
    assert unpack(Gemm, words, VTA)["iter_out"].tolist() == [1, 2, 3]


def test_an_empty_program():
    assert encode([], VTA).shape == (0, 2)
    assert decode(encode([], WIDE), WIDE) == []


# RTL --------------------------------------------------------------------------------------------------------


@BOTH
@given(data=st.data())
def test_amaranth_layouts_agree_on_every_field(config, data):
    instruction = data.draw(instructions(config))
    view = instruction_layout(type(instruction), config).from_bits(word_of(instruction, config))
    assert len(view.as_value()) == instruction_bits(config)
    assert int(view.opcode) == int(instruction.OPCODE)
    for name in layout(type(instruction), config):
        assert int(view[name]) == int(getattr(instruction, name)), name


@BOTH
@given(data=st.data())
def test_amaranth_micro_op_layout_agrees(config, data):
    positions = layout(MicroOp, config)
    values = {n: data.draw(st.integers(0, (1 << p.width) - 1)) for n, p in positions.items()}
    view = uop_layout(config).from_bits(uop_word(config, **values))
    assert {name: int(view[name]) for name in values} == values
    assert uop_layout(config).size == uop_bits(config)


# Errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (
            lambda: encode([Gemm(iter_out=16384)], VTA),
            "Gemm.iter_out = 16384 does not fit 14 bits (0..16383); choose a smaller value or split the instruction",
        ),
        (
            lambda: encode([Alu(imm=-32769)], VTA),
            "Alu.imm = -32769 does not fit 16 bits (-32768..32767); choose a smaller value or split the instruction",
        ),
        (
            lambda: encode([Load(memory=0, sram=-1)], VTA),
            "Load.sram = -1 does not fit 16 bits (0..65535); choose a smaller value or split the instruction",
        ),
        (
            lambda: pack(Store, VTA, memory=4, x_size=[1, 2, 70000]),
            "Store.x_size = 70000 (row 2) does not fit 16 bits (0..65535); "
            "choose a smaller value or split the instruction",
        ),
        (
            lambda: pack_uops(VTA, 2048),
            "MicroOp.dst = 2048 does not fit 11 bits (0..2047); choose a smaller value or split the instruction",
        ),
        (
            lambda: pack(Finish, VTA, sram=1),
            "Finish has no field 'sram'; its fields are pop_prev, pop_next, push_prev, push_next",
        ),
        (
            lambda: as_words(bytes(17), VTA),
            "instruction stream of 17 bytes is no whole number of 16-byte instructions; check where it ends",
        ),
        (
            lambda: as_words(bytes(48), WIDE),
            "instruction stream of 48 bytes is no whole number of 32-byte instructions; check where it ends",
        ),
        (
            lambda: decode(np.array([[3, 0], [7, 0]], np.uint64), VTA),
            "instruction 1: opcode 7 is not one of LOAD (0), STORE (1), GEMM (2), FINISH (3), ALU (4), SET (5), "
            "GEMM_OVERWRITE (6); check the stream's address",
        ),
    ],
)
def test_errors_say_what_is_wrong_and_what_to_do(action, message):
    with pytest.raises(IsaError) as caught:
        action()
    assert str(caught.value) == message
