"""Faults, hangs and leftovers of the functional device, and that it goes on afterwards."""

import sys

import numpy as np
import pytest
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import encode, pack_uops
from weft_hardware.isa import Alu, Finish, Gemm, Load, Memory, Set, SetRegister, Store, StoreMode
from weft_runtime.device import Launch
from weft_runtime.errors import DeadlockError, DeviceError, FaultError, TokenError
from weft_simulator.functional import FunctionalDevice, jit

VTA = AcceleratorConfig()
INP = Load(memory=Memory.INP, push_next=True)


@pytest.fixture
def device():
    return FunctionalDevice(VTA, dram_size=1 << 20)


def launch(device, *instructions, bases=None):
    words = encode(instructions, device.config)
    address = device.allocate(words.nbytes)
    device.write(address, words.view(np.uint8).reshape(-1))
    return device.launch(Launch(address, len(words), bases or {}))


@pytest.mark.parametrize(
    ("instructions", "message"),
    [
        (
            [Alu(alu_op=6), Finish()],
            "instruction 0: ALU.alu_op = 6 is no operation; use one of MIN (0), MAX (1), ADD (2), SHR (3), MUL (4)",
        ),
        (
            [Store(memory=Memory.OUT, x_pad0=1), Finish()],
            "instruction 0: STORE with padding (0, 0, 1, 0) has no meaning; set the four pad fields to 0",
        ),
        (
            [Load(memory=Memory.INP, sram=2040, x_size=9, y_size=1), Finish()],
            "instruction 0 (LOAD INP): tiles 2040..2048 do not fit the INP scratchpad of 2048 tiles (0..2047); "
            "move a smaller block or lower sram",
        ),
        (
            [Gemm(reset=True, uop_end=1, iter_out=3, iter_in=2, dst_out=1023, dst_in=3), Finish()],
            "instruction 0 (GEMM): index 2049 is outside its scratchpad (accumulator 0..2047); "
            "correct the micro-ops, loop counts or steps",
        ),
        (
            [Gemm(uop_end=1, iter_out=2, iter_in=1, wgt_out=1023), Gemm(uop_end=8193, iter_out=1, iter_in=1), Finish()],
            "instruction 1 (GEMM): index 8192 is outside its scratchpad "
            "(micro-op 0..8191 or accumulator 0..2047 or input 0..2047 or weight 0..1023); "
            "correct the micro-ops, loop counts or steps",
        ),
        (
            [Load(memory=Memory.INP, dram=65530, x_size=4, y_size=3, x_stride=2), Finish()],
            "instruction 0 (LOAD INP): DRAM access at 0x10001f is outside the memory or was refused; "
            "correct its base register, dram, sizes and x_stride",
        ),
        ([Gemm()], "all 1 instructions ran and none was FINISH; end the program with FINISH"),
    ],
)
def test_faults(device, instructions, message):
    with pytest.raises(FaultError) as caught:
        launch(device, *instructions)
    assert str(caught.value) == message
    assert launch(device, Finish()).instructions == 1


@pytest.mark.parametrize(
    "instruction",
    [
        Load(memory=Memory.INP, sram=65535, dram=(1 << 32) - 1, y_size=9, x_pad0=3),
        Load(memory=Memory.WGT, dram=(1 << 32) - 1, x_size=1, y_pad0=2),
        Store(memory=Memory.OUT, sram=65535, x_size=9),
        Gemm(uop_end=16383, iter_out=0, iter_in=5),
        Gemm(uop_bgn=8000, uop_end=8000, iter_out=16383, iter_in=16383, dst_out=2047),
        Gemm(reset=True, uop_end=1, iter_out=1, iter_in=2, src_in=2047, wgt_in=1023),
        Alu(uop_end=1, iter_out=2, iter_in=2, src_out=2047, src_in=2047, use_imm=True),
    ],
)
def test_what_does_not_run_is_not_checked(device, instruction):
    assert launch(device, instruction, Finish()).cycles is None


def test_deadlock(device):
    with pytest.raises(DeadlockError) as caught:
        launch(device, INP, Gemm(pop_prev=True, pop_next=True), Store(memory=Memory.OUT, pop_prev=True), Finish())
    assert str(caught.value) == (
        "deadlock after 1 of 4 instructions: compute waits at instruction 1 (GEMM) for a token from store, but no "
        "store instruction left pushes one; store waits at instruction 2 (STORE OUT) for a token from compute, but no "
        "compute instruction left pushes one; give every pop a push that can come before it"
    )
    assert launch(device, Finish()).instructions == 1


@pytest.mark.parametrize("seed", [None, 0, 1, 2])
def test_full_token_queue_hangs_in_every_order(seed):
    config = AcceleratorConfig(token_queue_depth=2, command_queue_depth=2)
    device = FunctionalDevice(config, dram_size=1 << 16, order_seed=seed)
    with pytest.raises(DeadlockError, match=r"fetch cannot dispatch instruction 4 \(LOAD INP\)"):
        launch(device, INP, INP, INP, INP, INP, Gemm(pop_prev=True), Finish())


def test_leftover_token(device):
    with pytest.raises(TokenError, match="the program ended with 1 token from load to compute"):
        launch(device, INP, Finish())
    assert launch(device, Finish()).instructions == 1


def test_program_outside_the_memory(device):
    with pytest.raises(FaultError, match=r"^instruction fetch: DRAM access at 0x100000 is outside the memory"):
        device.launch(Launch((1 << 20) - 16, 2))


def test_shift_amounts(device):
    """Every amount from a register, far beyond the width on both sides."""
    values = np.tile(np.array([-7, 7, -(1 << 31), (1 << 31) - 1], np.int32), 4)
    amounts = np.array([0, 1, 31, 32, 33, 1 << 30, -1, -31, -32, -33, -(1 << 31), (1 << 31) - 1, 2, -2, 3, -3])
    tiles = np.stack([values, amounts.astype(np.int32)])
    acc, uop, out = device.allocate(128), device.allocate(64), device.allocate(64)
    device.write(acc, tiles.view(np.uint8))
    device.write(uop, pack_uops(VTA, 0, 1).view(np.uint8))
    launch(
        device,
        Load(memory=Memory.UOP, x_size=1, y_size=1),
        Load(memory=Memory.ACC, x_size=2, y_size=1),
        Alu(alu_op=3, uop_end=1, iter_out=1, iter_in=1, push_next=True),
        Store(memory=Memory.ACC, dram=(out - acc) // 64, x_size=1, y_size=1, pop_prev=True, push_prev=True),
        Finish(pop_next=True),
        bases={Memory.UOP: uop, Memory.ACC: acc},
    )
    expected = [
        int(v) >> min(int(a), 31) if a >= 0 else int(v) << min(-int(a), 32)
        for v, a in zip(values, amounts, strict=True)
    ]
    wrapped = np.array([e & 0xFFFFFFFF for e in expected], np.uint32).view(np.int32)
    assert device.read(out, 64).view(np.int32).tolist() == wrapped.tolist()


FULL = AcceleratorConfig(pad_value=True, epilogue_lanes=4, residual=True)


def test_registers_start_every_launch_at_their_initial_values():
    device = FunctionalDevice(FULL, dram_size=1 << 20)
    acc = device.allocate(64)
    padded = Load(memory=Memory.ACC, x_size=1, y_pad0=1, push_next=True)
    store = Store(memory=Memory.ACC, x_size=1, y_size=1, pop_prev=True)
    pad = Set(register=SetRegister.COMPUTE_PAD, value=9)
    for instructions, value in (([pad, padded, store], 9), ([padded, store], 0)):
        launch(device, *instructions, Finish(), bases={Memory.ACC: acc})
        assert device.read(acc, 64).view(np.int32).tolist() == [value] * 16


@pytest.mark.parametrize(
    ("instructions", "message"),
    [
        (
            [Set(register=SetRegister.PARAM, value=200), Store(memory=Memory.ACC_8BIT, x_size=1, y_size=1)],
            "instruction 1 (STORE ACC_8BIT): parameter tile 200 is outside the PARAM scratchpad of 128 tiles (0..127); "
            "lower register PARAM or store a smaller block",
        ),
        (
            [Store(memory=Memory.ACC_8BIT, mode=StoreMode.TABLE)],
            "instruction 0: STORE.mode = 0x8 asks for what this accelerator lacks; use bits of 0x37",
        ),
        (
            [
                Set(register=SetRegister.RESIDUAL, value=(1 << 32) - 1),
                Store(memory=Memory.ACC_8BIT, x_size=1, y_size=1, mode=StoreMode.RESIDUAL),
            ],
            "instruction 1 (STORE ACC_8BIT): DRAM access at 0xfffffff0 is outside the memory or was refused; correct "
            "its base register, dram, sizes, x_stride and register RESIDUAL",
        ),
        (
            [Set(register=SetRegister.WIDEN)],
            "instruction 0: SET.register = 17 names no register; use one of LOAD_PAD (0), COMPUTE_PAD (16), "
            "PARAM (32), ZERO_POINT (33), CLAMP_LO (34), CLAMP_HI (35), RESIDUAL (36), SCALE (37), "
            "RESIDUAL_SCALE (38), OFFSET (39), SUM_LO (40), SUM_HI (41)",
        ),
    ],
)
def test_faults_of_the_extensions(instructions, message):
    device = FunctionalDevice(FULL, dram_size=1 << 20)
    with pytest.raises(FaultError) as caught:
        launch(device, *instructions, Finish())
    assert str(caught.value) == message


def test_missing_llvmlite(monkeypatch):
    jit._binding.cache_clear()
    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
    with pytest.raises(DeviceError) as caught:
        jit.host_has_vnni()
    jit._binding.cache_clear()
    assert str(caught.value) == (
        "the functional device compiles its kernels with llvmlite, which is not installed; "
        "run pip install 'weft[compiler]'"
    )
