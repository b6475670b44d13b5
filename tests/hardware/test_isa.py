"""What the declarations say beyond bit positions: queues, legality, sizes."""

from dataclasses import replace

import pytest
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import (
    Alu,
    AluOp,
    Finish,
    Gemm,
    Load,
    Memory,
    Queue,
    Store,
    illegal_reason,
    loadable,
    scratchpad_depth,
    storable,
    tile_bytes,
    uop_bits,
)

VTA = AcceleratorConfig()


@pytest.mark.parametrize(
    ("instruction", "queue"),
    [
        (Load(memory=Memory.INP), Queue.LOAD),
        (Load(memory=Memory.WGT), Queue.LOAD),
        (Load(memory=Memory.UOP), Queue.COMPUTE),
        (Load(memory=Memory.ACC), Queue.COMPUTE),
        (Load(memory=Memory.OUT), Queue.COMPUTE),
        (Load(memory=7), Queue.COMPUTE),
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
        *(Alu(alu_op=op) for op in AluOp),
        Gemm(uop_end=16383),
        Finish(push_prev=True),
    ],
)
def test_legal_instructions(instruction):
    assert illegal_reason(instruction, VTA) is None


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
    assert illegal_reason(instruction, VTA) == reason


def test_without_the_raw_store_only_out_can_be_stored():
    base = replace(VTA, raw_store=False)
    reason = "STORE.memory = 3 names no memory it can reach; use one of OUT (4)"
    assert illegal_reason(Store(memory=Memory.ACC), base) == reason
    assert storable(base) == {Memory.OUT}
    assert loadable(base) == {Memory.UOP, Memory.WGT, Memory.INP, Memory.ACC}


def test_out_is_a_view_of_the_accumulators():
    assert scratchpad_depth(Memory.OUT, VTA) == scratchpad_depth(Memory.ACC, VTA) == 2048
    assert tile_bytes(Memory.OUT, VTA) * 4 == tile_bytes(Memory.ACC, VTA)


@pytest.mark.parametrize(
    ("changes", "bits"),
    [({}, 32), ({"wgt_depth": 1025}, 64), ({"inp_depth": 4096}, 64), ({"acc_depth": 4096}, 64), ({"acc_depth": 4}, 32)],
)
def test_micro_ops_widen_with_the_scratchpads(changes, bits):
    config = replace(VTA, **changes)
    assert uop_bits(config) == bits
    assert tile_bytes(Memory.UOP, config) == bits // 8
