"""What the declarations say beyond bit positions: queues, legality, sizes."""

from dataclasses import replace

import pytest
from weft_hardware.isa import (
    BASE_ALU_OPS,
    QUEUE_REGISTERS,
    Alu,
    AluOp,
    Finish,
    Gemm,
    GemmOverwrite,
    Load,
    Memory,
    Queue,
    Set,
    SetRegister,
    Store,
    StoreMode,
    illegal_reason,
    loadable,
    scratchpad_depth,
    storable,
    tile_bytes,
    uop_bits,
)
from weft_hardware.presets import PRESETS

BASE, VTA = PRESETS["base"], PRESETS["vta"]


@pytest.mark.parametrize(
    ("instruction", "queue"),
    [
        (Load(memory=Memory.INP), Queue.LOAD),
        (Load(memory=Memory.WGT), Queue.LOAD),
        (Load(memory=Memory.UOP), Queue.COMPUTE),
        (Load(memory=Memory.ACC), Queue.COMPUTE),
        (Load(memory=Memory.OUT), Queue.COMPUTE),
        (Load(memory=Memory.ACC_8BIT), Queue.COMPUTE),
        (Load(memory=Memory.PARAM), Queue.STORE),
        (Load(memory=Memory.TABLE), Queue.STORE),
        (Set(register=SetRegister.LOAD_PAD), Queue.LOAD),
        (Set(register=SetRegister.COMPUTE_PAD), Queue.COMPUTE),
        (Set(register=SetRegister.PARAM), Queue.STORE),
        (Set(register=0x3F), Queue.COMPUTE),
        (GemmOverwrite(), Queue.COMPUTE),
        (Store(memory=Memory.OUT), Queue.STORE),
        (Store(memory=Memory.INP), Queue.STORE),
        (Gemm(), Queue.COMPUTE),
        (Alu(), Queue.COMPUTE),
        (Finish(), Queue.COMPUTE),
    ],
)
def test_the_queue_of_an_instruction(instruction, queue):
    assert instruction.queue is queue


@pytest.mark.parametrize(
    "instruction",
    [
        *(Load(memory=memory, x_pad0=15, y_pad1=15) for memory in (Memory.UOP, Memory.WGT, Memory.INP, Memory.ACC)),
        Load(memory=Memory.INP, sram=65535, x_size=65535, y_size=65535),
        Store(memory=Memory.OUT),
        Store(memory=Memory.ACC),
        *(Alu(alu_op=op) for op in BASE_ALU_OPS),
        Store(memory=Memory.OUT, mode=63),
        Gemm(uop_end=16383),
        Finish(push_prev=True),
    ],
)
def test_legal_instructions(instruction):
    assert illegal_reason(instruction, BASE) is None


@pytest.mark.parametrize(
    ("instruction", "reason"),
    [
        (
            Load(memory=Memory.OUT),
            "LOAD.memory = 4 names no memory it can reach; use one of UOP (0), WGT (1), INP (2), ACC (3)",
        ),
        (
            Load(memory=7),
            "LOAD.memory = 7 names no memory it can reach; use one of UOP (0), WGT (1), INP (2), ACC (3)",
        ),
        (
            Store(memory=Memory.WGT),
            "STORE.memory = 1 names no memory it can reach; use one of ACC (3), OUT (4)",
        ),
        (
            Store(memory=Memory.OUT, y_pad1=3),
            "STORE with padding (0, 3, 0, 0) has no meaning; set the four pad fields to 0",
        ),
        (
            Alu(alu_op=5),
            "ALU.alu_op = 5 is no operation; use one of MIN (0), MAX (1), ADD (2), SHR (3), MUL (4)",
        ),
    ],
)
def test_illegal_instructions(instruction, reason):
    assert illegal_reason(instruction, BASE) == reason


@pytest.mark.parametrize(
    "instruction",
    [
        *(Set(register=register, value=0xFFFFFFFF) for register in SetRegister),
        *(Load(memory=memory) for memory in Memory if memory != Memory.OUT),
        *(Alu(alu_op=op) for op in AluOp),
        Store(memory=Memory.ACC_8BIT, mode=63),
        GemmOverwrite(),
    ],
)
def test_extensions_are_legal_where_they_are_built(instruction):
    assert illegal_reason(instruction, VTA) is None


@pytest.mark.parametrize(
    ("instruction", "config", "reason"),
    [
        (Set(register=1), BASE, "SET.register = 1 names no register; this accelerator has none"),
        (
            Set(register=1),
            replace(BASE, pad_value=True),
            "SET.register = 1 names no register; use one of LOAD_PAD (0), COMPUTE_PAD (16)",
        ),
        (
            Store(memory=Memory.ACC_8BIT, mode=StoreMode.RESIDUAL | StoreMode.PARAM_X),
            replace(BASE, epilogue_lanes=1),
            "STORE.mode = 0x12 asks for what this accelerator lacks; use bits of 0x30",
        ),
        (
            GemmOverwrite(),
            BASE,
            "GEMM_OVERWRITE is not part of this accelerator; reset the accumulators with GEMM first",
        ),
    ],
)
def test_extensions_are_illegal_where_they_are_not(instruction, config, reason):
    assert illegal_reason(instruction, config) == reason


@pytest.mark.parametrize(
    ("register", "raw", "value"),
    [
        (SetRegister.CLAMP_LO, 0xFFFFFF80, -128),
        (SetRegister.CLAMP_HI, 255, 255),
        (SetRegister.ZERO_POINT, 0x1FF, -1),
        (SetRegister.COMPUTE_PAD, 0xFFFFFFFF, -1),
        (SetRegister.SCALE, 0x3F800000, 0x3F800000),
        (SetRegister.WIDEN, 3, 1),
    ],
)
def test_a_register_keeps_its_low_bits(register, raw, value):
    assert QUEUE_REGISTERS[register].value(raw) == value


def test_every_register_lies_in_the_queue_that_its_number_says():
    assert {Set(register=r).queue for r in QUEUE_REGISTERS} == set(Queue)
    assert all(Set(register=number).queue is register.queue for number, register in QUEUE_REGISTERS.items())


def test_without_the_raw_store_only_out_can_be_stored():
    base = replace(BASE, raw_store=False)
    reason = "STORE.memory = 3 names no memory it can reach; use one of OUT (4)"
    assert illegal_reason(Store(memory=Memory.ACC), base) == reason
    assert storable(base) == {Memory.OUT}
    assert loadable(base) == {Memory.UOP, Memory.WGT, Memory.INP, Memory.ACC}


def test_out_is_a_view_of_the_accumulators():
    assert scratchpad_depth(Memory.OUT, BASE) == scratchpad_depth(Memory.ACC, BASE) == 2048
    assert tile_bytes(Memory.OUT, BASE) * 4 == tile_bytes(Memory.ACC, BASE)


@pytest.mark.parametrize(
    ("changes", "bits"),
    [({}, 32), ({"wgt_depth": 1025}, 64), ({"inp_depth": 4096}, 64), ({"acc_depth": 4096}, 64), ({"acc_depth": 4}, 32)],
)
def test_micro_ops_widen_with_the_scratchpads(changes, bits):
    config = replace(BASE, **changes)
    assert uop_bits(config) == bits
    assert tile_bytes(Memory.UOP, config) == bits // 8
