"""Programs to text and back: the same bytes."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from support.accel_kernels import Conv, convolution
from support.tiles_kernels import matmul
from weft_compiler.accel.assembly import function_of_stream, function_of_words, program_of
from weft_compiler.accel.lower import lower_nest
from weft_compiler.accel.stream import UOPS
from weft_compiler.conv_task import Requantisation
from weft_compiler.dialects.accel import FuncOp
from weft_compiler.errors import CompileError
from weft_compiler.te.nest import Nest
from weft_compiler.text import parse_ir, print_ir
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import encode
from weft_hardware.isa import Finish, Gemm, Load, Memory, Store
from weft_hardware.presets import VTA
from weft_simulator.lockstep.generator import generate
from xdsl.dialects.builtin import ModuleOp


def parsed(function: FuncOp) -> FuncOp:
    """What comes back from the text."""
    text = print_ir(ModuleOp([function]))
    module = parse_ir(text)
    assert print_ir(module) == text
    back = module.body.block.first_op
    assert isinstance(back, FuncOp)
    return back


NESTS = {
    "matmul": (VTA, lambda: matmul(VTA, 4, 3, 2)),
    "batch 2": (replace(VTA, batch=2, block_in=4, block_out=8), None),
    "threads": (VTA, lambda: convolution(Conv(threads=2, slots=2), VTA)),
    "requantised": (VTA, lambda: convolution(Conv(slots=2), VTA, Requantisation(zero_point=-7))),
}


@pytest.mark.parametrize("name", NESTS)
def test_streams_come_back(name: str) -> None:
    """Over their tensors, wherever these lie, and as bytes."""
    config, make = NESTS[name]
    nest: Nest = (make() if make else matmul(config, 2, 2, 2)).lower()
    stream = lower_nest(nest, config)
    function = parsed(function_of_stream(stream, "kernel"))
    for places in ([k << 20 for k in range(len(nest.buffers))], [(7 - k) << 14 for k in range(len(nest.buffers))]):
        expected = stream.emit({b.name: o for b, o in zip(nest.buffers, places, strict=True)} | {UOPS: 1 << 24})
        program = program_of(function, config, places, 1 << 24)
        assert program.instructions.tobytes() == expected.instructions.tobytes()
        assert program.uops.tobytes() == expected.uops.tobytes()
        again = program_of(parsed(function_of_words(expected.instructions, config, "raw")), config)
        assert again.instructions.tobytes() == expected.instructions.tobytes()


@pytest.mark.parametrize("config", [VTA, AcceleratorConfig(batch=2, block_in=8, block_out=4)], ids=["vta", "base"])
def test_random_programs_come_back(config: AcceleratorConfig) -> None:
    """With every instruction and field."""
    for seed in range(12):
        instructions = generate(config, seed).instructions
        words = encode(instructions, config)
        function = parsed(function_of_words(words, config, f"seed{seed}"))
        assert program_of(function, config).instructions.tobytes() == words.tobytes(), seed


def test_a_program_of_many_instructions_is_not_written_out() -> None:
    stream = lower_nest(matmul(VTA, 4, 3, 2).lower(), VTA)
    count = len(stream.listing())
    sentence = (
        f"@kernel has {count} instructions, more than the {count - 1} that are written out; "
        "leave it a tensor function, whose program is emitted in columns"
    )
    with pytest.raises(CompileError, match=f"^{re.escape(sentence)}$"):
        function_of_stream(stream, "kernel", most=count - 1)


def raw(*instructions, config: AcceleratorConfig = VTA) -> FuncOp:
    return function_of_words(encode(instructions, config), config, "raw")


def test_a_token_may_be_given_further_down() -> None:
    gemm, load = Gemm(pop_prev=True), Load(memory=Memory.INP, push_next=True)
    function = parsed(raw(gemm, load, Finish()))
    first, second, _ = function.instructions()
    assert list(first.waits) == list(second.gives)
    assert np.array_equal(program_of(function, VTA).instructions, encode([gemm, load, Finish()], VTA))


def test_a_token_that_none_gives_is_refused() -> None:
    sentence = "instruction 2 (GEMM) takes token 2 of load, which gives 1: it would wait for ever"
    with pytest.raises(CompileError, match=f"^{re.escape(sentence)}$"):
        raw(Load(memory=Memory.INP, push_next=True), Gemm(pop_prev=True), Gemm(pop_prev=True))


def test_a_flag_without_a_neighbour_is_refused() -> None:
    sentence = "instruction 0 (STORE) has push_next set, and its queue has no such neighbour"
    with pytest.raises(CompileError, match=f"^{re.escape(sentence)}$"):
        raw(Store(memory=Memory.OUT, push_next=True))


def test_programs_that_are_no_whole_ones() -> None:
    with pytest.raises(CompileError, match=r"^@raw never comes to its end; append accel\.finish$"):
        program_of(raw(Gemm()), VTA)
    base = AcceleratorConfig()
    sentence = '@raw is a program for the configuration "vta", which is another one; compile for that'
    with pytest.raises(CompileError, match=f"^{re.escape(sentence)}$"):
        program_of(raw(Finish()), base)
    config = replace(VTA, inp_depth=1024)
    assert np.array_equal(
        program_of(parsed(raw(Finish(), config=config)), config).instructions, encode([Finish()], config)
    )


def test_a_tensor_that_is_not_aligned() -> None:
    stream = lower_nest(matmul(VTA, 4, 3, 2).lower(), VTA)
    function = function_of_stream(stream, "kernel")
    sentence = "byte 8 is no multiple of the 16-byte tiles of INP; align the tensor"
    with pytest.raises(CompileError, match=f"^{re.escape(sentence)}$"):
        program_of(function, VTA, (8, 1 << 20, 1 << 21))
