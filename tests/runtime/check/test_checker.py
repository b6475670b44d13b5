"""Small programs with one thing wrong each, and what the check says of them."""

from dataclasses import replace

import numpy as np
import pytest
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import encode, pack_uops
from weft_hardware.isa import Alu, AluOp, Finish, Gemm, Load, Memory, Set, SetRegister, Store, StoreMode
from weft_runtime.check import Kind, check_program
from weft_runtime.device import Launch
from weft_runtime.dram import Dram
from weft_runtime.errors import DeviceError

SMALL = AcceleratorConfig(
    block_in=4,
    block_out=4,
    inp_depth=8,
    wgt_depth=8,
    acc_depth=8,
    uop_depth=8,
    command_queue_depth=4,
    token_queue_depth=2,
)
FULL = replace(SMALL, epilogue_lanes=4, residual=True)
BASES = {Memory.INP: 1024, Memory.OUT: 2048, Memory.ACC: 2048, Memory.ACC_8BIT: 2048, Memory.UOP: 512}
BLOCK = {"x_size": 1, "y_size": 1}
NOTHING = {"memory": int(Memory.INP)}
UOPS = Load(memory=int(Memory.UOP), **BLOCK)
GEMM = Gemm(uop_end=1, iter_out=1, iter_in=1)
LOAD = Load(memory=int(Memory.INP), **BLOCK)
STORE = Store(memory=int(Memory.OUT), **BLOCK)
FINISH = Finish()


def check(*instructions, config=SMALL, image=None, base=0, **settings):
    """The findings' kinds, instructions and sentences."""
    memory = np.zeros(8192, np.uint8) if image is None else image
    raw = encode(instructions, config).view(np.uint8).reshape(-1)
    memory[4096 : 4096 + raw.size] = raw
    launch = Launch(base + 4096, len(instructions), {memory: base + at for memory, at in BASES.items()})
    report = check_program(launch, Dram(memory, base), config, **settings)
    return [(f.kind, f.instructions, report.sentence(f)) for f in report.findings]


def race(first, second, sentence):
    return [(Kind.RACE, (first, second), sentence)]


def test_a_sound_program():
    load, gemm = replace(LOAD, push_next=True), replace(GEMM, pop_prev=True, push_next=True)
    assert check(UOPS, load, gemm, replace(STORE, pop_prev=True, push_prev=True), replace(FINISH, pop_next=True)) == []


# Races ---------------------------------------------------------------------------------------------------------


def test_a_gemm_that_does_not_wait_for_its_input():
    assert check(UOPS, LOAD, GEMM, FINISH) == race(
        1,
        2,
        "instruction 1 (LOAD INP) writes INP 0 and instruction 2 (GEMM) reads it, in no certain order; add a token "
        "from load to compute, pushed by instruction 1 or a later one and popped by instruction 2 or an earlier one",
    )


def test_an_input_overwritten_while_it_may_be_read():
    load = replace(LOAD, push_next=True)
    assert check(UOPS, load, replace(GEMM, pop_prev=True), LOAD, FINISH) == race(
        2,
        3,
        "instruction 2 (GEMM) reads INP 0 and instruction 3 (LOAD INP) writes it, in no certain order; add a token "
        "from compute to load, pushed by instruction 2 or a later one and popped by instruction 3 or an earlier one",
    )


def test_a_store_and_a_load_meet_in_dram_through_compute():
    load = replace(LOAD, dram=256)  # INP tile 256 of 4 bytes lies at 2048, where OUT tile 0 does
    assert check(STORE, load, FINISH) == race(
        0,
        1,
        "instruction 0 (STORE OUT) writes DRAM 0x800..0x803 and instruction 1 (LOAD INP) reads it, in no certain "
        "order; add tokens from store to compute, pushed by instruction 0 or a later one, and from compute to load, "
        "popped by instruction 1 or an earlier one",
    )
    bridge = Load(memory=int(Memory.UOP), pop_next=True, push_prev=True)
    assert check(replace(STORE, push_prev=True), bridge, replace(load, pop_next=True), FINISH) == []


def test_neighbours_do_not_race():
    assert check(STORE, replace(LOAD, dram=257), FINISH) == []


@pytest.mark.parametrize("base", [0, 3, 0xFFFD, 1 << 20])
def test_memory_may_begin_anywhere(base):
    load = replace(LOAD, dram=-(-base // 4))
    store = replace(STORE, dram=-(-base // 4))
    memory = np.zeros(8192, np.uint8)
    program = encode([store, load, FINISH], SMALL).view(np.uint8).reshape(-1)
    first = -base % 16
    memory[first : first + program.size] = program
    at = {Memory.INP: 2048, Memory.OUT: 2048}
    report = check_program(Launch(base + first, 3, at), Dram(memory, base), SMALL)
    address = 2048 + 4 * -(-base // 4)
    assert [str(f.span) for f in report.findings] == [f"DRAM {address:#x}..{address + 3:#x}"]


def test_interleaved_tiles_do_not_race():
    """Two strided loops, even tiles and odd tiles, though each spans the other."""
    image = np.zeros(8192, np.uint8)
    uops = pack_uops(SMALL, [0, 1]).view(np.uint8)
    image[512 : 512 + uops.size] = uops
    uops, walk = replace(UOPS, x_size=2), {"iter_out": 1, "iter_in": 4, "dst_in": 2}
    alu = Alu(alu_op=int(AluOp.ADD), use_imm=True, imm=1, uop_bgn=1, uop_end=2, **walk)
    even = [replace(STORE, sram=tile) for tile in (0, 2, 4, 6)]
    assert check(uops, alu, *even, FINISH, image=image) == []
    odd = [replace(STORE, sram=tile) for tile in (0, 3)]
    assert check(uops, alu, *odd, FINISH, image=image) == race(
        1,
        3,
        "instruction 1 (ALU ADD) writes ACC 3 and instruction 3 (STORE OUT) reads it, in no certain order; add a "
        "token from compute to store, pushed by instruction 1 or a later one and popped by instruction 3 or an "
        "earlier one",
    )


def test_one_missing_token_is_one_finding():
    loads = [replace(LOAD, sram=tile) for tile in range(4)]
    gemms = [replace(GEMM, iter_in=4, src_in=1)] * 3
    assert [found[:2] for found in check(UOPS, *loads, *gemms, FINISH)] == [(Kind.RACE, (4, 5))]


def test_a_reset_reads_no_input():
    assert check(UOPS, LOAD, replace(GEMM, reset=True), FINISH) == []


def test_a_residual_operand_is_a_read_of_dram():
    """What STORE reads besides, and what a load of the compute queue reads, only meet writes of STORE."""
    config = replace(FULL, widening_load=True)
    mode = int(StoreMode.RESIDUAL)
    away = Set(register=int(SetRegister.RESIDUAL), value=64)
    store = Store(memory=int(Memory.ACC_8BIT), mode=mode, **BLOCK)
    reads_operand = Load(memory=int(Memory.ACC_8BIT), sram=4, dram=64, **BLOCK)
    reads_result = replace(reads_operand, dram=0)
    assert check(away, store, reads_operand, FINISH, config=config) == []
    assert [found[:2] for found in check(away, store, reads_result, FINISH, config=config)] == [(Kind.RACE, (1, 2))]


# Tokens --------------------------------------------------------------------------------------------------------


def test_a_token_that_is_never_pushed():
    assert check(UOPS, replace(LOAD, pop_next=True), FINISH) == [
        (
            Kind.DEADLOCK,
            (1,),
            "deadlock after 2 of 3 instructions: load waits at instruction 1 (LOAD INP) for a token from compute, "
            "but no compute instruction left pushes one; give every pop a push that can come before it",
        )
    ]


def test_a_cycle_of_waits():
    load, finish = Load(**NOTHING, pop_next=True, push_next=True), Finish(pop_prev=True, push_prev=True)
    (found,) = check(load, finish)
    assert found[:2] == (Kind.DEADLOCK, (0, 1))


def test_a_token_queue_that_stays_full():
    """Compute cannot push a third token, so fetch never comes to the stores that would take them."""
    nothing = Load(memory=int(Memory.UOP))
    pushes, pops = [replace(nothing, push_next=True)] * 3, [Store(memory=int(Memory.OUT), pop_prev=True)] * 3
    (found,) = check(*pushes, *[nothing] * 4, *pops, FINISH)
    assert found[:2] == (Kind.DEADLOCK, (2, 7))
    assert (
        "compute waits after instruction 2 (LOAD UOP) to push a token to store, whose token queue is full (2)"
        in found[2]
    )
    assert check(*pushes, *[nothing] * 4, *pops, FINISH, config=replace(SMALL, token_queue_depth=3)) == []
    assert check(*pushes, *[nothing] * 3, *pops, FINISH) == []


def test_a_command_queue_that_stays_full():
    """Loads wait for a token that an instruction behind them gives: fetch never gets there."""
    waiting = [Load(**NOTHING, pop_next=True), *[Load(**NOTHING)] * 4]
    push = Load(memory=int(Memory.UOP), push_prev=True)
    (found,) = check(*waiting, push, FINISH)
    assert found[0] is Kind.DEADLOCK
    assert "fetch cannot dispatch instruction 4 (LOAD INP) because the load queue is full (4 instructions)" in found[2]
    assert check(*waiting, push, FINISH, config=replace(SMALL, command_queue_depth=5)) == []


def test_a_token_that_is_never_taken():
    assert check(Load(**NOTHING, push_next=True), FINISH) == [
        (
            Kind.TOKENS_LEFT,
            (),
            "the program ended with 1 token from load to compute (last pushed by instruction 0 (LOAD INP)) that no "
            "instruction took; give every push a pop, or drop the push flag",
        )
    ]


# Single instructions -------------------------------------------------------------------------------------------


def test_no_finish():
    assert check(UOPS) == [
        (Kind.FAULT, (), "all 1 instructions ran and none was FINISH; end the program with FINISH"),
    ]


def test_faults_are_told_as_devices_tell_them():
    found = check(UOPS, replace(LOAD, sram=8), replace(GEMM, uop_end=1, iter_in=3, dst_in=4), replace(STORE, y_pad0=1))
    assert found[1:] == [
        (
            Kind.FAULT,
            (1,),
            "instruction 1 (LOAD INP): tiles 8..8 do not fit the INP scratchpad of 8 tiles (0..7); move a smaller "
            "block or lower sram",
        ),
        (
            Kind.FAULT,
            (2,),
            "instruction 2 (GEMM): index 8 is outside its scratchpad (accumulator 0..7 or input 0..7 or weight 0..7); "
            "correct the micro-ops, loop counts or steps",
        ),
        (
            Kind.FAULT,
            (3,),
            "instruction 3: STORE with padding (1, 0, 0, 0) has no meaning; set the four pad fields to 0",
        ),
    ]


def test_an_opcode_that_is_none():
    image = np.zeros(8192, np.uint8)
    words = encode([FINISH, FINISH], SMALL)
    words[1, 0] = 7
    image[:32] = words.view(np.uint8).reshape(-1)
    report = check_program(Launch(0, 2), Dram(image), SMALL)
    assert [report.sentence(f) for f in report.findings] == [
        "instruction 1: opcode 7 is not one of LOAD (0), STORE (1), GEMM (2), FINISH (3), ALU (4), SET (5), "
        "GEMM_OVERWRITE (6); check the stream's address and count"
    ]
    assert report.text(1) == "?      0x00000000000000000000000000000007  ; illegal: opcode 7 is no instruction"


def test_a_store_over_the_program():
    """Even of an instruction that ran: the program would be broken afterwards."""
    store = replace(STORE, dram=(4096 - 2048) // 4 - 1, x_size=2)
    assert check(FINISH, store) == [
        (
            Kind.PROGRAM_OVERWRITTEN,
            (1,),
            "instruction 1 (STORE OUT) writes DRAM 0x1000..0x1003, where the program itself lies, which is fetched "
            "at no time that tokens order; store elsewhere",
        )
    ]
    assert check(FINISH, replace(store, x_size=1)) == []


def test_a_store_over_a_constant():
    constants = [(512, 516), (2052, 2056)]
    assert check(replace(STORE, x_size=2), FINISH, constants=constants) == [
        (
            Kind.CONSTANT_OVERWRITTEN,
            (0,),
            "instruction 0 (STORE OUT) writes DRAM 0x804..0x807, which holds constants of later launches; "
            "store elsewhere",
        )
    ]
    gap = {"y_size": 2, "x_stride": 2}  # tiles 0 and 2: the constant lies between them
    assert check(replace(STORE, **gap), FINISH, constants=constants) == []


@pytest.mark.parametrize(
    ("away", "stride", "is_sound"),
    [
        *[(1, 5, False), (-4, 5, False), (6, 5, False), (0, 1, False)],
        *[(0, 5, True), (2, 5, True), (3, 5, True), (7, 5, True)],
    ],
)
def test_a_residual_operand_that_is_overwritten(away, stride, is_sound):
    distance = Set(register=int(SetRegister.RESIDUAL), value=away & 0xFFFFFFFF)
    block = {"memory": int(Memory.ACC_8BIT), "dram": 64, "x_size": 2, "y_size": 2, "x_stride": stride}
    store = Store(**block, mode=int(StoreMode.RESIDUAL))
    found = check(distance, store, FINISH, config=FULL)
    assert [f[:2] for f in found] == ([] if is_sound else [(Kind.OPERAND_OVERWRITTEN, (1,))])
    if not is_sound and away == 1:
        assert found[0][2] == (
            "instruction 1 (STORE ACC_8BIT) writes DRAM 0x904..0x91b, where it may still have to read its residual "
            "operand; set register RESIDUAL to 0 without overlapping rows, or store elsewhere"
        )


# Micro-ops -----------------------------------------------------------------------------------------------------


def test_micro_ops_that_were_never_loaded():
    assert check(UOPS, replace(GEMM, uop_end=3, reset=True), FINISH) == [
        (
            Kind.UNKNOWN_MICRO_OPS,
            (1,),
            "instruction 1 (GEMM) runs micro-ops UOP 1..2, which the program did not load from memory that is known "
            "before the launch, so that nobody can know what it reaches; load them",
        )
    ]
    assert check(replace(UOPS, x_pad1=2), replace(GEMM, uop_end=3, reset=True), FINISH) == []


def test_micro_ops_from_memory_that_is_not_known():
    reset = replace(GEMM, reset=True)
    (found,) = check(UOPS, reset, FINISH, constants=[(0, 515), (516, 8192)])
    assert found[:2] == (Kind.UNKNOWN_MICRO_OPS, (1,))
    assert check(UOPS, reset, FINISH, constants=[(512, 516)]) == []


def test_micro_ops_that_the_program_stored():
    store = replace(STORE, dram=16, push_prev=True)  # OUT tile 16 of 4 bytes lies at 2112
    load = replace(UOPS, dram=(2112 - 512) // 4, pop_next=True)
    assert check(store, load, FINISH) == [
        (
            Kind.UNKNOWN_MICRO_OPS,
            (0, 1),
            "instruction 1 (LOAD UOP) reads DRAM 0x840..0x843, which instruction 0 (STORE OUT) wrote, so that nobody "
            "can know what it reaches; load micro-ops that the program does not write",
        )
    ]
    later = replace(STORE, dram=16, pop_prev=True)
    assert check(replace(load, pop_next=False, push_next=True), later, FINISH) == []


# Launches ------------------------------------------------------------------------------------------------------


def test_a_program_outside_the_memory_is_refused():
    with pytest.raises(DeviceError, match=r"^DRAM access of 32 bytes at 0x0 is outside 0x1000\.\.0x2000; "):
        check_program(Launch(0, 2), Dram(np.zeros(4096, np.uint8), 4096), SMALL)


def test_a_window_that_a_block_leaves():
    image = np.zeros(8192, np.uint8)
    words = encode([LOAD, FINISH], SMALL).view(np.uint8).reshape(-1)
    image[: words.size] = words
    launch = Launch(0, 2, {Memory.INP: 1024}, {Memory.INP: (1028, 2048)})
    report = check_program(launch, Dram(image), SMALL)
    assert [report.sentence(f) for f in report.findings] == [
        "instruction 0 (LOAD INP): DRAM access at 0x400 is outside the memory or was refused; correct its base "
        "register, dram, sizes and x_stride"
    ]
    assert check_program(replace(launch, windows={}), Dram(image), SMALL).passed
