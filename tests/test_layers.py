"""Layers of ResNet-18, assembled by hand with every extension, against numpy and onnxruntime."""

from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.layer_cases import CONV_1X1, CONV_3X3, SCALES, ZEROS, cases, conv_operands, residual_sum
from support.layers import CONFIG, Conv, add_program, conv_program, from_tiles, max_pool_program, to_tiles
from support.ort import reference
from weft_hardware.isa import Alu, AluOp, GemmOverwrite, Load, Memory, Set, SetRegister, Store
from weft_runtime.dram import Dram
from weft_simulator.functional import FunctionalDevice
from weft_simulator.functional.jit import host_has
from weft_simulator.lockstep.oracle import judge
from weft_simulator.lockstep.reference import Machine

CASES = {case.name: case for case in cases()}
with_fma = pytest.mark.skipif(not host_has("fma"), reason="this CPU has no FMA, so onnxruntime rounds products too")

TINY_CONV = Conv(size=8, in_channels=32, out_channels=48, rows=2)
TINY_1X1 = Conv(size=8, in_channels=16, out_channels=64, kernel=1, stride=2, rows=2, group=2)


def run(layer, order_seed=None):
    """The result's tensor, from the functional simulator; nothing else in memory may change."""
    dram = Dram(layer.program.image.copy())
    device = FunctionalDevice(layer.program.config, dram=dram, order_seed=order_seed)
    device.launch(layer.program.launch())
    changed = np.flatnonzero(dram.data != layer.program.image)
    assert changed.min() >= layer.out.start
    assert changed.max() < layer.out.stop
    return from_tiles(layer.result(dram.data))


def tiny(conv, *, is_sum=False):
    operands = conv_operands(conv, seed=3)
    total = residual_sum(operands.residual) if is_sum else None
    return conv_program(conv, to_tiles(operands.x), operands.weights, operands.quant, total)


def tiny_add():
    first, second = (np.random.default_rng(4).integers(-128, 128, (16, 16, 28), np.int8) for _ in range(2))
    return add_program(to_tiles(first), residual_sum(second), chunk=112)


def tiny_pool():
    return max_pool_program(to_tiles(np.random.default_rng(5).integers(-128, 128, (32, 16, 16), np.int8)))


TINY = {
    "3x3": lambda: tiny(TINY_CONV),
    "3x3 with residual": lambda: tiny(TINY_CONV, is_sum=True),
    "1x1": lambda: tiny(TINY_1X1),
    "1x1 of odd groups": lambda: tiny(replace(TINY_1X1, out_channels=48, group=1)),
    "add": tiny_add,
    "pool": tiny_pool,
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    case = CASES[name]
    found = run(case.build(CONFIG))
    assert np.array_equal(found, case.expected())
    assert len(np.unique(found)) > 150


@pytest.mark.parametrize("name", TINY)
def test_tokens_order_everything(name):
    """The same program structure, small: legal by the happens-before relation, and the same in other orders."""
    layer = TINY[name]()
    assert judge(layer.program).legal
    expected = from_tiles(layer.result(Machine(CONFIG).run(layer.program)))
    for seed in (None, 1, 2):
        assert np.array_equal(run(layer, seed), expected)


def test_the_layers_use_what_was_built_for_them():
    programs = [instruction for case in CASES.values() for instruction in case.build(CONFIG).program.instructions]
    sets = {SetRegister(insn.register) for insn in programs if isinstance(insn, Set)}
    assert sets >= {SetRegister.LOAD_PAD, SetRegister.COMPUTE_PAD, SetRegister.OVERWRITE, SetRegister.PARAM}
    assert sets >= {SetRegister.RESIDUAL, SetRegister.OFFSET, SetRegister.ZERO_POINT}
    memories = {(type(insn), insn.memory) for insn in programs if isinstance(insn, (Load, Store))}
    assert memories >= {(Load, Memory.PARAM), (Load, Memory.ACC_8BIT), (Store, Memory.ACC_8BIT)}
    assert any(isinstance(insn, GemmOverwrite) for insn in programs)
    assert {insn.alu_op for insn in programs if isinstance(insn, Alu)} == {AluOp.COPY, AluOp.MAX}


def conv_model(conv, operands, *, is_sum):
    """QLinearConv, and the QLinearAdd behind it; the weight scales carry the requantisation."""
    scalars = {name: np.float32(value) for name, value in SCALES.items()}
    # onnxruntime computes (x scale · w scale) / y scale; only a y scale of 1 keeps the given one bit for bit.
    constants = {
        "one": np.float32(1), "xz": np.int8(operands.quant.in_zero), "w": operands.weights, "ws": operands.quant.scale,
        "wz": np.zeros(conv.out_channels, np.int8), "yz": np.int8(ZEROS["first"]),
        "b": operands.quant.bias.astype(np.int32), "rz": np.int8(ZEROS["second"]), "sz": np.int8(ZEROS["sum"]),
    } | scalars  # fmt: skip
    nodes = [
        helper.make_node(
            "QLinearConv", ["x", "one", "xz", "w", "ws", "wz", "one", "yz", "b"], ["y"],
            strides=[conv.stride] * 2, pads=[conv.pad] * 4,
        )
    ]  # fmt: skip
    if is_sum:
        names = ["y", "first", "yz", "r", "second", "rz", "sum", "sz"]
        nodes.append(helper.make_node("QLinearAdd", names, ["z"], domain="com.microsoft"))
    shapes = {"x": operands.x.shape} | ({"r": operands.residual.shape} if is_sum else {})
    inputs = [helper.make_tensor_value_info(n, TensorProto.INT8, (1, *shape)) for n, shape in shapes.items()]
    name = "z" if is_sum else "y"
    output = helper.make_tensor_value_info(name, TensorProto.INT8, (1, *operands.residual.shape))
    initializers = [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()]
    graph = helper.make_graph(nodes, "layer", inputs, [output], initializers)
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("com.microsoft", 1)]
    feeds = {"x": operands.x[None]} | ({"r": operands.residual[None]} if is_sum else {})
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString(), feeds


@with_fma
@pytest.mark.parametrize(("conv", "is_sum"), [(CONV_3X3, False), (CONV_3X3, True), (CONV_1X1, False)])
def test_a_layer_is_onnxruntimes(conv, is_sum):
    operands = conv_operands(conv)
    total = residual_sum(operands.residual) if is_sum else None
    found = run(conv_program(conv, to_tiles(operands.x), operands.weights, operands.quant, total))
    model, feeds = conv_model(conv, operands, is_sum=is_sum)
    assert np.array_equal(found, reference(model, feeds)[0][0])
