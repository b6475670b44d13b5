"""What goes beside a launch, and that nothing there touches what the launch does."""

from __future__ import annotations

import numpy as np
import pytest
from support.block_networks import block_network
from support.compiling import compile_model
from support.onnx_models import ModelBuilder
from support.ort import reference
from support.qgraph_ir import apply, function, outline
from weft_compiler.dialects import floats, qgraph
from weft_compiler.onnx_import import import_onnx
from weft_compiler.passes.order_steps import OrderSteps
from weft_compiler.passes.plan_memory import BESIDE, main_function, place_of, runs_on_accelerator
from weft_compiler.pipeline import run_passes
from weft_hardware.presets import VTA
from weft_runtime.module_model import AcceleratorStep, HostStep
from weft_runtime.session import Session
from weft_simulator.functional.device import FunctionalDevice
from xdsl.ir import Operation

TILES = qgraph.tensor_type((1, 1, 4, 4, 1, 16), np.int8)
SUMS = qgraph.tensor_type((1, 1, 4, 4, 1, 16), np.int32)


def convolved(emit, x, w):
    return emit(qgraph.AccumulateOp(x, w, qgraph.window_properties((1, 1), (0, 0, 0, 0), (1, 1)), SUMS))


def test_what_waits_for_nothing_comes_first() -> None:
    def body(emit, x, f):
        w = emit(qgraph.ConstantOp(np.zeros((1, 1, 1, 1, 16, 16), np.int8)))
        first = emit(qgraph.ReluOp(convolved(emit, x, w)))
        other = emit(qgraph.ClipOp(emit(qgraph.ReluOp(f)), 0.0, 1.0))
        return emit(floats.BinaryOp("add", first, other))

    module = function([TILES, qgraph.tensor_type((4, 1, 16), np.float32)], body)
    lines = outline(apply(OrderSteps(), module))
    assert [line.split(" = ")[1].split("(")[0] for line in lines[:-1]] == [
        *("accumulate", "relu", "clip", "relu", "binary")
    ]
    assert "a1" in lines[1], lines


def test_a_chain_is_left_alone() -> None:
    def body(emit, x, w):
        return emit(qgraph.ClampOp(convolved(emit, emit(qgraph.ClampOp(x, 0, 5)), w), 0, 7))

    module = function([TILES, qgraph.tensor_type((1, 1, 1, 1, 16, 16), np.int8)], body)
    before = outline(module)
    assert outline(apply(OrderSteps(), module)) == before


def branches() -> bytes:
    """A convolution of one input, a softmax of the other, the first one's tail before the second in the file."""
    b = ModelBuilder()
    w = b.dequantize(b.constant(np.arange(-100, 44, dtype=np.int8).reshape(16, 1, 3, 3)), 0.01, np.int8(0))
    y = b.node("Conv", [b.pair("x", 0.02, np.uint8(120)), w], pads=[1, 1, 1, 1])
    y = b.node("Softmax", [b.pair(y, 0.05, np.uint8(128))])
    z = b.node("Exp", [b.node("Softmax", ["z"])])
    y = b.node("Add", [y, z])
    shape = (1, 16, 8, 8)
    return b.build([("x", (1, 1, 8, 8), np.float32), ("z", shape, np.float32)], [(y, shape, np.float32)])


def test_a_network_of_two_branches() -> None:
    model, rng = branches(), np.random.default_rng(3)
    inputs = {"x": rng.normal(0, 1, (1, 1, 8, 8)), "z": rng.normal(0, 1, (1, 16, 8, 8))}
    inputs = {name: values.astype(np.float32) for name, values in inputs.items()}
    module = compile_model(model, VTA)
    steps = module.content.steps
    beside = [step.function.split("_", 1)[1] for step in steps if isinstance(step, HostStep) and step.beside]
    assert beside == ["softmax", "unary"]
    launch = next(k for k, step in enumerate(steps) if isinstance(step, AcceleratorStep))
    assert all(isinstance(step, HostStep) and step.beside for step in steps[launch + 1 : launch + 3])
    with FunctionalDevice(VTA) as device, Session(module, device) as session:
        results = [session.run(inputs) for _ in range(20)]
        assert all(layer.host_seconds > 0 for layer in session.last_profile if layer.op in ("Exp", "Softmax"))
    wanted = reference(model, inputs)[0]
    assert np.abs(results[0] - wanted).max() <= 1e-6 * np.abs(wanted).max()
    assert all(np.array_equal(y, results[0]) for y in results)


def planned(model: bytes) -> list[Operation]:
    module = import_onnx(model)
    run_passes(module, VTA)
    return list(main_function(module).body.block.ops)


@pytest.mark.parametrize("model", [branches(), *(block_network(seed)[0] for seed in range(3))])
def test_what_runs_beside_a_launch_shares_no_memory_with_it(model: bytes) -> None:
    touched: list[Operation] = []
    closed = True
    for op in planned(model):
        if runs_on_accelerator(op):
            touched = [*touched, op] if not closed else [op]
        closed = not runs_on_accelerator(op) and not isinstance(op, qgraph.ReshapeOp)
        if BESIDE not in op.attributes:
            continue
        mine = place_of(op.results[0])
        for value in (value for inner in touched for value in (*inner.operands, *inner.results)):
            theirs = place_of(value)
            apart = mine.offset + mine.nbytes <= theirs.offset or theirs.offset + theirs.nbytes <= mine.offset
            assert mine.region != theirs.region or apart, (op, value)
