"""Programs of the base instruction set: the same bytes, and nothing in them that other hardware gets wrong."""

from importlib.resources import files

import numpy as np
import pytest
from support.soundness import assert_module_sound
from weft.zoo import network
from weft_compiler.accel.plain import without_extensions
from weft_hardware.encoding import as_words, decode, unpack_uops
from weft_hardware.isa import (
    Alu,
    AluOp,
    Finish,
    Gemm,
    Load,
    Memory,
    Store,
    instruction_bits,
    scratchpad_depth,
    uop_bits,
)
from weft_hardware.presets import PRESETS
from weft_simulator.functional import FunctionalDevice

import weft

NETWORKS = {
    "digits": lambda: files("weft.models").joinpath("digits.onnx").read_bytes(),
    "lenet5": lambda: network("lenet5"),
    "resnet": lambda: network("resnet18", size=32, width=16),
}


@pytest.fixture(scope="module", params=NETWORKS)
def model(request):
    return NETWORKS[request.param]()


@pytest.fixture(scope="module", params=["vta", "base"])
def module(request, model):
    return weft.compile(model, request.param, extensions=False)


def result(module):
    rng = np.random.default_rng(3)
    inputs = {t.name: rng.standard_normal(t.shape).astype(t.numpy_dtype) for t in module.content.inputs}
    with FunctionalDevice(module.content.config) as device:
        return np.asarray(module.run(device, inputs))


def test_the_bytes_are_the_same(model, module):
    assert_module_sound(module)
    assert np.array_equal(result(module), result(weft.compile(model, "vta")))
    on_accelerator = sum(layer.macs for layer in module.content.layers if layer.placement == "accelerator")
    assert on_accelerator == module.macs


def test_what_other_hardware_gets_wrong_is_in_no_program(module):
    content = module.content
    seen = set()
    for _, _, stream in content.launches():
        seen |= walk(decode(as_words(stream, content.config), content.config), content)
    assert seen == {"load", "store", "reset", "gemm", "alu"}


def walk(instructions, content):
    """Fails at an instruction that is to be avoided; returns what there was."""
    config = content.config
    seen, uops = set(), np.zeros((config.uop_depth, 3), np.int64)
    fresh = set()  # accumulators that only a reset wrote
    for instruction in instructions:
        match instruction:
            case Load():
                memory = Memory(instruction.memory)
                assert memory in (Memory.UOP, Memory.INP, Memory.WGT)
                assert instruction.x_size
                columns = instruction.x_pad0 + instruction.x_size + instruction.x_pad1
                rows = instruction.y_pad0 + instruction.y_size + instruction.y_pad1
                assert columns * rows < scratchpad_depth(memory, config)
                if memory is Memory.UOP:
                    read = micro_ops(content, instruction)
                    uops[instruction.sram : instruction.sram + len(read)] = read
                seen.add("load")
            case Store():
                assert instruction.memory == Memory.OUT
                tiles = range(instruction.sram, instruction.sram + instruction.x_size * instruction.y_size)
                assert not fresh & set(tiles)
                seen.add("store")
            case Gemm():
                steps = destinations(instruction, uops)
                if instruction.reset:
                    fresh |= set(steps.tolist())
                else:
                    assert (np.diff(steps) != 0).all()
                    fresh -= set(steps.tolist())
                seen.add("reset" if instruction.reset else "gemm")
            case Alu():
                assert instruction.use_imm
                assert instruction.imm >= 0
                assert instruction.alu_op in (AluOp.ADD, AluOp.SHR)
                body = uops[instruction.uop_bgn : instruction.uop_end]
                assert (body[:, 0] == body[:, 1]).all()
                assert (instruction.dst_out, instruction.dst_in) == (instruction.src_out, instruction.src_in)
                fresh -= set(destinations(instruction, uops).tolist())
                seen.add("alu")
            case _:
                assert isinstance(instruction, Finish)
    return seen


def micro_ops(content, load):
    """The micro-ops that a LOAD brings, rows of dst, src and wgt."""
    size = uop_bits(content.config) // 8
    begin = load.dram * size
    (constant,) = (
        c for c in content.constants
        if c.buffer.region == "device" and c.buffer.offset <= begin < c.buffer.offset + c.buffer.nbytes
    )  # fmt: skip
    data = constant.data[begin - constant.buffer.offset :][: load.x_size * size]
    columns = unpack_uops(np.frombuffer(data, f"<u{size}"), content.config)
    return np.stack([columns[name] for name in ("dst", "src", "wgt")], axis=1)


def destinations(instruction, uops):
    """The accumulators that an instruction writes, step by step."""
    outer, inner = np.arange(instruction.iter_out)[:, None, None], np.arange(instruction.iter_in)[None, :, None]
    body = uops[instruction.uop_bgn : instruction.uop_end, 0]
    return (outer * instruction.dst_out + inner * instruction.dst_in + body[None, None]).reshape(-1)


def test_encodings_are_those_of_the_whole_configuration():
    for config in PRESETS.values():
        plain = without_extensions(config)
        assert (instruction_bits(plain), uop_bits(plain)) == (instruction_bits(config), uop_bits(config))
