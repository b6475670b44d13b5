"""Loop nests as IR: what is printed and parsed is the same nest, and the same program."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest
from support import te_workloads
from support.accel_kernels import Conv, convolution
from support.te_schedules import random_schedule
from support.te_tensorized import CONFIGS, batched, dense, tensorize_all
from support.te_tensorized import convolution as plain_convolution
from support.tiles_kernels import matmul
from weft_compiler import te
from weft_compiler.accel.intrinsic import AcceleratorIntrinsic
from weft_compiler.accel.intrinsics.alu import alu, alu_immediate, alu_reduce
from weft_compiler.accel.intrinsics.gemm import gemm
from weft_compiler.accel.intrinsics.load import load_widened
from weft_compiler.accel.intrinsics.requantise import store_requantised
from weft_compiler.accel.intrinsics.table import INTRINSICS, make, to_attribute
from weft_compiler.accel.lower import lower_nest
from weft_compiler.accel.stream import UOPS
from weft_compiler.conv_task import Addition, Requantisation
from weft_compiler.dialects import te as dialect
from weft_compiler.errors import CompileError
from weft_compiler.host.intrinsics.byte_product import byte_product
from weft_compiler.te.intrinsic import Intrinsic
from weft_compiler.te.nest import Assign, Buffer, Invoke, Nest, Region, walk
from weft_compiler.te.nest_ir import function_of, nest_of
from weft_compiler.text import parse_ir, print_ir
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import AluOp
from weft_hardware.presets import VTA
from xdsl.dialects.builtin import ModuleOp, StringAttr

HOST = (
    te_workloads.matmul,
    te_workloads.conv2d,
    te_workloads.depthwise,
    te_workloads.pooling,
    te_workloads.chain,
    te_workloads.scan,
    te_workloads.view,
)


def parsed(nest: Nest, config: AcceleratorConfig = VTA) -> Nest:
    """The nest that comes back from the text."""
    text = print_ir(ModuleOp([function_of(nest, "kernel")]))
    module = parse_ir(text)
    assert print_ir(module) == text
    function = module.body.block.first_op
    assert isinstance(function, dialect.FuncOp)
    return nest_of(function, config)


def loops(nest: Nest) -> str:
    """As text, without the numbers that keep names apart, and which sums may fuse."""
    fused = [s.reassociable for s in walk(nest.body) if isinstance(s, Assign)]
    return re.sub(r"[_.]\d+\b", "", f"{nest}\n{fused}")


@pytest.mark.parametrize("workload", HOST, ids=lambda w: w.__name__)
def test_host_nests_come_back(workload) -> None:
    for seed in range(3):
        rng = random.Random(seed)
        nest = random_schedule(rng, workload(rng).outputs, Counter()).lower()
        assert loops(parsed(nest)) == loops(nest), seed


def program(nest: Nest, config: AcceleratorConfig) -> tuple[bytes, bytes]:
    stream = lower_nest(nest, config)
    offsets = {buffer.name: k << 20 for k, buffer in enumerate(nest.buffers)}
    made = stream.emit(offsets | {UOPS: 1 << 24})
    return made.instructions.tobytes(), made.uops.tobytes()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("how", [None, Requantisation(zero_point=3, low=0)])
def test_a_convolution_comes_back_as_the_same_program(threads: int, how: Requantisation | None) -> None:
    nest = convolution(Conv(threads=threads, slots=2, pad=1), VTA, how).lower()
    assert program(parsed(nest), VTA) == program(nest, VTA)


@pytest.mark.parametrize("workload", [dense, batched, plain_convolution], ids=lambda w: w.__name__)
@pytest.mark.parametrize("config", CONFIGS[:2], ids=["batch 1", "batch 2"])
def test_tensorized_nests_come_back(workload, config: AcceleratorConfig) -> None:
    """With the host's part, which packs."""
    for seed in range(2):
        rng = random.Random(seed)
        schedule = te.Schedule(*workload(rng, config).outputs)
        tensorize_all(schedule, config, Counter())
        nest = schedule.lower()
        assert loops(parsed(nest, config)) == loops(nest), seed


@pytest.mark.parametrize(
    "intrinsic",
    [
        alu(VTA, AluOp.MAX),
        alu_immediate(VTA, AluOp.SHR, 8),
        alu_immediate(VTA, immediate=-3, op=AluOp.ADD),
        alu_reduce(VTA, AluOp.ADD),
        gemm(VTA),
        load_widened(VTA),
        load_widened(VTA, "uint8"),
        store_requantised(VTA, Requantisation(zero_point=-5, low=-5, high=100)),
        store_requantised(
            VTA, Requantisation(addition=Addition(scale=0.1, residual_scale=1e-9, offset=-0.0, swap=True))
        ),
        byte_product("uint8", rows=4),
    ],
    ids=lambda i: i.name,
)
def test_an_intrinsic_is_made_again_from_its_declaration(intrinsic: Intrinsic) -> None:
    said = intrinsic.declaration
    assert said is not None
    arguments = {name: to_attribute(value) for name, value in said.arguments.items()}
    again = make(said.function, arguments, VTA)
    assert (again.name, again.declaration, again.scopes) == (intrinsic.name, said, intrinsic.scopes)


@pytest.mark.parametrize(
    ("function", "arguments", "sentence"),
    [
        ("matmul", {}, f"intrinsic 'matmul' is unknown; use one of {', '.join(INTRINSICS)}"),
        ("alu", {}, "alu needs the argument 'op'; write {op = …}"),
        (
            "alu",
            {"op": StringAttr("DIV")},
            "alu.op = 'DIV' is no AluOp; choose one of MIN, MAX, ADD, SHR, MUL, COPY, SUB",
        ),
        ("alu", {"op": to_attribute(3)}, "alu.op = 3 : i64 is no AluOp; correct it"),
        ("gemm", {"op": to_attribute(3)}, "gemm has no argument 'op'; leave it out"),
        (
            "store_requantised",
            {"how": to_attribute("x")},
            'store_requantised.how = "x" is no Requantisation; correct it',
        ),
    ],
)
def test_wrong_declarations(function: str, arguments: dict, sentence: str) -> None:
    with pytest.raises(CompileError, match=f"^{re.escape(sentence)}$"):
        make(function, arguments, VTA)


def test_an_intrinsic_that_text_cannot_name_is_refused() -> None:
    unnamed = AcceleratorIntrinsic("mine", gemm(VTA).output, (), ("acc",), emit=lambda operation, emitter: None)
    buffer = Buffer("y", (1, 16), "int32")
    nest = Nest((), (buffer,), Invoke(unnamed, Region(buffer, ()), ()))
    sentence = "intrinsic mine has no name in IR text; decorate the function that makes it with @declared"
    with pytest.raises(CompileError, match=f"^{re.escape(sentence)}$"):
        function_of(nest, "kernel")


def test_a_function_says_who_runs_it() -> None:
    nest = matmul(VTA, 2, 2, 1).lower()
    assert function_of(nest, "f").target.data == "accelerator"
    assert function_of(nest, "f", "host").target.data == "host"
