"""The sentences that tell why a launch did not complete."""

import numpy as np
import pytest
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import encode
from weft_hardware.isa import Alu, Finish, Gemm, GemmOverwrite, Load, Memory, Queue, Set, SetRegister, Store, StoreMode
from weft_hardware.registers import Cause, ModuleState, Unit
from weft_runtime.diagnosis import (
    blocked_fetch,
    bus_hung_message,
    command_queues,
    deadlock_message,
    fault_message,
    program_index,
    token_message,
    watchdog_message,
)
from weft_runtime.errors import Fault

VTA = AcceleratorConfig()
SMALL = AcceleratorConfig(command_queue_depth=2, token_queue_depth=1)
NONE_RETIRED = {queue: 0 for queue in Queue}
IDLE = {queue: ModuleState.IDLE for queue in Queue}

INP = Load(memory=Memory.INP, push_next=True)
GEMM = Gemm(pop_prev=True, push_next=True)
OUT = Store(memory=Memory.OUT, pop_prev=True)


def program(*instructions, config=VTA):
    return encode(instructions, config)


def test_queue_of_every_instruction():
    words = program(INP, Load(memory=Memory.WGT), Load(memory=Memory.UOP), Load(memory=Memory.ACC), GEMM, OUT, Finish())
    words = np.concatenate([words, words[:1] | np.uint64(6)])
    assert command_queues(words, VTA).tolist() == [0, 0, 1, 1, 1, 2, 1, 1]
    assert program_index(words, VTA, Queue.COMPUTE, 2) == 4
    assert program_index(words, VTA, Queue.STORE, 1) is None


def test_deadlock_names_the_instruction_that_would_push():
    words = program(Load(memory=Memory.INP, pop_next=True, push_next=True), GEMM, Alu(push_prev=True), Finish())
    states = IDLE | {Queue.LOAD: ModuleState.WAIT_POP_NEXT, Queue.COMPUTE: ModuleState.WAIT_POP_PREV}
    assert deadlock_message(words, VTA, NONE_RETIRED, states, {}) == (
        "deadlock after 0 of 4 instructions: load waits at instruction 0 (LOAD INP) for a token from compute, which "
        "instruction 2 (ALU MIN) would push; compute waits at instruction 1 (GEMM) for a token from load, which "
        "instruction 0 (LOAD INP) would push; give every pop a push that can come before it"
    )


def test_deadlock_says_that_nobody_pushes():
    words = program(Load(memory=Memory.INP, push_next=True), GEMM, Gemm(pop_prev=True), Finish())
    states = IDLE | {Queue.COMPUTE: ModuleState.WAIT_POP_PREV}
    retired = {Queue.LOAD: 1, Queue.COMPUTE: 1, Queue.STORE: 0}
    tokens = {(Queue.COMPUTE, Queue.STORE): 1}
    assert deadlock_message(words, VTA, retired, states, tokens) == (
        "deadlock after 2 of 4 instructions: compute waits at instruction 2 (GEMM) for a token from load, but no load "
        "instruction left pushes one (waiting tokens: 1 token from compute to store); "
        "give every pop a push that can come before it"
    )


def test_deadlock_on_a_full_token_queue_and_a_full_command_queue():
    words = program(INP, INP, INP, INP, Gemm(pop_next=True), Finish(), config=SMALL)
    states = IDLE | {Queue.LOAD: ModuleState.WAIT_PUSH_NEXT}
    retired = {Queue.LOAD: 1, Queue.COMPUTE: 0, Queue.STORE: 0}
    tokens = {(Queue.LOAD, Queue.COMPUTE): 1}
    assert blocked_fetch(words, SMALL, retired) == 3
    assert deadlock_message(words, SMALL, retired, states, tokens) == (
        "deadlock after 1 of 6 instructions: load waits after instruction 1 (LOAD INP) to push a token to compute, "
        "whose token queue is full (1), but no compute instruction left takes one; fetch cannot dispatch instruction 3 "
        "(LOAD INP) because the load queue is full (2 instructions) (waiting tokens: 1 token from load to compute); "
        "give every pop a push that can come before it"
    )


def test_busy_module_is_named():
    message = deadlock_message(program(INP, Finish()), VTA, NONE_RETIRED, IDLE | {Queue.LOAD: ModuleState.BUSY}, {})
    assert "load is busy with instruction 0 (LOAD INP)" in message


@pytest.mark.parametrize(
    ("cause", "unit", "index", "value", "message"),
    [
        (
            Cause.ILLEGAL_INSTRUCTION,
            Unit.COMPUTE,
            1,
            0,
            "instruction 2: ALU.alu_op = 6 is no operation; use one of MIN (0), MAX (1), ADD (2), SHR (3), MUL (4)",
        ),
        (
            Cause.SCRATCHPAD_RANGE,
            Unit.LOAD,
            0,
            2048,
            "instruction 0 (LOAD INP): tiles 2040..2055 do not fit the INP scratchpad of 2048 tiles (0..2047); "
            "move a smaller block or lower sram",
        ),
        (
            Cause.SCRATCHPAD_RANGE,
            Unit.COMPUTE,
            0,
            1030,
            "instruction 1 (GEMM): index 1030 is outside its scratchpad (weight 0..1023); "
            "correct the micro-ops, loop counts or steps",
        ),
        (
            Cause.BUS_ERROR,
            Unit.STORE,
            0,
            0x12340,
            "instruction 3 (STORE OUT): DRAM access at 0x12340 is outside the memory or was refused; "
            "correct its base register, dram, sizes and x_stride",
        ),
        (
            Cause.WINDOW,
            Unit.STORE,
            0,
            0x12_3456_7890,
            "instruction 3 (STORE OUT): DRAM access at 0x1234567890 is outside the memory or was refused; "
            "correct its base register, dram, sizes and x_stride",
        ),
        (
            Cause.BUS_ERROR,
            Unit.FETCH,
            0,
            0x40,
            "instruction fetch: DRAM access at 0x40 is outside the memory or was refused; "
            "correct the instruction address and count",
        ),
        (
            Cause.NO_FINISH,
            Unit.ENGINE,
            0,
            0,
            "all 4 instructions ran and none was FINISH; end the program with FINISH",
        ),
    ],
)
def test_faults(cause, unit, index, value, message):
    words = program(Load(memory=Memory.INP, sram=2040, x_size=16, y_size=1), GEMM, Alu(alu_op=6), OUT)
    assert fault_message(words, VTA, Fault(cause, unit, index, value)) == message


def test_unknown_opcode():
    words = program(INP, Finish())
    words[1, 0] = 7
    assert fault_message(words, VTA, Fault(Cause.ILLEGAL_INSTRUCTION, Unit.COMPUTE, 0, 0)) == (
        "instruction 1: opcode 7 is not one of LOAD (0), STORE (1), GEMM (2), FINISH (3), ALU (4), SET (5), "
        "GEMM_OVERWRITE (6); check the stream's address and count"
    )


def test_watchdog():
    words = program(INP, GEMM, OUT, Finish())
    retired = NONE_RETIRED | {Queue.LOAD: 1}
    states = IDLE | {Queue.COMPUTE: ModuleState.BUSY, Queue.STORE: ModuleState.WAIT_POP_PREV}
    assert watchdog_message(words, VTA, retired, states, 1000) == (
        "watchdog: nothing moved for 1000 cycles after 1 of 4 instructions: compute is busy with instruction 1 (GEMM); "
        "check the memory, or raise the watchdog if it may take so long"
    )
    assert "after 0 of 4 instructions: no module has an instruction to run;" in watchdog_message(
        words, VTA, NONE_RETIRED, IDLE, 1000
    )


@pytest.mark.parametrize(("value", "missing"), [(1, "reads"), (2, "writes"), (3, "reads and writes")])
def test_a_bus_that_hangs(value, missing):
    assert bus_hung_message(value) == (
        f"the memory never answered {missing}, and it took a hardware reset of the accelerator to go on; check the bus"
    )


def test_leftover_tokens():
    tokens = {(Queue.LOAD, Queue.COMPUTE): 2, (Queue.STORE, Queue.COMPUTE): 1}
    words = program(INP, INP, Store(memory=Memory.OUT, push_prev=True), Finish())
    assert token_message(words, VTA, tokens) == (
        "the program ended with 2 tokens from load to compute (last pushed by instruction 1 (LOAD INP)) and 1 token "
        "from store to compute (last pushed by instruction 2 (STORE OUT)) that no instruction took; "
        "give every push a pop, or drop the push flag"
    )


FULL = AcceleratorConfig(gemm_overwrite=True, epilogue_lanes=4, residual=True)


def test_extensions_go_to_their_queues():
    sets = [Set(register=number) for number in (SetRegister.LOAD_PAD, SetRegister.OVERWRITE, SetRegister.PARAM, 0x3F)]
    loads = [Load(memory=memory) for memory in (Memory.ACC_8BIT, Memory.PARAM, Memory.TABLE)]
    words = program(*sets, *loads, GemmOverwrite(), Finish())
    assert command_queues(words, VTA).tolist() == [0, 1, 2, 1, 1, 2, 2, 1, 1]


def test_deadlock_names_registers():
    words = program(Set(register=SetRegister.OVERWRITE, pop_prev=True), GemmOverwrite(pop_next=True), Finish())
    states = IDLE | {Queue.COMPUTE: ModuleState.WAIT_POP_PREV}
    assert deadlock_message(words, FULL, NONE_RETIRED, states, {}) == (
        "deadlock after 0 of 3 instructions: compute waits at instruction 0 (SET OVERWRITE) for a token from load, but "
        "no load instruction left pushes one; give every pop a push that can come before it"
    )


@pytest.mark.parametrize(
    ("store", "cause", "value", "message"),
    [
        (
            Store(memory=Memory.ACC_8BIT, x_size=2, y_size=1, mode=StoreMode.PARAM_X),
            Cause.SCRATCHPAD_RANGE,
            128,
            "instruction 0 (STORE ACC_8BIT): parameter tile 128 is outside the PARAM scratchpad of 128 tiles (0..127); "
            "lower register PARAM or store a smaller block",
        ),
        (
            Store(memory=Memory.ACC_8BIT, sram=2047, x_size=2, y_size=1, mode=StoreMode.PARAM_X),
            Cause.SCRATCHPAD_RANGE,
            2048,
            "instruction 0 (STORE ACC_8BIT): tiles 2047..2048 do not fit the ACC_8BIT scratchpad of 2048 tiles "
            "(0..2047); move a smaller block or lower sram",
        ),
        (
            Store(memory=Memory.ACC_8BIT, x_size=1, y_size=1, mode=StoreMode.RESIDUAL),
            Cause.BUS_ERROR,
            0x1000,
            "instruction 0 (STORE ACC_8BIT): DRAM access at 0x1000 is outside the memory or was refused; correct its "
            "base register, dram, sizes, x_stride and register RESIDUAL",
        ),
    ],
)
def test_faults_of_a_requantising_store(store, cause, value, message):
    words = program(store, Finish())
    assert fault_message(words, FULL, Fault(cause, Unit.STORE, 0, value)) == message
