"""Every launch of a module, with what is known before it."""

import numpy as np
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import encode, pack_uops
from weft_hardware.isa import Alu, AluOp, Finish, Load, Memory, Store
from weft_runtime.check import Kind, check_module
from weft_runtime.module_model import AcceleratorStep, Buffer, Constant, Layer, ModuleContent, TensorInfo

CONFIG = AcceleratorConfig(block_in=4, block_out=4, inp_depth=8, wgt_depth=8, acc_depth=8, uop_depth=8)
INPUT = Buffer("device", 0, 64)
OUTPUT = Buffer("device", 64, 64)
UOPS = Buffer("device", 128, 64)
PROGRAM = Buffer("device", 192, 80)
BLOCK = {"x_size": 1, "y_size": 1}


def content(uop_at: int, *, is_ordered: bool = True, target: int = OUTPUT.offset) -> ModuleContent:
    """Adds 1 to an accumulator, with the micro-op at a byte offset."""
    instructions = [
        Load(memory=int(Memory.UOP), dram=uop_at // 4, **BLOCK),
        Load(memory=int(Memory.ACC), **BLOCK),
        Alu(alu_op=int(AluOp.ADD), use_imm=True, imm=1, uop_end=1, iter_out=1, iter_in=1, push_next=is_ordered),
        Store(memory=int(Memory.OUT), dram=target // 4, pop_prev=is_ordered, **BLOCK),
        Finish(),
    ]
    uops = np.zeros(16, np.uint32)
    uops[:1] = pack_uops(CONFIG, [0])
    constants = (
        Constant("uops", UOPS, uops.tobytes()),
        Constant("program", PROGRAM, encode(instructions, CONFIG).tobytes()),
    )
    return ModuleContent(
        config=CONFIG,
        inputs=(TensorInfo("x", (16,), "int32", INPUT),),
        outputs=(TensorInfo("y", (64,), "int8", OUTPUT),),
        region_bytes={"device": 272, "host": 0},
        constants=constants,
        layers=(Layer("add", "Add", "accelerator", "", 0),),
        steps=(AcceleratorStep(0, PROGRAM, len(instructions), (INPUT,), (OUTPUT,)),),
    )


def test_a_sound_module():
    ((name, report),) = check_module(content(UOPS.offset))
    assert (name, report.findings) == ("add", ())


def test_a_race():
    ((_, report),) = check_module(content(UOPS.offset, is_ordered=False))
    assert [(f.kind, f.instructions) for f in report.findings] == [(Kind.RACE, (2, 3))]


def test_micro_ops_that_are_no_constant():
    """An input may hold anything."""
    ((_, report),) = check_module(content(INPUT.offset))
    assert [(f.kind, f.instructions) for f in report.findings] == [(Kind.UNKNOWN_MICRO_OPS, (2,))]


def test_a_result_over_a_constant():
    ((_, report),) = check_module(content(UOPS.offset, target=UOPS.offset + 60))
    assert [(f.kind, f.instructions) for f in report.findings] == [(Kind.CONSTANT_OVERWRITTEN, (3,))]


def test_a_result_over_the_program_is_told_once():
    ((_, report),) = check_module(content(UOPS.offset, target=PROGRAM.offset))
    assert [(f.kind, f.instructions) for f in report.findings] == [(Kind.PROGRAM_OVERWRITTEN, (3,))]


def test_a_program_that_leaves_its_region():
    ((_, report),) = check_module(content(272))
    assert [(f.kind, f.instructions) for f in report.findings] == [(Kind.FAULT, (0,)), (Kind.UNKNOWN_MICRO_OPS, (2,))]
